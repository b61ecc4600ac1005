"""The camera: exposure on healthy skin, colour cast, tone curve, blur, noise, encoding, sharpening."""

from __future__ import annotations

import numpy as np
import torch

from synthderm.functional.camera import sensor_noise, shoulder, tone_curve, unsharp
from synthderm.functional.color import LUMINANCE, lab_to_linear, linear_to_lab, linear_to_srgb
from synthderm.functional.filters import gaussian_blur

from .frame import Frame
from .look import draw_cast, skin_target

LIGHT_SKIN = 0.25
"""Luminance of light skin (ITA about 40): from here on the whole of a camera's contrast applies."""


def photograph(
    linear: torch.Tensor, light: torch.Tensor, healthy: torch.Tensor, frame: Frame, ita_deg: float
) -> tuple[torch.Tensor, tuple[float, float, float], tuple[float, float, float]]:
    """An exposure of a scene, as encoded sRGB.

    The exposure is set on healthy skin, as a dermoscope's is: the median of its L*, a* and b* lands on the target of
    :func:`~synthderm.simulator.look.skin_target`.

    Args:
        linear: (3, H, W) linear sRGB of the scene under white light.
        light: (H, W) share of light that reaches each pixel.
        healthy: (H, W) bool, the healthy skin; the whole image stands for it where it is empty.
        frame: the scene; its camera parameters and streams are used.
        ita_deg: requested tone.

    Returns:
        (3, H, W) in [0, 1]; the linear sRGB of the healthy skin before the camera; the gains of red, green and blue
        over a calibrated exposure (1 for a calibrated one).
    """
    where = healthy if bool(healthy.any()) else torch.ones_like(healthy)
    skin = _some(linear, where).median(dim=1).values
    cast = draw_cast(frame["camera.cast"], frame.stream("cast"))
    true, free = (
        skin_target(skin, cast=cast, ita_deg=ita_deg, exposure=frame["camera.exposure"], calibrated=calibrated)
        for calibrated in (True, False)
    )
    target = true if frame["camera.calibrated"] else free
    contrast, red = (stretch(frame[f"camera.{name}"], skin) for name in ("contrast", "red_contrast"))
    x = tone_curve(linear * light, skin, contrast, frame["camera.saturation"], red)
    x = gaussian_blur(shoulder(x), frame["camera.blur"] * frame.size)
    x = x * exposure_gain(_some(x, where), target).view(3, 1, 1)
    if frame["camera.noise"]:
        normal = frame.stream("sensor").standard_normal((3, frame.size, frame.size), dtype=np.float32)
        x = sensor_noise(x, torch.from_numpy(normal), 2.0 * frame["camera.noise"])
    encoded = linear_to_srgb(shoulder(x, 0.9).clamp(0, 1))
    encoded = unsharp(encoded, frame["camera.sharpening"], max(0.5, frame.size / 256))
    return encoded.clamp(0, 1), _triple(skin), _triple(target / true)


def _triple(values: torch.Tensor) -> tuple[float, float, float]:
    return tuple(float(v) for v in values)


def stretch(contrast: float, skin: torch.Tensor) -> float:
    """Contrast on this skin: dark skin lies lower on the camera's curve, and takes a smaller part of its bend."""
    share = min(1.0, float(skin @ torch.tensor(LUMINANCE, dtype=skin.dtype)) / LIGHT_SKIN)
    return 1 + (contrast - 1) * share**2


def _some(image: torch.Tensor, where: torch.Tensor, most: int = 4096) -> torch.Tensor:
    """(3, P) pixels of ``image`` under a mask, evenly thinned out to at most about ``most``."""
    pixels = image[:, where]
    return pixels[:, :: max(1, pixels.shape[1] // most)]


def exposure_gain(skin: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Gains of red, green and blue that bring the CIELAB median of skin pixels to a colour.

    The median of each channel comes first; where shine or shadow skew the skin's colours, the medians of L*, a* and b*
    are elsewhere, and one step of correction follows.

    Args:
        skin: (3, P) linear sRGB.
        target: (3,) linear sRGB.
    """
    gain = target / skin.median(dim=1).values.clamp_min(1e-4)
    wanted = linear_to_lab(target)
    got = linear_to_lab((skin * gain[:, None]).clamp(0, 1).T).median(dim=0).values
    corrected = lab_to_linear(2 * wanted - got).clamp(0.003, 0.98)
    return gain * corrected / target


def quantise(image: torch.Tensor) -> torch.Tensor:
    """[0, 1] float to uint8, rounded."""
    return (image * 255 + 0.5).to(torch.uint8)
