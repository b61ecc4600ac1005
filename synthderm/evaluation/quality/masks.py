"""Do the lesion masks fit their images? Contrast along the outline, overlap with a segmenter that knows real masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from synthderm.core import stream
from synthderm.functional.scores import dice
from synthderm.metrics.masks import BAND, boundary_contrasts

from ..sets import ImageSet
from .columns import Column
from .draws import group_codes
from .shares import mean_figure

Segment = Callable[[torch.Tensor], torch.Tensor]
"""(N, 3, H, W) uint8 to (N, H, W) bool."""


def contrast_column(images: ImageSet) -> Column:
    """Colour difference along each mask's outline, (N,) float64; nan without a mask or without an outline."""
    return _mask_column(images, "boundary_contrast", f"version 1 band {BAND}", boundary_contrasts)


def dice_column(images: ImageSet, name: str, key: str, segment: Segment) -> Column:
    """Dice of a segmenter's mask against each supplied one, (N,) float64; nan without a mask.

    Args:
        images: the set.
        name: of the column.
        key: the hash of the segmenter's weights.
        segment: the segmenter.
    """
    return _mask_column(images, name, key, lambda batch, masks: dice(segment(batch), masks))


def _mask_column(
    images: ImageSet, name: str, key: str, score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | np.ndarray]
) -> Column:
    def compute(batch: torch.Tensor, indices: Sequence[int]) -> np.ndarray:
        values = np.full(len(batch), np.nan)
        present = [place for place, i in enumerate(indices) if images.records[i].mask is not None]
        if present:
            masks = images.masks([indices[place] for place in present])
            values[present] = np.asarray(score(batch[present], masks))
        return values

    return Column(name, key, compute)


def with_masks(images: ImageSet) -> np.ndarray:
    """Indices of the images that have a lesion mask."""
    return np.array([i for i, record in enumerate(images.records) if record.mask is not None], dtype=np.int64)


def without_training_images(images: ImageSet, least: int) -> tuple[np.ndarray, str]:
    """Real images for a segmenter that ships, and what they are.

    Args:
        images: the real set.
        least: images that are enough.

    Returns:
        Indices of images with a mask: those that the set holds back ("val" or "test") if there are enough, else all.
    """
    masked = with_masks(images)
    apart = np.array([i for i in masked if images.records[i].split in ("val", "test")], dtype=np.int64)
    if len(apart) >= least:
        return apart, "images of the splits val and test, which it has not seen"
    return masked, "all real images with a mask; if it was trained on some of them, this figure is too good"


def mean_of_known(values: np.ndarray, images: ImageSet, chosen: np.ndarray | None = None) -> dict[str, Any]:
    """Mean of the values that are known, with an interval over groups."""
    chosen = np.arange(len(values)) if chosen is None else chosen
    kept = chosen[~np.isnan(values[chosen])]
    return mean_figure(values[kept], group_codes(images.groups)[kept])


def per_class(values: np.ndarray, images: ImageSet) -> dict[str, Any]:
    """Class -> mean of its known values."""
    names = np.array(images.label_names, dtype=object)
    return {name: mean_of_known(values, images, np.flatnonzero(names == name)) for name in images.classes}


def shuffled(images: ImageSet, seed: int) -> ImageSet:
    """The set with each image's mask replaced by that of another image, for masks that certainly do not fit."""
    masked = with_masks(images)
    order = stream(seed, "shuffled masks").permutation(masked)
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    records = (
        replace(record, mask=images.records[other[i]].mask) if i in other else record
        for i, record in enumerate(images.records)
    )
    return replace(images, records=tuple(records))
