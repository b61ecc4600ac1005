"""Light that spreads sideways in the skin before it comes out.

The colour table treats every pixel as if it went on for ever. In fact most light that leaves a bright gap between
two dark lines has passed below the lines, and a fine dark network is darker as a whole than its area says. That is
not a blur of the image. Two steps come close to Monte Carlo in three dimensions (``eval/fit_transport.py`` holds the
cases, the fit and the alternatives):

1. Light that reaches the dermis has spread by then and meets the mean of what lies around: melanin and blood of the
   dermis are smoothed *before* colours are read from the table (:func:`spread_dermis`).
2. Pigment of the epidermis is passed twice, at the place of entry and at the place of exit; absorption multiplies,
   so that the *logarithm* of colour is mixed with a smoothed copy of itself (:func:`lateral_transport`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from synthderm.core import InputError

_DARKEST = 1e-3  # linear sRGB that counts in logarithms: colours outside sRGB would be black holes
_TRACE = 1e-5  # melanosome fraction that counts as none


@dataclass(frozen=True)
class Transport:
    """Constants of :func:`lateral_transport`; the defaults are fitted.

    Attributes:
        direct: share of the logarithm that stays where it is.
        blur_mm: standard deviation of a Gaussian that this share passes.
        length_mm: diffusion length for red, green and blue, where the mean colour is ``reference``.
        darkening: exponent with which the length grows with the mean colour: light comes less far in dark skin.
        reference: linear sRGB.
    """

    direct: float = 0.392
    blur_mm: float = 0.014
    length_mm: tuple[float, float, float] = (0.364, 0.182, 0.095)
    darkening: float = 0.60
    reference: tuple[float, float, float] = (0.20, 0.10, 0.053)


@dataclass(frozen=True)
class DermalSpread:
    """Constants of :func:`spread_dermis`; the defaults are fitted.

    Attributes:
        direct: share that stays where it is, for papillary melanin, deep melanin and blood.
        length_mm: diffusion length of the rest, likewise.
    """

    direct: tuple[float, float, float] = (0.0, 0.02, 0.37)
    length_mm: tuple[float, float, float] = (0.11, 0.18, 0.136)


@lru_cache(maxsize=16)
def _wave_number_squared(height: int, width: int, mm_per_px: float) -> torch.Tensor:
    """(2 pi f)^2 in 1/mm^2 on the grid of rfft2, (height, width // 2 + 1)."""
    fy = torch.fft.fftfreq(height, mm_per_px)[:, None]
    fx = torch.fft.rfftfreq(width, mm_per_px)[None]
    return (2 * math.pi) ** 2 * (fx**2 + fy**2)


def _margin(size: int, wanted: int) -> int:
    """Pixels to mirror at either edge, ``wanted`` or a few more for a quick FFT length, where the image allows."""
    wanted = min(wanted, size - 1)
    for margin in range(wanted, min(wanted + 16, size - 1) + 1):
        total = size + 2 * margin
        for prime in (2, 3, 5):
            while total % prime == 0:
                total //= prime
        if total == 1:
            return margin
    return wanted


def _smooth(
    maps: torch.Tensor,
    mm_per_px: float,
    direct: torch.Tensor | float,
    length_mm: torch.Tensor,
    blur_mm: float,
    periodic: bool,
) -> torch.Tensor:
    """Mix maps (C, H, W) with smoothed copies: a G + (1 - a) K with K(f) = 1 / (1 + (2 pi f l)^2).

    K is the kernel of diffusion with absorption, Green's function of u - l^2 Laplace u = v.
    """
    height, width = maps.shape[-2:]
    top = left = 0
    if not periodic:
        reach = math.ceil(3 * float(length_mm.max()) / mm_per_px)
        top, left = _margin(height, reach), _margin(width, reach)
        maps = torch.nn.functional.pad(maps, (left, left, top, top), mode="reflect")
    size = maps.shape[-2:]
    k_squared = _wave_number_squared(*size, mm_per_px)
    response = (1 - direct) / (1 + k_squared * length_mm**2)
    response += direct * torch.exp(-0.5 * blur_mm**2 * k_squared) if blur_mm else direct
    result = torch.fft.irfft2(torch.fft.rfft2(maps) * response, s=size)
    return result[:, top : top + height, left : left + width]


def _check(maps: torch.Tensor, mm_per_px: float) -> float:
    if maps.ndim != 3 or maps.shape[0] != 3:
        raise InputError(f"maps must have shape (3, H, W), but got {tuple(maps.shape)}")
    if not (mm_per_px > 0 and math.isfinite(mm_per_px)):
        raise InputError(f"mm_per_px must be a positive number, but got {mm_per_px}")
    return float(mm_per_px)


def lateral_transport(
    linear_rgb: torch.Tensor, mm_per_px: float, *, constants: Transport | None = None, periodic: bool = False
) -> torch.Tensor:
    """Spread the light of per-pixel skin colours sideways.

    log R = a G log R_table + (1 - a) K log R_table for each channel, where K has the length l (m / m_0)^c with the
    geometric mean m of the channel over the image.

    Args:
        linear_rgb: (3, H, W) linear sRGB from the colour table; values below 1e-3 count as 1e-3.
        mm_per_px: millimetres of skin per pixel.
        constants: of the filter; the fitted ones if None.
        periodic: the image is a tile that goes on at the opposite edge; otherwise it is mirrored at its edges.

    Returns:
        (3, H, W) linear sRGB; an even colour stays as it is.

    Raises:
        InputError: if the shape or the scale cannot be used.
    """
    mm_per_px = _check(linear_rgb, mm_per_px)
    constants = constants or Transport()
    logarithm = linear_rgb.clamp_min(_DARKEST).log()
    relative = logarithm.mean((1, 2)) - torch.tensor(constants.reference).log()
    stretch = (constants.darkening * relative).exp().clamp(0.25, 1.6)
    length = (torch.tensor(constants.length_mm) * stretch)[:, None, None]
    return _smooth(logarithm, mm_per_px, constants.direct, length, constants.blur_mm, periodic).exp()


def spread_dermis(
    papillary_melanin: torch.Tensor,
    deep_melanin: torch.Tensor,
    blood: torch.Tensor,
    mm_per_px: float,
    *,
    constants: DermalSpread | None = None,
    periodic: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smooth what lies in the dermis as the light that reaches it does; to be called before the colour table.

    Args:
        papillary_melanin: (H, W) melanosome fraction of the papillary dermis.
        deep_melanin: (H, W) of the mid dermis.
        blood: (H, W) mean blood fraction of the dermis.
        mm_per_px: millimetres of skin per pixel.
        constants: of the filter; the fitted ones if None.
        periodic: as in :func:`lateral_transport`.

    Returns:
        The three maps, each (H, W) with the mean of the input and within its range up to rounding; melanin below
        1e-5 is 0.

    Raises:
        InputError: if shapes or the scale cannot be used.
    """
    if not papillary_melanin.shape == deep_melanin.shape == blood.shape:
        shapes = [tuple(m.shape) for m in (papillary_melanin, deep_melanin, blood)]
        raise InputError(f"the three maps must have one shape (H, W), but got {shapes}")
    maps = torch.stack([papillary_melanin, deep_melanin, blood])
    mm_per_px = _check(maps, mm_per_px)
    constants = constants or DermalSpread()
    direct, length = (torch.tensor(c)[:, None, None] for c in (constants.direct, constants.length_mm))
    papillary, deep, blood = _smooth(maps, mm_per_px, direct, length, 0.0, periodic).clamp_min(0)
    return papillary * (papillary > _TRACE), deep * (deep > _TRACE), blood
