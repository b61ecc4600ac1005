"""A real data set as this library sees it: records, what was left out, and how it was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from synthderm.core import InputError

from .images import MAX_PIXELS, OpenedImage, open_mask, read_image
from .tree import FileTree


@dataclass(frozen=True)
class Record:
    """One image of a data set.

    Attributes:
        file: name of the image inside the set, with forward slashes; see :meth:`RealSet.open_image`.
        dataset: name of the set it comes from ("ham10000").
        label: the label as found.
        diagnosis: one of the seven codes, or None where the label is none of them.
        group: lesion or patient; images of one group must stay on one side of a split. None: a group of its
            own.
        split: "train", "val", "test" or whatever the set calls it; None if it has no splits.
        fitzpatrick: Fitzpatrick type 1 to 6 as the set states it, or None.
        fitzpatrick_range: for sets that state pairs of types (DDI: 1-2, 3-4, 5-6); None elsewhere.
        ita_deg: ITA in degrees from a column of the set, or None; not checked here.
        ita_is_estimate: the column says that it is an estimate (``ita_est``).
        fst: the type that the record counts as, from the source in ``tone_source``; None: unknown.
        tone_source: "fitzpatrick column", "ita column", "pixels", "pixels, lightness alone", "pixels within
            the stated pair", "lighter of the stated pair" or "unknown"; see :mod:`synthderm.data.tone`.
        measured_ita_deg: ITA in degrees measured from the pixels, if that was done and gave a skin colour.
        mask: name of the lesion mask inside the set, or None.
        modality: "dermoscopy", "clinical" or None.
        licence: as the set states it, or its known licence.
        age: years, or None.
        sex, site: as found, lower case, or None.
        source_id: the image's id in its set.
        is_synthetic: True only where the set says so.
        metadata: the whole row as found.
    """

    file: str
    dataset: str
    label: str
    diagnosis: str | None = None
    group: str | None = None
    split: str | None = None
    fitzpatrick: int | None = None
    fitzpatrick_range: tuple[int, int] | None = None
    ita_deg: float | None = None
    ita_is_estimate: bool = False
    fst: int | None = None
    tone_source: str = "unknown"
    measured_ita_deg: float | None = None
    mask: str | None = None
    modality: str | None = None
    licence: str | None = None
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    source_id: str | None = None
    is_synthetic: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def group_key(self) -> tuple[str, str]:
        """What must not cross a split: the set with the lesion or patient, or with the file itself."""
        return (self.dataset, self.group if self.group is not None else f"file:{self.file}")


@dataclass(frozen=True)
class LeftOut:
    """A file that is not among the records, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Note:
    """Something about a file that was read: a wrong suffix, a mask that is missing, greyscale."""

    file: str
    text: str


@dataclass(frozen=True)
class RealSet(Sequence[Record]):
    """Records of a data set; a sequence of :class:`Record`.

    Attributes:
        tree: the folder or zip file that the images are read from.
        reader: name of the reader.
        why: why that reader was taken, one line.
        records: in the order of the set's table, or of the file names.
        left_out: every row and file that is not among them, with the reason.
        notes: what is worth knowing about files that are.
    """

    tree: FileTree
    reader: str
    why: str
    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        return self.records[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def read_image(self, record: Record, max_pixels: int = MAX_PIXELS) -> OpenedImage:
        """The record's image, with what was done to make it RGB.

        Raises:
            InputError: if it is missing or cannot be read, naming the file.
        """
        with self.tree.open(record.file) as file:
            return read_image(file, name=self.tree.describe(record.file), max_pixels=max_pixels)

    def open_image(self, record: Record, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """The record's image, 8-bit sRGB."""
        return self.read_image(record, max_pixels).image

    def open_mask(self, record: Record, size: tuple[int, int]) -> np.ndarray | None:
        """The record's lesion mask as (H, W) bool, or None if it has none.

        Args:
            record: one of the set.
            size: (width, height) of its image, px; see :func:`~synthderm.data.images.open_mask`.

        Raises:
            InputError: if the mask is missing, unreadable, or of another shape than the image.
        """
        if record.mask is None:
            return None
        with self.tree.open(record.mask) as file:
            return open_mask(file, size, name=self.tree.describe(record.mask))

    def summary(self) -> dict[str, Any]:
        """JSON values: how it was read, counts by data set, tone source and so on, and what was left out."""

        def count(attribute: str) -> dict[str, int]:
            return dict(Counter(str(getattr(record, attribute)) for record in self.records).most_common())

        return {
            "path": str(self.tree.path),
            "reader": self.reader,
            "why": self.why,
            "records": len(self.records),
            "datasets": count("dataset"),
            "tone_sources": count("tone_source"),
            "splits": count("split"),
            "modalities": count("modality"),
            "licences": count("licence"),
            "with_mask": sum(record.mask is not None for record in self.records),
            "groups": len({record.group_key for record in self.records}),
            "left_out": [{"file": item.file, "reason": item.reason} for item in self.left_out],
            "notes": [{"file": item.file, "text": item.text} for item in self.notes],
        }


def require_records(records: Sequence[Record] | RealSet, purpose: str) -> Sequence[Record]:
    """``records``, if there are any.

    Raises:
        InputError: if there are none; for a set it names the first reasons.
    """
    if len(records) == 0:
        left_out = getattr(records, "left_out", ())
        why = f"; all {len(left_out)} were left out, the first because: {left_out[0].reason}" if left_out else ""
        raise InputError(f"no images to {purpose}{why}")
    return records
