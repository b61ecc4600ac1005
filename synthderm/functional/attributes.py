"""What can be measured of a lesion in any image with a mask: the ABCD of dermoscopy as plain numbers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .color import rgb_to_lab

ATTRIBUTES = ("asymmetry", "border", "colour", "size", "darkness")
"""Names of the columns of :func:`lesion_attributes`."""

WORKING_PX = 64


def lesion_attributes(image: torch.Tensor, lesion: torch.Tensor, skin_lab: torch.Tensor) -> torch.Tensor:
    """Asymmetry, border, colour, size and darkness of a lesion, in units that grow with each.

    The letters are those of the ABCD rule (Nachbar et al. 1994, J Am Acad Dermatol 30:551); the measures are ours, so
    that simulated and real images are described alike:

    - asymmetry: 1 less the mean overlap (IoU) of the outline with its mirror image about its two principal axes;
    - border: how far the outline is longer than the least for its area, ``1 - 4 pi A / P^2`` with the perimeter P of
      the blurred mask (Cauchy-Crofton by total variation), at least 0;
    - colour: root mean square distance of the lesion's pixels from their mean, CIELAB units;
    - size: root of the share of the image that it covers;
    - darkness: by how much its mean L* is below the skin's.

    Args:
        image: (3, H, W) uint8, sRGB.
        lesion: (H, W) bool.
        skin_lab: (3,) CIELAB of the healthy skin, from :func:`synthderm.functional.color.median_lab`.

    Returns:
        (5,) float32 in the order of :data:`ATTRIBUTES`; nan for a mask of fewer than 12 px at 64 px.
    """
    small = F.interpolate(image[None].float(), size=WORKING_PX, mode="area")[0].round().to(torch.uint8)
    soft = F.interpolate(lesion[None, None].float(), size=WORKING_PX, mode="area")[0, 0]
    mask = soft > 0.5
    if int(mask.sum()) < 12:
        return torch.full((len(ATTRIBUTES),), math.nan)
    lab = rgb_to_lab(small)[:, mask]
    mean = lab.mean(1)
    spread = (lab - mean[:, None]).square().sum(0).mean().sqrt()
    size = lesion.float().mean().sqrt()
    return torch.stack(
        [
            torch.tensor(_asymmetry(mask)),
            _border(soft),
            spread.float(),
            size,
            (float(skin_lab[0]) - mean[0]).float(),
        ]
    ).float()


def _asymmetry(mask: torch.Tensor) -> float:
    """1 less the mean IoU of a mask with its reflections about the two principal axes of its pixels."""
    y, x = (v.float() + 0.5 for v in mask.nonzero(as_tuple=True))
    cx, cy = x.mean(), y.mean()
    dx, dy = x - cx, y - cy
    angle = 0.5 * torch.atan2(2 * (dx * dy).mean(), (dx * dx).mean() - (dy * dy).mean())
    side = mask.shape[-1]
    overlaps = []
    for turn in (0.0, math.pi / 2):
        cos, sin = torch.cos(2 * (angle + turn)), torch.sin(2 * (angle + turn))
        mx, my = cos * dx + sin * dy + cx, sin * dx - cos * dy + cy
        inside = (mx >= 0) & (mx < side) & (my >= 0) & (my < side)
        hit = mask[my.long().clamp(0, side - 1), mx.long().clamp(0, side - 1)] & inside
        overlaps.append(float(hit.sum() / (2 * len(x) - hit.sum())))
    return 1 - sum(overlaps) / 2


def _border(soft: torch.Tensor) -> torch.Tensor:
    """``1 - 4 pi A / P^2`` of a soft mask (H, W) in 0 to 1, not below 0."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(soft[None, None], (2, 2, 2, 2), mode="replicate")
    smooth = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))[0, 0]
    right, down = smooth[:-1, 1:] - smooth[:-1, :-1], smooth[1:, :-1] - smooth[:-1, :-1]
    perimeter = (right.square() + down.square()).sqrt().sum().clamp_min(1e-6)
    return (1 - 4 * math.pi * smooth.sum() / perimeter.square()).clamp_min(0)
