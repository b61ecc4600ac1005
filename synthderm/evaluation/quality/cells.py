"""What is compared with what: the whole sets, and their parts by class, by skin type and by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthderm.core import TONE_BANDS, InputError, ita_to_fst
from synthderm.core.checks import unknown
from synthderm.data import Record

from ..sets import ImageSet, ordered_classes

PARTS = ("class", "tone")
"""What sets can be parted by."""


@dataclass(frozen=True)
class Cell:
    """Images of one kind in both sets.

    Attributes:
        scope: "all", "class", "tone" or "class x tone".
        diagnosis: the class, None for all.
        fst: the skin type 1 to 6, None for all.
        synthetic: indices into the synthetic set.
        real: indices into the real set.
    """

    scope: str
    diagnosis: str | None
    fst: int | None
    synthetic: np.ndarray
    real: np.ndarray


def requested_tone(record: Record) -> int | None:
    """The skin type that an image was asked to show, 1 to 6, or None if its set does not say.

    ``fst_requested``, else the band of ``ita_requested_deg``, else the type that the set states for the image.

    Raises:
        InputError: if one of these holds something else than a type or an angle.
    """
    row = record.metadata
    for column, read in (("fst_requested", lambda value: int(float(value))), ("ita_requested_deg", _band_of)):
        value = row.get(column)
        if value in (None, ""):
            continue
        try:
            fst = read(value)
        except (ValueError, TypeError):
            fst = 0
        if not 1 <= fst <= len(TONE_BANDS):
            raise InputError(f"{record.file}: expected a skin type 1 to 6 or degrees in {column}, got {value!r}")
        return fst
    return record.fitzpatrick


def _band_of(value: object) -> int:
    return ita_to_fst(float(value))


def tones_of(synthetic: ImageSet) -> list[int | None]:
    """The type of each synthetic image: the requested one, or what its set gives where nothing was requested."""
    return [requested_tone(record) or record.fst for record in synthetic.records]


def shared_classes(synthetic: ImageSet, real: ImageSet) -> tuple[str, ...]:
    """Classes that occur in both sets.

    Raises:
        InputError: if there is none.
    """
    both = set(synthetic.label_names) & set(real.label_names)
    if not both:
        raise InputError(
            f"the sets share no class: {synthetic.name} holds {', '.join(synthetic.classes)}; {real.name} holds "
            f"{', '.join(real.classes)}. Choose labels that both have with --label-by"
        )
    return ordered_classes(sorted(both))


def make_cells(synthetic: ImageSet, real: ImageSet, by: Sequence[str] = PARTS) -> list[Cell]:
    """All cells that hold a synthetic image, the whole sets first.

    Args:
        synthetic: parted by the tone of :func:`tones_of`.
        real: parted by ``fst``.
        by: of :data:`PARTS`; with both also the cells of class x tone.

    Raises:
        InputError: for an unknown part.
    """
    for part in by:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    sides = [(synthetic, tones_of(synthetic)), (real, real.fst)]
    labels = [np.array(images.label_names, dtype=object) for images, _ in sides]
    tones = [np.array([tone or 0 for tone in tones]) for _, tones in sides]
    classes = ordered_classes(synthetic.label_names) if "class" in by else ()
    types = sorted({int(tone) for tone in tones[0]} - {0}) if "tone" in by else []

    def cell(scope: str, name: str | None, fst: int | None) -> Cell:
        of_class = [np.ones(len(side), bool) if name is None else side == name for side in labels]
        of_tone = [np.ones(len(side), bool) if fst is None else side == fst for side in tones]
        chosen = [np.flatnonzero(a & b) for a, b in zip(of_class, of_tone, strict=True)]
        return Cell(scope, name, fst, *chosen)

    cells = [cell("all", None, None)]
    cells += [cell("class", name, None) for name in classes]
    cells += [cell("tone", None, fst) for fst in types]
    cells += [cell("class x tone", name, fst) for name in classes for fst in types]
    return [one for one in cells if len(one.synthetic)]
