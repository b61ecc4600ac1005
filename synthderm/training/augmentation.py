"""What classical augmentation every arm of a comparison gets: one draw of numbers, one pass over a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class AugmentationRange:
    """Ranges that are drawn from, per image.

    Attributes:
        rotation_deg: largest turn either way, degrees.
        zoom: lowest and highest natural logarithm of the field of view (negative enlarges).
        shift: largest shift either way, of half the image side.
        gain: standard deviation of the logarithm of the common exposure gain (linear in sRGB values).
        cast: standard deviation of the logarithm of each channel's gain.
        saturation: lowest and highest factor on the difference to grey.
        contrast: lowest and highest factor on the difference to the image mean.
        gamma: largest logarithm of an exponent on the sRGB values, either way.
        sharpness: lowest and highest factor on the detail above a 3 px mean (0 is that mean, 1 the image).
        noise: highest standard deviation of added Gaussian noise, of the range 0 to 1.
        shading: largest relative change of brightness between centre and border, either way.
        erase: probability that a random rectangle of up to a quarter of the area is filled with the mean.
    """

    rotation_deg: float = 180.0
    zoom: tuple[float, float] = (-0.45, 0.05)
    shift: float = 0.12
    gain: float = 0.08
    cast: float = 0.05
    saturation: tuple[float, float] = (0.75, 1.3)
    contrast: tuple[float, float] = (0.75, 1.3)
    gamma: float = 0.0
    sharpness: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0
    shading: float = 0.0
    erase: float = 0.0


CLASSIC = AugmentationRange()
"""Dihedral-like geometry and mild colour: what the field's training scripts do."""

HEAVY = AugmentationRange(
    zoom=(-0.7, 0.2), shift=0.2, gain=0.15, cast=0.12, saturation=(0.4, 1.8), contrast=(0.5, 1.6),
    gamma=0.35, sharpness=(0.0, 1.8), noise=0.05, shading=0.15, erase=0.5,
)  # fmt: skip
"""Wide colour, tone-curve, blur, noise, shading and erasing: as far as classical augmentation usually goes."""

AUGMENTATIONS: dict[str, AugmentationRange | None] = {"none": None, "classic": CLASSIC, "heavy": HEAVY}


def augment(
    images: torch.Tensor,
    ranges: AugmentationRange,
    generator: torch.Generator,
    masks: torch.Tensor | None = None,
    size: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Augmented copies; each image draws its own numbers, image and mask share the geometry.

    Args:
        images: (N, 3, H, W) uint8, sRGB.
        ranges: what to draw from.
        generator: the only source of chance.
        masks: (N, H, W) bool or None.
        size: side of the result, px; the images' own by default.

    Returns:
        (N, 3, size, size) float32 sRGB 0 to 1, and (N, size, size) bool (coverage above one half) or None.
    """
    size = size or images.shape[-1]
    stack = images.float() / 255
    if masks is not None:
        stack = torch.cat([stack, masks[:, None].float()], 1)
    grid = F.affine_grid(_affine(len(images), ranges, generator), [len(images), 3, size, size], align_corners=False)
    stack = F.grid_sample(stack, grid, padding_mode="reflection", align_corners=False)
    x = _recolour(stack[:, :3], ranges, generator)
    x = _degrade(x, ranges, generator)
    return x.clamp(0, 1), None if masks is None else stack[:, 3] > 0.5


def _uniform(n: int, low: float, high: float, generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(n, *shape, generator=generator) * (high - low) + low


def _affine(n: int, ranges: AugmentationRange, generator: torch.Generator) -> torch.Tensor:
    """(N, 2, 3) maps from output to input coordinates."""
    turn = math.radians(ranges.rotation_deg)
    angle, zoom = _uniform(n, -turn, turn, generator), torch.exp(_uniform(n, *ranges.zoom, generator))
    flip = torch.where(_uniform(n, 0, 1, generator) < 0.5, -1.0, 1.0)
    right, down = _uniform(n, -ranges.shift, ranges.shift, generator, 2).unbind(1)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack([cosine * flip, -sine, right, sine * flip, cosine, down], 1).reshape(n, 2, 3)


def _recolour(x: torch.Tensor, ranges: AugmentationRange, generator: torch.Generator) -> torch.Tensor:
    n = len(x)
    if ranges.gamma:
        exponent = torch.exp(_uniform(n, -ranges.gamma, ranges.gamma, generator, 1, 1, 1))
        x = x.clamp_min(1e-3) ** exponent
    common = torch.randn(n, 1, 1, 1, generator=generator) * ranges.gain
    x = x * torch.exp(common + torch.randn(n, 3, 1, 1, generator=generator) * ranges.cast)
    grey, middle = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
    x = grey + (x - grey) * _uniform(n, *ranges.saturation, generator, 1, 1, 1)
    return middle + (x - middle) * _uniform(n, *ranges.contrast, generator, 1, 1, 1)


def _degrade(x: torch.Tensor, ranges: AugmentationRange, generator: torch.Generator) -> torch.Tensor:
    n, _, height, width = x.shape
    if ranges.shading:
        tilt = F.affine_grid(
            _uniform(n, -ranges.shading, ranges.shading, generator, 2, 3), [n, 1, height, width], align_corners=False
        )
        x = x * (1 + tilt.sum(-1))[:, None]
    if ranges.sharpness != (1.0, 1.0):
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
        x = soft + (x - soft) * _uniform(n, *ranges.sharpness, generator, 1, 1, 1)
    if ranges.noise:
        x = x + torch.randn(x.shape, generator=generator) * _uniform(n, 0, ranges.noise, generator, 1, 1, 1)
    return _erase(x, ranges.erase, generator) if ranges.erase else x


def _erase(x: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Random erasing (Zhong et al. 2020) with the image mean as filling."""
    n, _, height, width = x.shape
    centre, half = torch.rand(n, 2, generator=generator), _uniform(n, 0.05, 0.25, generator, 2)
    erased = torch.rand(n, generator=generator) < probability
    down = (torch.arange(height) + 0.5)[None] / height
    right = (torch.arange(width) + 0.5)[None] / width
    rows = (down - centre[:, :1]).abs() < half[:, :1]
    columns = (right - centre[:, 1:]).abs() < half[:, 1:]
    box = (rows[:, :, None] & columns[:, None, :] & erased[:, None, None])[:, None]
    return torch.where(box, x.mean((2, 3), keepdim=True), x)
