"""The skin tone of a real image: as its set states it, or measured from its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from synthderm.core import MIN_SKIN_B, ita_to_fst
from synthderm.core.tone import ITA_RANGE_DEG
from synthderm.functional.color import ita_deg as lab_to_ita_deg
from synthderm.functional.color import rgb_to_lab
from synthderm.functional.skin import MARGIN, WORKING_PX, dilate, usable_skin

from .records import Record

TONE_SOURCES = ("auto", "stated", "column", "ita", "pixels")
MIN_SKIN_SHARE = 0.02
"""Share of the image that must be left as skin for a tone."""

MIN_CAST_A, MIN_CAST_B = 3.0, -20.0
"""Least a* and b* of a colour that may be skin under a colour cast; grey, green and blue things are below."""

SKIN_LIGHTNESS = (35.84, 48.92, 56.79, 61.52, 65.43, 68.95)
SKIN_B = (12.10, 18.86, 18.76, 16.95, 14.67, 11.62)
"""Mean b* of measured skin by mean L*, of the six ITA classes (ISSA, all sites: Lu et al. 2025, Sci Data 12:487)."""


@dataclass(frozen=True)
class PixelTone:
    """A tone measured from pixels.

    Attributes:
        ita_deg: ITA in degrees; nan if no skin was found.
        from_lightness: the colour was none of measured skin, and ITA was found from lightness alone.
    """

    ita_deg: float
    from_lightness: bool = False


def stated_tone(record: Record, tone_from: str) -> tuple[int, str] | None:
    """(type, source) that the set itself gives for a record, or None.

    An ITA column whose name says that it is an estimate (``ita_est``) counts only when asked for by "ita".

    Args:
        record: as read.
        tone_from: one of :data:`TONE_SOURCES`.
    """
    if tone_from in ("auto", "stated", "column") and record.fitzpatrick is not None:
        return record.fitzpatrick, "fitzpatrick column"
    wanted = tone_from == "ita" or (tone_from in ("auto", "stated") and not record.ita_is_estimate)
    if wanted and record.ita_deg is not None and -90.0 <= record.ita_deg <= 90.0:
        return ita_to_fst(record.ita_deg), "ita column"
    return None


def resolve_tone(record: Record, stated: tuple[int, str] | None, measured: PixelTone | None) -> Record:
    """The record with ``fst`` and ``tone_source``.

    A measured tone is held inside the pair of types that the set states (DDI). Where such a record cannot be
    measured, the lighter type counts, so that a darker cell never looks fuller than it is.

    Args:
        record: as read.
        stated: what :func:`stated_tone` gave.
        measured: what :func:`pixel_tone` gave; None if not measured.
    """
    if stated is not None:
        return replace(record, fst=stated[0], tone_source=stated[1])
    pair = record.fitzpatrick_range
    if measured is None or math.isnan(measured.ita_deg):
        if pair is None:
            return replace(record, fst=None, tone_source="unknown")
        return replace(record, fst=pair[0], tone_source="lighter of the stated pair")
    fst = ita_to_fst(measured.ita_deg)
    source = "pixels, lightness alone" if measured.from_lightness else "pixels"
    if pair is not None:
        fst, source = min(max(fst, pair[0]), pair[1]), "pixels within the stated pair"
    return replace(record, fst=fst, tone_source=source, measured_ita_deg=round(measured.ita_deg, 2))


def pixel_tone(image: Image.Image, lesion: np.ndarray | None = None) -> PixelTone:
    """The tone of the skin of a real image, a proxy: nobody knows its light and white balance.

    The image is reduced to 96 px. With a mask the skin is what lies outside the mask widened by 4 % of the
    image, or outside the mask itself if that leaves too little; without one it is the border, outside an
    ellipse of 0.8 of the half axes (of 0.55 if a dark frame takes that up).
    From that are taken out: the dark frame of a dermatoscope with a margin, hair (black-hat of lightness),
    glare and paper, and colours far from the median (3 median deviations). The tone is ITA of the median colour
    (:func:`synthderm.functional.color.ita_deg`).

    Dermatoscopes often show skin pink to violet. Such a median colour (b* below 3, or ITA above the 70 degrees
    that are measured on people, while a* is at least 3) has no ITA. It is given the ITA of measured skin of the
    same lightness, which is marked as such. Green, grey and blue (b* below -20) are nan.

    Args:
        image: mode RGB.
        lesion: (H, W) bool of the same size, or None.
    """
    small, mask = _reduced(image, lesion)
    lab = rgb_to_lab(small)
    clean = usable_skin(lab[0])
    for region in _border(small) if mask is None else (_outside(mask), ~mask):
        colour, share = _robust_colour(lab, region & clean)
        if share >= MIN_SKIN_SHARE:
            return colour_to_tone(*colour)
    return PixelTone(math.nan)


def colour_to_tone(lightness: float, a: float, b: float) -> PixelTone:
    """The tone of a skin colour (CIELAB, D65/2 deg), as :func:`pixel_tone` says."""
    ita = lab_to_ita_deg(lightness, b)
    if a >= 0 and b >= MIN_SKIN_B and ita <= ITA_RANGE_DEG[1]:
        return PixelTone(ita)
    if a < MIN_CAST_A or b < MIN_CAST_B:
        return PixelTone(math.nan)
    skin_b = float(np.interp(lightness, SKIN_LIGHTNESS, SKIN_B))
    return PixelTone(min(lab_to_ita_deg(lightness, skin_b), ITA_RANGE_DEG[1]), from_lightness=True)


def _reduced(image: Image.Image, lesion: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image as (3, h, w) uint8 and the mask as (h, w) bool, longer side 96 px at most."""
    scale = min(1.0, WORKING_PX / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = torch.from_numpy(np.array(image.resize(size, Image.Resampling.BOX))).permute(2, 0, 1)
    if lesion is None:
        return small, None
    mask = Image.fromarray(lesion.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return small, torch.from_numpy(np.array(mask)) > 0


def _outside(mask: torch.Tensor) -> torch.Tensor:
    return ~dilate(mask, max(1, round(MARGIN * max(mask.shape))))


def _border(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(H, W) bool, twice: outside a large ellipse, and outside a smaller one."""
    height, width = image.shape[1:]
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    square = x**2 + y**2
    return square > 0.8**2, square > 0.55**2


def _robust_colour(lab: torch.Tensor, region: torch.Tensor) -> tuple[tuple[float, float, float], float]:
    """Median L*, a*, b* of a region without its outliers, and the share of the image that they come from."""
    pixels = lab[:, region]
    if pixels.shape[1] < 2:
        return (math.nan,) * 3, 0.0
    middle = pixels.median(dim=1, keepdim=True).values
    far = (pixels - middle).abs()
    spread = far.median(dim=1, keepdim=True).values * 1.4826 + 0.5
    pixels = pixels[:, (far <= 3 * spread).all(0)]
    if pixels.shape[1] == 0:
        return (math.nan,) * 3, 0.0
    lightness, a, b = pixels.median(dim=1).values.tolist()
    return (lightness, a, b), pixels.shape[1] / region.numel()
