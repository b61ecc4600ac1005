"""The two sets of a quality run, opened and found fit to be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthderm.data import find_tones, read_dataset
from synthderm.data.records import RealSet
from synthderm.models.features import FeatureExtractor

from ..sets import ImageSet, open_set, require_one_size
from .cells import Cell, make_cells, shared_classes
from .columns import Column, ColumnCache, measure
from .distances import require_enough
from .options import QualityOptions

Source = str | Path | RealSet | ImageSet
_TONE_SOURCES = (
    *("unknown", "fitzpatrick column", "ita column", "pixels", "pixels, lightness alone"),
    *("pixels within the stated pair", "lighter of the stated pair"),
)
StepProgress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


@dataclass(frozen=True)
class Subjects:
    """What a run is about.

    Attributes:
        synthetic: the set that is judged.
        real: the set that it is compared with.
        other_labels: label -> real images that were left out because it is none of the classes.
        extractor: the feature space.
        folder: of the results.
        options: of the run.
        report: told what is being done.
    """

    synthetic: ImageSet
    real: ImageSet
    other_labels: dict[str, int]
    extractor: FeatureExtractor
    folder: Path
    options: QualityOptions
    report: StepProgress = field(default=lambda step, done, total: None)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes of both sets."""
        return shared_classes(self.synthetic, self.real)

    @cached_property
    def cells(self) -> list[Cell]:
        """What is compared with what."""
        return make_cells(self.synthetic, self.real, self.options.by)

    @cached_property
    def cache(self) -> ColumnCache:
        """What earlier runs into the same folder have measured."""
        return ColumnCache(self.folder)

    def require_comparable(self) -> None:
        """Refuse sets that cannot be compared, before anything is measured.

        Raises:
            InputError: for sets of different image sizes, without a common class, with an unknown part, without masks
                that are required, or with too few images for a FID.
        """
        require_one_size(self.synthetic, self.real)
        shared_classes(self.synthetic, self.real)
        make_cells(self.synthetic, self.real, self.options.by)
        if self.options.require_masks:
            self.synthetic.require_masks()
        network = self.extractor
        n = len(self.synthetic), len(self.real)
        require_enough(*n, network.num_features, network.name, self.options.force)

    def measure(self, images: ImageSet, columns: Sequence[Column], role: str) -> dict[str, np.ndarray]:
        """Columns of a set; see :func:`~synthderm.evaluation.quality.columns.measure`."""
        step = f"{role.replace('_', ' ')} images"

        def report(done: int, total: int) -> None:
            self.report(step, done, total)

        return measure(images, columns, self.cache, role, self.options.batch_size, report)

    def describe(self) -> dict[str, Any]:
        """JSON values for the head of the result."""
        synthetic, real = self.synthetic, self.real
        return {
            "sets": {"synthetic": synthetic.describe(), "real": real.describe()},
            "extractor": self.extractor.describe(),
            "classes": {
                "shared": list(self.classes),
                "synthetic_only": [name for name in synthetic.classes if name not in self.classes],
                "real_only": [name for name in real.classes if name not in self.classes],
                "real_left_out": self.other_labels,
            },
            "options": {**self.options.describe(), "size": synthetic.size},
        }


def open_synthetic(given: Source, size: int | None, label_by: str) -> ImageSet:
    """The synthetic set, with tones as its table states them; see :func:`~synthderm.evaluation.sets.open_set`."""
    if isinstance(given, ImageSet):
        return given
    return open_set(given, size=size, label_by=label_by, tone_from="stated")


def open_real(given: Source, size: int | None, label_by: str, split: str | None) -> tuple[ImageSet, dict[str, int]]:
    """The real set, with tones as its table states them.

    Images of diagnoses that this library has no code for are left out; also returned: how many of which these are.

    Args:
        given: folder, zip file or set.
        size: see :func:`~synthderm.evaluation.sets.open_set`.
        label_by: with "diagnosis", images of other labels are left out; a set without any image left is an error.
        split: only this one.
    """
    if isinstance(given, ImageSet):
        return given, {}
    source = given if isinstance(given, RealSet) else read_dataset(given, check_images="header", tone_from="stated")
    in_split = [record for record in source if split is None or record.split == split]
    others = Counter(record.label for record in in_split if record.diagnosis is None)
    if label_by != "diagnosis" or others.total() == len(in_split):
        others = Counter()
    if others:
        source = replace(source, records=tuple(record for record in source if record.diagnosis is not None))
    return open_set(source, size=size, label_by=label_by, split=split), dict(others)


def type_column(images: ImageSet) -> Column:
    """Skin type of each real image with where it comes from, (N, 2) int64; measured where the set states none."""

    def compute(batch: torch.Tensor, indices: Sequence[int]) -> np.ndarray:
        found = find_tones(images.source, [images.records[i] for i in indices], "auto")
        return np.array([(record.fst or 0, _TONE_SOURCES.index(record.tone_source)) for record in found])

    return Column("skin_type", "version 1", compute)


def with_types(images: ImageSet, types: np.ndarray) -> ImageSet:
    """The set with the skin types of :func:`type_column`."""
    pairs = zip(images.records, types.tolist(), strict=True)
    return replace(
        images, records=tuple(replace(r, fst=fst or None, tone_source=_TONE_SOURCES[code]) for r, (fst, code) in pairs)
    )
