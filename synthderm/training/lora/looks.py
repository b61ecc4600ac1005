"""What is measured of every image for its condition: the colour of the skin and the lesion's ABCD, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from synthderm.core import MIN_SKIN_B, TONE_BANDS
from synthderm.data import Record
from synthderm.functional.attributes import ATTRIBUTES
from synthderm.functional.color import ita_deg
from synthderm.functional.tone_shift import apply_gains, tone_gains, turn_to_ita

from ..flow.images import describe
from .draws import draw_seed
from .images import TrainingImages

SIDE = 128
"""Side at which all is measured, px."""

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


@dataclass(frozen=True)
class Version:
    """An image as it is, or on another skin tone.

    Attributes:
        look: what is measured of it.
        gains: of linear red, green and blue that make it of the image; () for the image as it is.
    """

    look: Look
    gains: tuple[float, ...] = ()


def measure_looks(
    images: TrainingImages,
    tones: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Version]]:
    """Each image, in the order of :attr:`TrainingImages.all`, as it is; training images also on other tones.

    Args:
        images: the images.
        tones: versions on other tones of each training image whose skin colour can be measured.
        seed: of the tones.
        progress: called with (images done, images in all).
    """
    masker, found = Masker(images), []
    for done, record in enumerate(images.all, 1):
        pixels = images.pixels(record, SIDE)
        mask = masker(record, pixels)
        versions = [Version(look_of(pixels, mask))]
        colour = torch.tensor(versions[0].look[:3])
        if done <= len(images.train) and not colour.isnan().any():
            versions += [_shifted(pixels, mask, colour, draw_seed(seed, "tone", record.file, k)) for k in range(tones)]
        found.append(versions)
        if progress is not None:
            progress(done, len(images.all))
    return found


def _shifted(pixels: torch.Tensor, mask: torch.Tensor, colour: torch.Tensor, seed: int) -> Version:
    """The image on a tone that is drawn: one of the six types, all equally often, and an ITA of its band."""
    chance = torch.Generator().manual_seed(seed)
    band = TONE_BANDS[int(torch.randint(len(TONE_BANDS), (1,), generator=chance))]
    share = float(torch.rand(1, generator=chance))
    ita = band.draw_low_deg + share * (band.draw_high_deg - band.draw_low_deg)
    gains = tone_gains(colour, turn_to_ita(colour, ita))
    return Version(look_of(apply_gains(pixels, gains), mask), tuple(round(float(gain), 5) for gain in gains))


def tone_of(look: Look) -> float | None:
    """ITA in degrees of the skin colour of a look; None where it is no skin colour."""
    lightness, _, b = look[:3]
    return None if math.isnan(lightness) or b < MIN_SKIN_B else float(ita_deg(lightness, b))


def look_of(pixels: torch.Tensor, mask: torch.Tensor) -> Look:
    """The look of (3, S, S) uint8 pixels with a (S, S) bool lesion mask."""
    colour, measured = describe(pixels, mask)
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
