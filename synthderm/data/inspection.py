"""One pass over the images of a set: are they sound, and what is their skin tone?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from synthderm.core import InputError

from .images import MAX_PIXELS, check_header, open_mask, read_image
from .records import LeftOut, Note, RealSet, Record
from .tone import pixel_tone, resolve_tone, stated_tone
from .tree import FileTree

CHECKS = ("decode", "header", "none")
_AT_ONCE = 256


@dataclass(frozen=True)
class Inspector:
    """How the images of a set are checked.

    Attributes:
        tree: where they are.
        tone_from: see :func:`~synthderm.data.read_dataset`.
        check_images: "decode", "header" or "none".
        max_pixels: images with more are left out.
    """

    tree: FileTree
    tone_from: str
    check_images: str
    max_pixels: int

    def run(
        self,
        records: Sequence[Record],
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[list[Record], list[LeftOut], list[Note]]:
        """The sound records with their tones, those left out, and notes; all in the order of ``records``."""
        sound: list[Record] = []
        left_out: list[LeftOut] = []
        notes: list[Note] = []
        for done, (record, texts, reason) in enumerate(self._all(records, workers), start=1):
            if reason is not None:
                left_out.append(LeftOut(record.file, reason))
            else:
                sound.append(record)
                notes += [Note(record.file, text) for text in texts]
            if progress is not None:
                progress(done, len(records))
        return sound, left_out, notes

    def _all(self, records: Sequence[Record], workers: int | None) -> Iterator[tuple[Record, list[str], str | None]]:
        with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8)) as pool:
            for start in range(0, len(records), _AT_ONCE):  # so that an interrupt does not wait for all
                yield from pool.map(self.inspect, records[start : start + _AT_ONCE])

    def inspect(self, record: Record) -> tuple[Record, list[str], str | None]:
        """The record with its tone, notes, and the reason to leave it out or None."""
        stated = stated_tone(record, self.tone_from)
        measure = stated is None and self.tone_from in ("auto", "pixels")
        notes: list[str] = []
        try:
            image = self._look(record, measure, notes)
        except InputError as error:
            return record, [], self._short(str(error), record.file)
        if image is None or not (measure or self.check_images == "decode"):
            return resolve_tone(record, stated, None), notes, None
        record, mask = self._mask(record, image, notes)
        return resolve_tone(record, stated, pixel_tone(image, mask) if measure else None), notes, None

    def _short(self, text: str, file: str) -> str:
        return text.removeprefix(self.tree.describe(file)).strip()

    def _look(self, record: Record, measure: bool, notes: list[str]) -> Image.Image | None:
        if self.check_images == "none" and not measure:
            return None
        name = self.tree.describe(record.file)
        with self.tree.open(record.file) as file:
            if self.check_images == "header" and not measure:
                notes += check_header(file, name=name, max_pixels=self.max_pixels)
                return None
            opened = read_image(file, name=name, max_pixels=self.max_pixels)
        notes += opened.notes
        return opened.image

    def _mask(self, record: Record, image: Image.Image, notes: list[str]) -> tuple[Record, np.ndarray | None]:
        """The mask; a record whose mask cannot be used goes on without it."""
        if record.mask is None:
            return record, None
        name = self.tree.describe(record.mask)
        try:
            with self.tree.open(record.mask) as file:
                return record, open_mask(file, image.size, name=name, max_pixels=self.max_pixels)
        except InputError as error:
            notes.append(f"its mask is not used: {self._short(str(error), record.mask)}")
            return replace(record, mask=None), None


def find_tones(source: RealSet, records: Sequence[Record], tone_from: str = "auto") -> tuple[Record, ...]:
    """Some records of a set with their tones, measured from the pixels where ``tone_from`` asks for it.

    For a part of a set that was read with ``tone_from="stated"``: only the images of that part are opened.

    Args:
        source: the set.
        records: of that set.
        tone_from: as for :func:`~synthderm.data.read_dataset`.

    Raises:
        InputError: if an image that must be measured cannot be read.
    """
    sound, left_out, _ = Inspector(source.tree, tone_from, "none", MAX_PIXELS).run(records)
    if left_out:
        raise InputError(f"cannot measure the tone of {left_out[0].file}: it {left_out[0].reason}")
    return tuple(sound)
