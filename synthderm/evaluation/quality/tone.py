"""Is the requested skin tone in the image? ITA measured on healthy skin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthderm.core import MIN_SKIN_B, TONE_BANDS, InputError
from synthderm.data import Record
from synthderm.data.tone import pixel_tone
from synthderm.functional.color import ita_deg, linear_to_srgb, median_lab, rgb_to_lab, srgb_to_linear
from synthderm.functional.skin import MAX_LIGHTNESS, MIN_LIGHTNESS
from synthderm.metrics.masks import outline_bands
from synthderm.metrics.tone import tone_confusion

from ..result import figure
from ..sets import ImageSet
from .cells import requested_tone
from .columns import Column
from .draws import group_codes
from .shares import mean_figure, share_figure

Gains = tuple[float, float, float]

MARGIN = 0.04
"""Width of the margin around a lesion mask that does not count as healthy skin, as a share of the shorter side."""

LEAST_SKIN = 64
"""Pixels of healthy skin that a measurement needs; the tone gate's own limit."""

HEALTHY_COLUMNS = ("attribute_healthy_skin_file_name", "healthy_skin_file_name")
SOURCES = {
    "healthy": "the set's own masks of healthy skin",
    "outside": f"outside of the lesion mask, widened by {MARGIN:.0%} of the image, without a dark frame",
    "border": "the border of the image (it has neither a mask of healthy skin nor of the lesion)",
}
NO_REQUEST = "no requested tone recorded"


def tone_column(images: ImageSet) -> Column:
    """Measured ITA of each image, (N,) float64 degrees; nan where the skin has none.

    ITA = atan2(L* - 50, b*) of the median L* and b* (Chardon et al. 1991) of the healthy skin; b* below 3 is no skin
    colour. A colour cast that the set recorded (``cast_gain_red``, ``_green``, ``_blue``) is undone first, as
    the generator's own gate does.
    """
    sources = [skin_source(record) for record in images.records]
    marked = replace(images, records=tuple(map(_with_skin_mask, images.records, sources)))

    def compute(batch: torch.Tensor, indices: Sequence[int]) -> np.ndarray:
        with_mask = [i for i in indices if sources[i] != "border"]
        masks = dict(zip(with_mask, marked.masks(with_mask), strict=True))
        return np.array(
            [
                _measure(image, masks.get(i), sources[i], recorded_gains(images.records[i]))
                for image, i in zip(batch, indices, strict=True)
            ]
        )

    return Column("ita_deg", f"ita version 2 {','.join(sorted(set(sources)))}", compute)


def skin_source(record: Record) -> str:
    """Where the healthy skin of an image is known from: a key of :data:`SOURCES`."""
    if _healthy_mask(record):
        return "healthy"
    return "outside" if record.mask is not None else "border"


def _healthy_mask(record: Record) -> str | None:
    return next((str(value) for name in HEALTHY_COLUMNS if (value := record.metadata.get(name))), None)


def _with_skin_mask(record: Record, source: str) -> Record:
    return replace(record, mask=_healthy_mask(record)) if source == "healthy" else record


def recorded_gains(record: Record) -> Gains:
    """Gains of red, green and blue in linear light that the generator recorded; ones where it did not.

    Raises:
        InputError: if they are no positive numbers.
    """
    stated = [record.metadata.get(f"cast_gain_{name}") for name in ("red", "green", "blue")]
    if any(value in (None, "") for value in stated):
        return (1.0, 1.0, 1.0)
    try:
        gains = tuple(float(value) for value in stated)
    except (TypeError, ValueError):
        gains = (0.0,)
    if not all(math.isfinite(gain) and gain > 0 for gain in gains):
        raise InputError(f"{record.file}: expected positive numbers in cast_gain_red, _green and _blue, got {stated}")
    return gains


def _measure(image: torch.Tensor, mask: torch.Tensor | None, source: str, gains: Gains) -> float:
    if mask is None:
        tone = pixel_tone(Image.fromarray(_without_cast(image, gains).permute(1, 2, 0).contiguous().numpy()))
        return math.nan if tone.from_lightness else tone.ita_deg
    skin = mask if source == "healthy" else outside_of(mask) & _lit(image)
    if int(skin.sum()) < LEAST_SKIN:
        return math.nan
    lightness, _, b = median_lab(image, skin, gains)
    return ita_deg(lightness, b) if b >= MIN_SKIN_B else math.nan


def outside_of(mask: torch.Tensor) -> torch.Tensor:
    """(H, W) bool: outside of a lesion mask and its margin; of the mask alone if too little is left."""
    clear = ~mask & ~outline_bands(mask[None], MARGIN)[1][0]
    return clear if int(clear.sum()) >= LEAST_SKIN else ~mask


def _lit(image: torch.Tensor) -> torch.Tensor:
    """(H, W) bool: neither as dark as the frame of a dermatoscope nor glare."""
    lightness = rgb_to_lab(image)[0]
    return (lightness >= MIN_LIGHTNESS) & (lightness <= MAX_LIGHTNESS)


def _without_cast(image: torch.Tensor, gains: Gains) -> torch.Tensor:
    if gains == (1.0, 1.0, 1.0):
        return image
    linear = srgb_to_linear(image.float() / 255) / torch.tensor(gains)[:, None, None]
    return (linear_to_srgb(linear).clamp(0, 1) * 255).round().to(torch.uint8)


def tone_figures(images: ImageSet, measured: np.ndarray) -> dict[str, Any]:
    """Requested against measured tone.

    Args:
        images: the synthetic set.
        measured: (N,) ITA in degrees, nan where the skin has none; see :func:`tone_column`.

    Returns:
        JSON values: ``share_inside`` (the requested band), ``per_fst``, ``per_class``, ``confusion`` (6 x 7, the last
        column for colours that are not skin), ``invalid``, ``error_deg`` (mean of |measured - requested| where an
        angle was requested), ``healthy_skin`` (where it is known from). A set without requests says so in ``note``.
    """
    requested = np.array([requested_tone(record) or 0 for record in images.records])
    asked = np.flatnonzero(requested)
    if not len(asked):
        return {"note": NO_REQUEST, "n": 0}
    confusion = tone_confusion(torch.from_numpy(measured[asked]), torch.from_numpy(requested[asked]))
    inside = np.array([_inside(ita, fst) for ita, fst in zip(measured, requested, strict=True)])
    names, codes = np.array(images.label_names, dtype=object), group_codes(images.groups)

    def shares(values: np.ndarray, keys: Sequence[Any], title: Callable[[Any], str]) -> dict[str, Any]:
        chosen = {key: asked[values[asked] == key] for key in keys}
        return {title(key): share_figure(inside[c], codes[c]) for key, c in chosen.items() if len(c)}

    return {
        "n": len(asked),
        "without_request": len(images) - len(asked),
        "healthy_skin": _sources(images),
        "share_inside": share_figure(inside[asked], codes[asked]),
        "invalid": share_figure(np.isnan(measured[asked]), codes[asked]),
        "error_deg": _error(images, measured, codes),
        "per_fst": shares(requested, range(1, len(TONE_BANDS) + 1), str),
        "per_class": shares(names, images.classes, str),
        "confusion": {
            "rows": [str(band.fst) for band in TONE_BANDS],
            "columns": [*(str(band.fst) for band in TONE_BANDS), "invalid colour"],
            "counts": confusion.tolist(),
        },
    }


def _inside(ita: float, fst: int) -> bool:
    return fst > 0 and not math.isnan(ita) and ita in TONE_BANDS[fst - 1]


def _sources(images: ImageSet) -> dict[str, int]:
    found = [skin_source(record) for record in images.records]
    return {text: found.count(name) for name, text in SOURCES.items() if name in found}


def _error(images: ImageSet, measured: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    wanted = np.array([_number(record.metadata, "ita_requested_deg") for record in images.records])
    known = np.flatnonzero(~np.isnan(wanted) & ~np.isnan(measured))
    if not len(known):
        return figure(None, n=0)
    return mean_figure(np.abs(measured[known] - wanted[known]), codes[known])


def _number(row: Mapping[str, Any], column: str) -> float:
    value = row.get(column)
    return math.nan if value in (None, "") else float(value)
