"""The skin tone of a real image: as its set states it, or measured from its pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from synthderm.core import MIN_SKIN_B, ita_to_fst
from synthderm.functional.color import ita_deg as lab_to_ita_deg
from synthderm.functional.color import rgb_to_lab

from .records import Record

TONE_SOURCES = ("auto", "column", "ita", "pixels")
WORKING_PX = 128
"""Longer side of the image that a tone is measured on."""

MIN_LIGHTNESS = 12.0
MAX_LIGHTNESS = 97.0
MIN_SKIN_SHARE = 0.02
"""Share of the image that must be left as skin for a tone."""

_HAIR_PX = 7
_HAIR_CONTRAST = 6.0


def stated_tone(record: Record, tone_from: str) -> tuple[int, str] | None:
    """(type, source) that the set itself gives for a record, or None.

    Args:
        record: as read.
        tone_from: "auto", "column", "ita" or "pixels".
    """
    if tone_from in ("auto", "column") and record.fitzpatrick is not None:
        return record.fitzpatrick, "fitzpatrick column"
    if tone_from in ("auto", "ita") and record.ita_deg is not None and -90.0 <= record.ita_deg <= 90.0:
        return ita_to_fst(record.ita_deg), "ita column"
    return None


def resolve_tone(record: Record, stated: tuple[int, str] | None, measured_deg: float | None) -> Record:
    """The record with ``fst`` and ``tone_source``.

    A measured tone is held inside the pair of types that the set states (DDI). Where such a record cannot be
    measured, the lighter type counts, so that a darker cell never looks fuller than it is.

    Args:
        record: as read.
        stated: what :func:`stated_tone` gave.
        measured_deg: ITA from the pixels; nan if that was no skin; None if not measured.
    """
    if stated is not None:
        return replace(record, fst=stated[0], tone_source=stated[1])
    pair = record.fitzpatrick_range
    if measured_deg is None or math.isnan(measured_deg):
        if pair is None:
            return replace(record, fst=None, tone_source="unknown")
        return replace(record, fst=pair[0], tone_source="lighter of the stated pair")
    fst, source = ita_to_fst(measured_deg), "pixels"
    if pair is not None:
        fst, source = min(max(fst, pair[0]), pair[1]), "pixels within the stated pair"
    return replace(record, fst=fst, tone_source=source, measured_ita_deg=round(measured_deg, 2))


def pixel_ita_deg(image: Image.Image, lesion: np.ndarray | None = None) -> float:
    """ITA in degrees of the skin of a real image; nan where no skin colour is found.

    The image is reduced to 128 px. With a mask the skin is what lies outside the mask widened by 4 % of the
    image; without one, or if that leaves too little, the border: outside an ellipse of 0.8 of the half axes.
    From that are taken out: the dark frame of a dermatoscope with a margin, hair (black-hat of lightness),
    glare and paper, and colours far from the median (3 median deviations).
    The tone is ITA of the median colour (:func:`synthderm.functional.color.ita_deg`).

    Args:
        image: mode RGB.
        lesion: (H, W) bool of the same size, or None.
    """
    small, mask = _reduced(image, lesion)
    lab = rgb_to_lab(small)
    clean = _usable(lab)
    for region in (_outside(mask), _border(small)):
        if region is None:
            continue
        lightness, b, share = _robust_colour(lab, region & clean)
        if share >= MIN_SKIN_SHARE:
            return lab_to_ita_deg(lightness, b) if b >= MIN_SKIN_B else math.nan
    return math.nan


def _reduced(image: Image.Image, lesion: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image as (3, h, w) uint8 and the mask as (h, w) bool, longer side 128 px at most."""
    scale = min(1.0, WORKING_PX / max(image.size))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    small = torch.from_numpy(np.array(image.resize(size, Image.Resampling.BOX))).permute(2, 0, 1)
    if lesion is None:
        return small, None
    mask = Image.fromarray(lesion.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return small, torch.from_numpy(np.array(mask)) > 0


def _dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """(H, W) bool widened by a square of ``2 radius + 1`` px."""
    return _maximum(mask.float(), radius) > 0.5


def _maximum(values: torch.Tensor, radius: int) -> torch.Tensor:
    size = 2 * radius + 1
    return torch.nn.functional.max_pool2d(values[None, None], size, stride=1, padding=radius)[0, 0]


def _outside(mask: torch.Tensor | None) -> torch.Tensor | None:
    return None if mask is None else ~_dilate(mask, max(1, round(0.04 * max(mask.shape))))


def _border(image: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[1:]
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    return (x**2 + y**2).sqrt() > 0.8


def _usable(lab: torch.Tensor) -> torch.Tensor:
    """(H, W) bool: neither frame nor hair nor glare."""
    lightness = lab[0]
    radius = max(1, round(0.03 * max(lightness.shape)))
    frame = lightness < MIN_LIGHTNESS
    frame = _dilate(~_dilate(~frame, 2), 2 + radius)  # opened first: hair is thinner than a frame
    closed = -_maximum(-_maximum(lightness, _HAIR_PX // 2), _HAIR_PX // 2)
    hair = _dilate(closed - lightness > _HAIR_CONTRAST, 1)
    return ~frame & ~hair & (lightness >= MIN_LIGHTNESS) & (lightness <= MAX_LIGHTNESS)


def _robust_colour(lab: torch.Tensor, region: torch.Tensor) -> tuple[float, float, float]:
    """Median L* and b* of a region without its outliers, and the share of the image that they come from."""
    pixels = lab[:, region]
    if pixels.shape[1] < 2:
        return math.nan, math.nan, 0.0
    middle = pixels.median(dim=1, keepdim=True).values
    far = (pixels - middle).abs()
    spread = far.median(dim=1, keepdim=True).values * 1.4826 + 0.5
    pixels = pixels[:, (far <= 3 * spread).all(0)]
    if pixels.shape[1] == 0:
        return math.nan, math.nan, 0.0
    middle = pixels.median(dim=1).values
    return float(middle[0]), float(middle[2]), pixels.shape[1] / region.numel()
