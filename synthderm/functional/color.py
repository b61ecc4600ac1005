"""Colour: sRGB, XYZ, CIELAB, ITA and colour differences."""

from __future__ import annotations

import math

import torch

XYZ_TO_LINEAR_SRGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
"""XYZ (D65, Y of white = 1) to linear sRGB, IEC 61966-2-1 primaries (Lindbloom's digits)."""

D65_WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of CIE illuminant D65, 2-degree observer."""

LUMINANCE = (0.2126729, 0.7151522, 0.0721750)
"""Luminance of linear sRGB: second row of the inverse of :data:`XYZ_TO_LINEAR_SRGB`."""

_EPSILON = 216 / 24389  # CIE 15:2004, 8.2.1.1
_KAPPA = 24389 / 27


def _matrix(rows: tuple[tuple[float, ...], ...], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def srgb_to_linear(srgb: torch.Tensor) -> torch.Tensor:
    """Encoded sRGB in [0, 1], any shape, to linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: torch.Tensor) -> torch.Tensor:
    """Linear light in [0, 1], any shape, to encoded sRGB (IEC 61966-2-1)."""
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def xyz_to_lab(xyz: torch.Tensor) -> torch.Tensor:
    """XYZ (..., 3), D65 white with Y = 1, to CIELAB (CIE 15:2004)."""
    ratio = xyz / torch.tensor(D65_WHITE, dtype=xyz.dtype, device=xyz.device)
    f = torch.where(ratio > _EPSILON, ratio.clamp_min(1e-12) ** (1 / 3), (_KAPPA * ratio + 16) / 116)
    fx, fy, fz = f.unbind(-1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -1)


def linear_to_lab(linear: torch.Tensor) -> torch.Tensor:
    """Linear sRGB (..., 3) to CIELAB, D65/2 deg."""
    to_xyz = torch.linalg.inv(_matrix(XYZ_TO_LINEAR_SRGB, linear).double()).to(linear)
    return xyz_to_lab(linear @ to_xyz.T)


def lab_to_linear(lab: torch.Tensor) -> torch.Tensor:
    """CIELAB (..., 3), D65/2 deg, to linear sRGB; out-of-gamut colours leave [0, 1]."""
    lightness, a, b = lab.unbind(-1)
    fy = (lightness + 16) / 116
    f = torch.stack([fy + a / 500, fy, fy - b / 200], -1)
    ratio = torch.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA)
    xyz = ratio * torch.tensor(D65_WHITE, dtype=lab.dtype, device=lab.device)
    return xyz @ _matrix(XYZ_TO_LINEAR_SRGB, lab).T


def rgb_to_lab(image: torch.Tensor) -> torch.Tensor:
    """An encoded sRGB image (..., 3, H, W) to CIELAB of the same shape.

    Args:
        image: uint8 in 0..255 or floating point in [0, 1].
    """
    if image.dtype == torch.uint8:
        image = image.float() / 255
    return linear_to_lab(srgb_to_linear(image).movedim(-3, -1)).movedim(-1, -3)


def ita_deg(lightness: float, b: float) -> float:
    """Individual typology angle in degrees: atan2(L* - 50, b*) (Chardon et al. 1991).

    The papers write an arctangent of the ratio, which is the same for b* > 0; for b* <= 0 that form flips the
    sign, hence atan2. Colours with b* below :data:`~synthderm.core.MIN_SKIN_B` are not skin: see
    :func:`skin_ita_deg`.
    """
    return math.degrees(math.atan2(lightness - 50.0, b))


def median_lab(
    image: torch.Tensor, mask: torch.Tensor, gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[float, float, float]:
    """Median L*, a* and b* (D65/2 deg) of the pixels of ``image`` under ``mask``.

    Args:
        image: (3, H, W), uint8 or [0, 1], encoded sRGB.
        mask: (H, W) bool.
        gains: of red, green and blue in linear light, of a known colour cast; they are undone first.

    Returns:
        Three numbers, each a median of its own; nan where the mask is empty.
    """
    pixels = image[:, mask]
    if pixels.shape[1] == 0:
        return math.nan, math.nan, math.nan
    if pixels.shape[1] > 8192:  # every k-th pixel: the median of 8,000 is as good
        pixels = pixels[:, :: pixels.shape[1] // 4096]
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    linear = srgb_to_linear(pixels).T / torch.tensor(gains, dtype=pixels.dtype, device=pixels.device)
    middle = linear_to_lab(linear).median(dim=0).values
    return float(middle[0]), float(middle[1]), float(middle[2])


def skin_ita_deg(image: torch.Tensor, mask: torch.Tensor, min_b: float = 3.0) -> float:
    """ITA in degrees of the median colour under ``mask``; nan if that is no skin colour (b* < ``min_b``)."""
    lightness, _, b = median_lab(image, mask)
    return ita_deg(lightness, b) if b >= min_b else math.nan


def delta_e_2000(lab_1: torch.Tensor, lab_2: torch.Tensor) -> torch.Tensor:
    """CIEDE2000 colour difference of (..., 3) CIELAB colours (Sharma, Wu & Dalal 2005, eqs 2-22)."""
    l1, a1, b1 = lab_1.unbind(-1)
    l2, a2, b2 = lab_2.unbind(-1)
    c_mean = ((a1**2 + b1**2).sqrt() + (a2**2 + b2**2).sqrt()) / 2
    g = 0.5 * (1 - (c_mean**7 / (c_mean**7 + 25.0**7)).sqrt())
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = (a1**2 + b1**2).sqrt(), (a2**2 + b2**2).sqrt()
    h1, h2 = (torch.rad2deg(torch.atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0
    dh = h2 - h1
    dh = torch.where(dh > 180, dh - 360, torch.where(dh < -180, dh + 360, dh))
    dh = torch.where(grey, torch.zeros_like(dh), dh)
    d_hue = 2 * (c1 * c2).sqrt() * torch.sin(torch.deg2rad(dh / 2))
    total = h1 + h2
    far = (h1 - h2).abs() > 180
    h_mean = torch.where(far, torch.where(total < 360, total + 360, total - 360), total) / 2
    h_mean = torch.where(grey, total, h_mean)
    l_mean, c_bar = (l1 + l2) / 2, (c1 + c2) / 2

    def cosine(x: torch.Tensor) -> torch.Tensor:
        return torch.cos(torch.deg2rad(x))

    t = (
        1 - 0.17 * cosine(h_mean - 30) + 0.24 * cosine(2 * h_mean)
        + 0.32 * cosine(3 * h_mean + 6) - 0.20 * cosine(4 * h_mean - 63)
    )  # fmt: skip
    d_theta = 30 * torch.exp(-(((h_mean - 275) / 25) ** 2))
    r_c = 2 * (c_bar**7 / (c_bar**7 + 25.0**7)).sqrt()
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / (20 + (l_mean - 50) ** 2).sqrt()
    s_c = 1 + 0.045 * c_bar
    s_h = 1 + 0.015 * c_bar * t
    r_t = -torch.sin(torch.deg2rad(2 * d_theta)) * r_c
    dl, dc, dh = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    return (dl**2 + dc**2 + dh**2 + r_t * dc * dh).clamp_min(0).sqrt()
