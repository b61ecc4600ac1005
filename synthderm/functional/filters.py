"""Small image filters shared by the renderer: smooth steps and Gaussian blur."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F


def smoothstep(low: float, high: float, x: torch.Tensor) -> torch.Tensor:
    """Cubic step 3 t^2 - 2 t^3 from 0 at ``low`` to 1 at ``high`` (which may be below ``low``)."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=128)
def _gaussian(sigma: float) -> torch.Tensor:
    radius = max(1, math.ceil(2.7 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def gaussian_blur(x: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Gaussian blur of (H, W) or (C, H, W) with reflected borders.

    Wide blurs (sigma above 6 px) are done on a copy reduced by averaging, which differs from the exact
    filter by less than 1 % of the range.

    Args:
        x: float image or map.
        sigma_px: standard deviation in px; below 0.2 the input is returned.
    """
    if sigma_px < 0.2:
        return x
    planes = x.reshape(-1, 1, *x.shape[-2:])
    side = min(x.shape[-2:])
    sigma_px = round(min(sigma_px, side / 4), 3)
    reduce = 1
    while sigma_px / reduce > 6 and side // (reduce * 2) >= 8:
        reduce *= 2
    if reduce > 1:
        small = F.avg_pool2d(planes, reduce, ceil_mode=True)
        small = _separable(small, math.sqrt(max((sigma_px / reduce) ** 2 - 0.25, 0.05)))
        big = F.interpolate(small, scale_factor=reduce, mode="bilinear", align_corners=False)
        return big[..., : x.shape[-2], : x.shape[-1]].reshape(x.shape)
    return _separable(planes, sigma_px).reshape(x.shape)


def _separable(planes: torch.Tensor, sigma: float) -> torch.Tensor:
    kernel = _gaussian(round(sigma, 3)).tolist()
    radius = min(len(kernel) // 2, min(planes.shape[-2:]) - 1)
    taps = kernel[len(kernel) // 2 - radius : len(kernel) // 2 + radius + 1]
    total = sum(taps)
    for axis, pad in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        length = planes.shape[axis]
        padded = F.pad(planes, pad, mode="reflect")
        planes = padded.narrow(axis, 0, length) * (taps[0] / total)
        for i, tap in enumerate(taps[1:], start=1):  # sums of shifted copies beat conv2d on a CPU here
            planes.add_(padded.narrow(axis, i, length), alpha=tap / total)
    return planes
