"""What is measured of every image for its condition: the colour of the skin and the lesion's ABCD, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from synthderm.data import Record
from synthderm.functional.attributes import ATTRIBUTES, lesion_attributes
from synthderm.functional.color import median_lab
from synthderm.functional.skin import healthy_skin

from .images import TrainingImages

SIDE = 128
"""Side at which all is measured, px."""

MIN_SKIN_PX = 40

Look = tuple[float, ...]
"""L*, a*, b* of the healthy skin, then the raw measures of :data:`~synthderm.functional.attributes.ATTRIBUTES`; nan
where something cannot be measured."""


class Masker:
    """Lesion masks: those of the data set, and the shipped segmenter's where it has none."""

    def __init__(self, images: TrainingImages) -> None:
        self.images = images
        self._segmenter: torch.nn.Module | None = None

    def __call__(self, record: Record, pixels: torch.Tensor) -> torch.Tensor:
        """(S, S) bool for (3, S, S) uint8 pixels of a record."""
        mask = self.images.mask(record, pixels.shape[-1])
        if mask is not None:
            return mask
        if self._segmenter is None:
            from synthderm.models.checkpoints import load_segmenter

            self._segmenter = load_segmenter()
        return self._segmenter(pixels[None])[0]


def measure_looks(images: TrainingImages, progress: Callable[[int, int], None] | None = None) -> list[Look]:
    """The look of every image, in the order of :attr:`TrainingImages.all`."""
    masker, looks = Masker(images), []
    for done, record in enumerate(images.all, 1):
        pixels = images.pixels(record, SIDE)
        looks.append(look_of(pixels, masker(record, pixels)))
        if progress is not None:
            progress(done, len(images.all))
    return looks


def look_of(pixels: torch.Tensor, mask: torch.Tensor) -> Look:
    """The look of (3, S, S) uint8 pixels with a (S, S) bool lesion mask."""
    skin = healthy_skin(pixels, mask)
    if int(skin.sum()) < MIN_SKIN_PX:
        return (math.nan,) * (3 + len(ATTRIBUTES))
    colour = torch.tensor(median_lab(pixels, skin), dtype=torch.float32)
    measured = lesion_attributes(pixels, mask, colour)
    return tuple(round(float(value), 5) for value in (*colour, *measured))


def ranks(looks: Sequence[Look]) -> list[Mapping[str, float]]:
    """For every image the share of images with a lower measure, 0 to 1, by attribute; {} where one is missing.

    Words such as "large" are thus relative to the data set, as they are in the base's own captions.
    """
    columns = [torch.tensor([look[3 + i] for look in looks]) for i in range(len(ATTRIBUTES))]
    found = []
    for n in range(len(looks)):
        row = {}
        for name, column in zip(ATTRIBUTES, columns, strict=True):
            known = column[~column.isnan()]
            row[name] = float((known < column[n]).float().mean()) if not math.isnan(column[n]) else math.nan
        found.append({} if any(math.isnan(value) for value in row.values()) else row)
    return found
