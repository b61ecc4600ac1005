"""The three sets of an experiment, checked against each other before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.data import Record
from synthderm.data.records import RealSet

from ..sets import ImageSet, open_set
from .arms import SYNTHETIC, SYNTHETIC_ONLY
from .checks import check_classes, check_copies, check_groups, check_sources, pixel_digests, source_groups
from .config import GainConfig
from .material import Material
from .plan import Run, Stock, plan_runs

Source = ImageSet | RealSet | str | Path


@dataclass(frozen=True)
class TestImages:
    """What predictions are scored against.

    Attributes:
        labels: (T,) int64 in the classes of the real training images.
        groups: lesion or patient of each image.
        fst: skin type 1 to 6 of each image, or None.
        classes: names of the labels.
    """

    __test__ = False

    labels: np.ndarray
    groups: Sequence[str]
    fst: Sequence[int | None]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """Everything that runs and figures are made from.

    Attributes:
        config: what is asked for.
        material: pixels, labels and masks.
        test: what predictions are scored against.
        runs: every run that is planned.
        sets: JSON description of the three sets; its digests are part of the identity of the runs.
    """

    config: GainConfig
    material: Material
    test: TestImages
    runs: tuple[Run, ...]
    sets: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        """What finished runs depend on."""
        return {"options": self.config.identity(), "sets": {name: about["digest"] for name, about in self.sets.items()}}


def prepare(
    config: GainConfig,
    real_train: Source,
    synthetic: Source | None,
    real_test: Source,
    train_split: str | None = None,
    test_split: str | None = None,
) -> Experiment:
    """Read the sets, refuse what would make the comparison worthless, and plan every run.

    Args:
        config: what is asked for.
        real_train: folder, zip file or set of real images to train on; an :class:`~synthderm.evaluation.sets.ImageSet`
            must have the config's size.
        synthetic: the same of synthetic images; None only where no arm draws them.
        real_test: the same of real images to score on.
        train_split: split of ``real_train`` that is used.
        test_split: split of ``real_test`` that is used.

    Raises:
        InputError: for shared lesions, copies, classes that do not match, missing masks, too few images.
    """
    needs_masks = config.task == "segmentation"

    def opened(source: Source, split: str | None, name: str) -> ImageSet:
        if isinstance(source, ImageSet):
            return source
        return open_set(
            source,
            size=config.size,
            label_by=config.label_by,
            split=split,
            name=name,
            need_masks=needs_masks,
            leave_out_others=True,
        )

    train, test = opened(real_train, train_split, "real-train"), opened(real_test, test_split, "real-test")
    added = None if synthetic is None else opened(synthetic, None, "synthetic")
    return compare(config, train, added, test)


def compare(config: GainConfig, train: ImageSet, synthetic: ImageSet | None, test: ImageSet) -> Experiment:
    """The experiment on three sets that are open.

    Raises:
        InputError: as :func:`prepare`.
    """
    extra = synthetic if synthetic is not None else train.subset([])
    _require_synthetic(config, synthetic)
    classes = tuple(name for name in train.classes if name in set(train.label_names))
    check_classes(classes, extra.label_names, test.label_names)
    check_groups(train.records, test.records)
    check_sources(extra.records, test.records)
    real_images, images, test_images = train.images(), extra.images(), test.images()
    digests = {"real-train": pixel_digests(real_images), "synthetic": pixel_digests(images)}
    test_digests = pixel_digests(test_images)
    for name, part in (("real-train", train), ("synthetic", extra)):
        check_copies(test_digests, digests[name], [record.file for record in part.records], name)
    sources = inherited_groups(train.records, digests["real-train"], extra.records, digests["synthetic"])
    labels, synthetic_labels = train.labels_in(classes), extra.labels_in(classes)
    stock = Stock(train.records, labels.numpy(), synthetic_labels.numpy(), sources, classes)
    runs = tuple(plan_runs(config, stock))
    masks = config.task == "segmentation"
    material = Material(
        torch.cat([real_images, images]) if len(extra) else real_images,
        torch.cat([labels, synthetic_labels]),
        test_images,
        torch.cat([train.masks(), extra.masks()]) if masks else None,
        test.masks() if masks else None,
    )
    scored = TestImages(test.labels_in(classes).numpy(), test.groups, test.fst, classes)
    named = {"real-train": train, "synthetic": synthetic, "real-test": test}
    about = {name: images.describe() for name, images in named.items() if images is not None}
    return Experiment(config, material, scored, runs, about)


def inherited_groups(
    real: Sequence[Record], real_digests: Sequence[bytes], synthetic: Sequence[Record], digests: Sequence[bytes]
) -> list[frozenset[str]]:
    """The real training groups that each synthetic image belongs to: those it names, and those it is a copy of."""
    copied = {digest: "/".join(record.group_key) for digest, record in zip(real_digests, real, strict=True)}
    stated = source_groups(synthetic, real)
    return [
        found | {copied[digest]} if digest in copied else found for found, digest in zip(stated, digests, strict=True)
    ]


def _require_synthetic(config: GainConfig, synthetic: ImageSet | None) -> None:
    drawing = [kind for kind in config.arms if kind in (SYNTHETIC, SYNTHETIC_ONLY)]
    if drawing and synthetic is None:
        raise InputError(f"expected a synthetic set for the arms {', '.join(drawing)}, got none; give --synthetic DIR")
