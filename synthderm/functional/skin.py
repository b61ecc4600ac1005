"""Healthy skin of a photograph whose lesion is known."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F

from .color import LUMINANCE, srgb_to_linear

WORKING_PX = 96
"""Widths of hair and of margins are those of an image of this side, and grow with the image."""

MIN_LIGHTNESS, MAX_LIGHTNESS = 12.0, 97.0
"""L* of the dark frame of a dermatoscope is below, that of glare and paper above."""

MARGIN = 0.04
"""How far the lesion is widened, as a share of the longer side."""

MIN_SHARE = 0.02
"""Share of the image that must be left outside the widened lesion; else the lesion itself is the border."""

_HAIR_PX = 3
_HAIR_CONTRAST = 6.0


def healthy_skin(image: torch.Tensor, lesion: torch.Tensor) -> torch.Tensor:
    """What a skin tone may be measured on: outside the widened lesion, without hair, glare and dark frame.

    Hair is what a closing of lightness lightens by more than 6 (black-hat: Lee et al. 1997, Comput Biol Med 27:533).

    Args:
        image: (3, H, W) uint8, sRGB.
        lesion: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    scale = max(image.shape[-2:]) / WORKING_PX
    clean = usable_skin(lightness(image), scale)
    outside = ~dilate(lesion, max(1, round(MARGIN * max(lesion.shape)))) & clean
    return outside if outside.float().mean() >= MIN_SHARE else ~lesion & clean


def lightness(image: torch.Tensor) -> torch.Tensor:
    """L* (CIELAB, D65/2 deg; CIE 15:2004, 8.2.1.1) of a (3, H, W) uint8 sRGB image, as (H, W) float32."""
    linear = _linear_levels()[image.long()]
    luminance = torch.einsum("chw,c->hw", linear, torch.tensor(LUMINANCE))
    cube_root = luminance.clamp_min(1e-12) ** (1 / 3)
    return torch.where(luminance > 216 / 24389, 116 * cube_root - 16, luminance * 24389 / 27)


@lru_cache(maxsize=1)
def _linear_levels() -> torch.Tensor:
    return srgb_to_linear(torch.arange(256) / 255)


def usable_skin(light: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """What is neither dark frame nor hair nor glare, as (H, W) bool.

    Args:
        light: (H, W) L*.
        scale: longer side of the image over :data:`WORKING_PX`; hair is as much wider.
    """
    dark = light < MIN_LIGHTNESS
    usable = ~dark & (light <= MAX_LIGHTNESS)
    if dark.any():  # opened first: hair is thinner than a frame
        opening = max(2, round(2 * scale))
        usable &= ~dilate(~dilate(~dark, opening), opening + max(1, round(0.03 * max(light.shape))))
    radius = max(_HAIR_PX, round(_HAIR_PX * scale))
    closed = -_maximum(-_maximum(light, radius), radius)
    return usable & ~dilate(closed - light > _HAIR_CONTRAST, max(1, round(scale)))


def _maximum(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value of (H, W) float in a square of ``2 radius + 1`` px, one axis after the other."""
    size = 2 * radius + 1
    along_x = F.max_pool2d(values[None, None], (1, size), stride=1, padding=(0, radius))
    return F.max_pool2d(along_x, (size, 1), stride=1, padding=(radius, 0))[0, 0]


def dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """A (H, W) bool mask widened by a square of ``2 radius + 1`` px."""
    return _maximum(mask.float(), radius) > 0.5
