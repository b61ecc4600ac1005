"""Another skin tone for a finished picture: the ratio of two skin colours, in linear light."""

from __future__ import annotations

import math

import torch

from .color import lab_to_linear, linear_to_srgb, srgb_to_linear

MAX_GAIN = 4.0
"""Most that a channel is brightened; more would show the noise and the blocks of the source."""


def tone_gains(source_lab: torch.Tensor, target_lab: torch.Tensor, most: float = MAX_GAIN) -> torch.Tensor:
    """Gains of linear red, green and blue that turn one skin colour into another.

    Melanin of the epidermis lies over everything else, so that more or less of it multiplies what is reflected at each
    wavelength (Beer and Lambert; Claridge et al. 2003, Med Image Anal 7:489, section 3). Three wide channels stand for
    the spectrum here. A colour cast is undone on the way, since it multiplies too.

    Args:
        source_lab: (3,) CIELAB, D65/2 deg, of the healthy skin as it is.
        target_lab: (3,) as it shall be.
        most: upper limit of a gain.

    Returns:
        (3,) between 0.02 and ``most``.
    """
    source, target = (lab_to_linear(torch.as_tensor(lab).float()).clamp(0.004, 1.0) for lab in (source_lab, target_lab))
    return (target / source).clamp(0.02, most)


def apply_gains(image: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """A (3, H, W) uint8 sRGB image times (3,) gains in linear light, clipped to what sRGB can show.

    Above 0.8 the values are bent towards 1 instead of cut, so that highlights keep their shape.
    """
    linear = srgb_to_linear(image.float() / 255) * gains[:, None, None]
    bent = torch.where(linear > 0.8, 1 - 0.2 * torch.exp(-(linear - 0.8) / 0.2), linear)
    return (linear_to_srgb(bent.clamp(0, 1)) * 255).round().to(torch.uint8)


def turn_to_ita(lab: torch.Tensor, ita_deg: float) -> torch.Tensor:
    """A skin colour (3,) turned to another ITA: its distance from (L* 50, b* 0) and its a* stay.

    ITA is the angle ``atan2(L* - 50, b*)`` (Chardon et al. 1991); b* is kept at 4.5 or more, so that the angle can be
    measured.
    """
    angle = math.radians(ita_deg)
    distance = max(math.hypot(float(lab[0]) - 50, float(lab[2])), 4.5 / math.cos(angle))
    return torch.tensor([50 + distance * math.sin(angle), float(lab[1]), distance * math.cos(angle)])
