"""The images an adapter learns from: which, what they show, which are held out, and their pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import RealSet, Record, read_dataset, split_by_group

HELD_OUT_SPLITS = ("val", "valid", "validation")
LEAST = 2


@dataclass(frozen=True)
class TrainingImages:
    """Labelled images of a data set, parted by lesion or patient.

    Attributes:
        source: the set that they are read from.
        train: the images that are trained on.
        held_out: the images of other lesions or patients that only the validation sees; may be empty.
        notes: what a user must know: images that are left out, classes that are missing.
    """

    source: RealSet
    train: tuple[Record, ...]
    held_out: tuple[Record, ...]
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Record, ...]:
        """Training images, then held-out ones."""
        return self.train + self.held_out

    @property
    def unseen(self) -> tuple[str, ...]:
        """Codes of the classes of which no image is trained on."""
        found = {record.diagnosis for record in self.train}
        return tuple(code for code in DIAGNOSES if code not in found)

    def counts(self) -> dict[str, dict[str, int]]:
        """Training images by class, by measured tone ("unknown" where none could be measured) and by licence."""
        classes = Counter(record.diagnosis for record in self.train)
        tones = Counter("unknown" if record.fst is None else str(record.fst) for record in self.train)
        licences = Counter(record.licence or "not stated" for record in self.train)
        return {
            "classes": {code: classes[code] for code in DIAGNOSES if classes[code]},
            "fst": dict(sorted(tones.items())),
            "licences": dict(licences.most_common()),
        }

    def pixels(self, record: Record, size: int) -> torch.Tensor:
        """(3, size, size) uint8 sRGB: the centre square, antialiased.

        Raises:
            InputError: if the file cannot be read.
        """
        image = ImageOps.fit(self.source.open_image(record), (size, size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def mask(self, record: Record, size: int) -> torch.Tensor | None:
        """(size, size) bool lesion mask through the same crop, or None if the set has none for the image."""
        if record.mask is None:
            return None
        found = self.source.open_mask(record, self.source.open_image(record).size)
        grey = ImageOps.fit(Image.fromarray(found.astype(np.uint8) * 255), (size, size), Image.Resampling.BOX)
        return torch.from_numpy(np.array(grey) >= 128)


def open_images(
    path: str | Path,
    *,
    hold_out: float,
    seed: int,
    modality: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingImages:
    """Read a set for training; tones are measured from the pixels.

    A set with a split of its own keeps it: "train" is trained on, "val" is held out, all else is left alone. Otherwise
    whole lesions or patients are held out.

    Args:
        path: folder or zip file of any layout that :func:`~synthderm.data.read_dataset` knows.
        hold_out: share of images to hold out; 0: none.
        seed: of the split.
        modality: "dermoscopy" or "clinical", of images for which the set does not say it; dermoscopy if None, with a
            note.
        progress: called with (images done, images in all).

    Raises:
        InputError: no reader fits, fewer than two images with a known class, or nothing can be held out.
    """
    source = read_dataset(path, tone_from="pixels", progress=progress)
    known = [record for record in source if record.diagnosis is not None]
    notes = _left_out(source, known)
    if len(known) < LEAST:
        raise InputError(
            f"{path} holds {len(known)} images of a known class, expected at least {LEAST}; "
            f"{'; '.join(notes) or 'nothing was left out'}"
        )
    known = _with_modality(known, modality, notes)
    train, held_out = _parted(known, hold_out, seed, notes)
    found = TrainingImages(source, tuple(train), tuple(held_out))
    if found.unseen:
        notes.append(f"no training image of {', '.join(found.unseen)}: the adapter learns nothing of these classes")
    return TrainingImages(source, found.train, found.held_out, tuple(notes))


def _left_out(source: RealSet, known: Sequence[Record]) -> list[str]:
    notes = []
    if source.left_out:
        first = source.left_out[0]
        notes.append(f"left out {len(source.left_out)} files, the first is {first.file}: {first.reason}")
    strange = Counter(record.label for record in source if record.diagnosis is None)
    if strange:
        shown = ", ".join(f"{label!r} ({n})" for label, n in strange.most_common(5))
        notes.append(
            f"left out {len(source) - len(known)} images whose label is none of {', '.join(DIAGNOSES)}: {shown}"
        )
    return notes


def _with_modality(records: list[Record], modality: str | None, notes: list[str]) -> list[Record]:
    silent = sum(record.modality is None for record in records)
    if silent and modality is None:
        notes.append(
            f"for {silent} images the set does not say whether they are dermoscopy; taken as such: give --modality "
            "clinical if they are photographs"
        )
    return [replace(record, modality=record.modality or modality or "dermoscopy") for record in records]


def _parted(
    records: list[Record], hold_out: float, seed: int, notes: list[str]
) -> tuple[Sequence[Record], Sequence[Record]]:
    names = {(record.split or "").lower() for record in records}
    if "train" in names:
        records = _with_split(records, notes, hold_out > 0)
        train = [record for record in records if (record.split or "").lower() == "train"]
        held_out = [record for record in records if (record.split or "").lower() in HELD_OUT_SPLITS]
        if held_out or hold_out == 0:
            return train, held_out if hold_out else []
        records = train
    return _split(records, hold_out, seed) if hold_out else (records, [])


def _with_split(records: list[Record], notes: list[str], holds_out: bool) -> list[Record]:
    """The images of the set's training and validation parts."""
    wanted = ("train", *HELD_OUT_SPLITS) if holds_out else ("train",)
    kept = [record for record in records if (record.split or "").lower() in wanted]
    if len(kept) < len(records):
        others = Counter(record.split or "none" for record in records if (record.split or "").lower() not in wanted)
        notes.append(f"left alone images of other splits: {', '.join(f'{name} ({n})' for name, n in others.items())}")
    return kept


def _split(records: list[Record], hold_out: float, seed: int) -> tuple[list[Record], list[Record]]:
    if len({record.group_key for record in records}) < 2:
        raise InputError(
            "all images are of one lesion or patient, so that none can be held out; "
            "add images of others, or give --validate-every 0 to train without a hold-out"
        )
    fractions = {"train": 1 - hold_out, "held_out": hold_out}
    for stratify in ("diagnosis", None):
        parts = split_by_group(records, fractions, seed, stratify)
        if parts["train"] and parts["held_out"]:
            return parts["train"], parts["held_out"]
    first = parts["train"][0].group_key if parts["train"] else parts["held_out"][0].group_key
    held_out = [record for record in records if record.group_key == first]
    return [record for record in records if record.group_key != first], held_out
