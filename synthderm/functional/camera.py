"""A camera in linear light: tone curve, white balance, noise, sharpening."""

from __future__ import annotations

import torch

from .color import LUMINANCE
from .filters import gaussian_blur


def luminance(linear: torch.Tensor) -> torch.Tensor:
    """Luminance (H, W) of linear sRGB (3, H, W)."""
    weights = torch.tensor(LUMINANCE, dtype=linear.dtype, device=linear.device)
    return torch.einsum("c,chw->hw", weights, linear)


def tone_curve(
    linear: torch.Tensor, pivot: torch.Tensor, contrast: float, saturation: float, red: float = 1.0
) -> torch.Tensor:
    """Contrast of each channel below a pivot, with a soft toe, then chroma gain about the grey of equal luminance.

    ``r -> 1 + contrast (r - 1)`` of the ratio r < 1 to the pivot is what a raised black level does: what is darker
    than the pivot becomes more saturated as well, as brown lesions are in photographs whose histogram was stretched.
    The toe keeps a fifth of the light where the line would pass below it; what is brighter than the pivot stays.

    Args:
        linear: (3, H, W) linear sRGB, >= 0.
        pivot: (3,) colour that keeps its value.
        contrast: slope; 1 is the identity.
        saturation: gain of the difference to grey.
        red: exponent of the red channel's ratio to the pivot, before the rest. Below 1 it stands for a red channel
            whose highlights are compressed and which sees further into the deep red, where melanin absorbs little.
    """
    if contrast != 1 or red != 1:
        level = pivot.view(3, 1, 1).clamp_min(1e-4)
        ratio = linear / level
        if red != 1:
            ratio = torch.cat([ratio[:1].clamp_min(1e-4) ** red, ratio[1:]])
        above = 1 + contrast * (ratio - 1) - 0.2 * ratio
        soft = 0.5 * (above + (above * above + 0.0036).sqrt()) - 0.5 * ((0.8**2 + 0.0036) ** 0.5 - 0.8)
        linear = level * torch.where(ratio < 1, (0.2 * ratio + soft).clamp_min(0), ratio)
    if saturation == 1:
        return linear
    y = luminance(linear)
    return (y + (linear - y) * saturation).clamp_min(0)


def shoulder(linear: torch.Tensor, knee: float = 0.75) -> torch.Tensor:
    """Soft clipping of highlights: the identity up to ``knee``, then a tanh that tends to 1."""
    if float(linear.max()) <= knee:
        return linear
    over = linear - knee
    return torch.where(over > 0, knee + (1 - knee) * torch.tanh(over / (1 - knee)), linear)


def sensor_noise(linear: torch.Tensor, normal: torch.Tensor, strength: float) -> torch.Tensor:
    """Shot and read noise: variance ``strength^2 (2.2e-4 x + 6e-6)`` (EMVA 1288 linear model).

    Args:
        linear: (3, H, W), 1 = full scale.
        normal: standard normal values of the same shape.
        strength: 1 gives a standard deviation of 1.5 % at full scale, about 5,000 electrons.
    """
    return linear + normal * (linear.clamp_min(0) * 2.2e-4 + 6e-6).sqrt() * strength


def unsharp(encoded: torch.Tensor, amount: float, sigma_px: float = 1.0) -> torch.Tensor:
    """Unsharp mask: ``x + amount (x - blur(x))``."""
    return encoded + amount * (encoded - gaussian_blur(encoded, sigma_px)) if amount else encoded
