"""Light that spreads sideways in the skin before it comes out: a filter on colour.

The colour table treats every pixel as if it went on for ever. In fact most light that leaves a bright gap between
two dark lines has passed below the lines, and a fine dark network is darker as a whole than its area says. That is
not a blur of the image: it multiplies. Here the logarithm of the reflectance is mixed with a blurred copy of itself,

    log R = a log R_table + (1 - a) (K * log R_table),    K(f) = 1 / (1 + (2 pi f l)^2),

where K is the kernel of diffusion with length l. Constants are fitted to the three-dimensional Monte Carlo model of
:mod:`synthderm.functional.monte_carlo` (see ``eval/fit_transport.py`` and its results).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from synthderm.core import InputError

_DARKEST = 1e-4


@dataclass(frozen=True)
class Transport:
    """Constants of the filter.

    Attributes:
        direct: a, the share of the logarithm that stays where it is.
        length_mm: l for red, green and blue.
    """

    direct: float
    length_mm: tuple[float, float, float]


EPIDERMIS = Transport(direct=0.41, length_mm=(0.427, 0.181, 0.10))
"""Pigment of the epidermis on light skin."""


@lru_cache(maxsize=64)
def _response(height: int, width: int, mm_per_px: float, constants: Transport) -> torch.Tensor:
    """a + (1 - a) K on the grid of rfft2, (3, height, width // 2 + 1)."""
    fy = torch.fft.fftfreq(height, mm_per_px)[:, None]
    fx = torch.fft.rfftfreq(width, mm_per_px)[None]
    k_squared = (2 * math.pi) ** 2 * (fx**2 + fy**2)
    length = torch.tensor(constants.length_mm)[:, None, None]
    return constants.direct + (1 - constants.direct) / (1 + k_squared * length**2)


def _margin(size: int, wanted: int) -> int:
    """Pixels to mirror at either edge, at least ``wanted`` where the image allows, for a quick FFT length."""
    wanted = min(wanted, size - 1)
    for margin in range(wanted, min(wanted + 16, size - 1) + 1):
        total = size + 2 * margin
        for prime in (2, 3, 5):
            while total % prime == 0:
                total //= prime
        if total == 1:
            return margin
    return wanted


def lateral_transport(
    linear_rgb: torch.Tensor, mm_per_px: float, *, constants: Transport = EPIDERMIS, periodic: bool = False
) -> torch.Tensor:
    """Spread the light of per-pixel skin colours sideways.

    Args:
        linear_rgb: (3, H, W) linear sRGB from the colour table; values below 1e-4 count as 1e-4.
        mm_per_px: millimetres of skin per pixel.
        constants: of the filter.
        periodic: the image is a tile that goes on at the opposite edge; otherwise it is mirrored at its edges.

    Returns:
        (3, H, W) of the same range: no pixel leaves the range of the input's channel by more than rounding.

    Raises:
        InputError: if the shape or the scale cannot be used.
    """
    if linear_rgb.ndim != 3 or linear_rgb.shape[0] != 3:
        raise InputError(f"linear_rgb must have shape (3, H, W), but got {tuple(linear_rgb.shape)}")
    if not (mm_per_px > 0 and math.isfinite(mm_per_px)):
        raise InputError(f"mm_per_px must be a positive number, but got {mm_per_px}")
    logarithm = linear_rgb.clamp_min(_DARKEST).log()
    height, width = logarithm.shape[-2:]
    if not periodic:
        reach = math.ceil(3 * max(constants.length_mm) / mm_per_px)
        top, left = _margin(height, reach), _margin(width, reach)
        logarithm = torch.nn.functional.pad(logarithm, (left, left, top, top), mode="reflect")
    size = logarithm.shape[-2:]
    response = _response(*size, float(mm_per_px), constants)
    result = torch.fft.irfft2(torch.fft.rfft2(logarithm) * response, s=size)
    if not periodic:
        result = result[:, top : top + height, left : left + width]
    return result.exp()
