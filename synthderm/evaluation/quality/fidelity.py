"""Does a classifier that was trained on real images only recognise the requested class?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from synthderm.metrics.fidelity import class_confusion

from ..result import LEAST_GROUP
from ..sets import ImageSet
from .draws import group_codes
from .folds import real_folds, synthetic_folds
from .probe import fit_probe
from .shares import macro_figure, share_figure

PROBE = "probe"
PROBE_FOLDS, NETWORK_FOLDS = 5, 2

Recogniser = Callable[[str, np.ndarray], np.ndarray]
"""("synthetic" or "real", (M,) indices into that set) -> (M,) int64 recognised classes."""

Fit = Callable[[np.ndarray, int], Recogniser]
"""((M,) indices of real images, number of the fold) -> a recogniser that was trained on them."""


@dataclass(frozen=True)
class Recognised:
    """What the classifiers said.

    Attributes:
        classes: those of the real set, in order; index = label.
        requested: (N,) labels of the synthetic images; -1: a class that the real set does not hold.
        synthetic: (N,) recognised class of each synthetic image; -1 where it was not asked.
        truth: (M,) labels of the real images.
        real: (M,) recognised class of each real image, by a model that has not seen its group.
    """

    classes: tuple[str, ...]
    requested: np.ndarray
    synthetic: np.ndarray
    truth: np.ndarray
    real: np.ndarray


def recognise(synthetic: ImageSet, real: ImageSet, fit: Fit, folds: int, seed: int) -> Recognised:
    """Train one classifier for each fold on the other folds, and let it judge its own fold and its synthetic images.

    Both sets are thus judged by the same classifiers, none of which has seen what it judges.

    Args:
        synthetic: images with a requested class; those of a class that the real set lacks are left out.
        real: the only images that the classifiers are trained on; classes with fewer groups than folds are left out.
        fit: trains a classifier.
        folds: how many.
        seed: of the folds.
    """
    classes = usable_classes(real, folds)
    place = {name: i for i, name in enumerate(classes)}
    requested = np.array([place.get(name, -1) for name in synthetic.label_names])
    truth = np.array([place.get(name, -1) for name in real.label_names])
    fold_of_real = real_folds(real, folds, seed)
    fold_of_synthetic = synthetic_folds(synthetic, real, fold_of_real)
    found = {"synthetic": np.full(len(synthetic), -1), "real": np.full(len(real), -1)}
    for fold in range(folds):
        model = fit(np.flatnonzero((fold_of_real != fold) & (truth >= 0)), fold)
        for role, of_fold in (
            ("synthetic", (fold_of_synthetic == fold) & (requested >= 0)),
            ("real", (fold_of_real == fold) & (truth >= 0)),
        ):
            chosen = np.flatnonzero(of_fold)
            if len(chosen):
                found[role][chosen] = model(role, chosen)
    return Recognised(classes, requested, found["synthetic"], truth, found["real"])


def usable_classes(real: ImageSet, folds: int) -> tuple[str, ...]:
    """Classes of the real set with at least as many lesions or patients as folds."""
    groups: dict[str, set[str]] = {name: set() for name in real.classes}
    for name, group in zip(real.label_names, real.groups, strict=True):
        groups[name].add(group)
    return tuple(name for name in real.classes if len(groups[name]) >= folds)


def probe_fit(features: dict[str, np.ndarray], labels: np.ndarray, num_classes: int) -> Fit:
    """Linear probes on features; see :func:`~synthderm.evaluation.quality.probe.fit_probe`.

    Args:
        features: role -> (N, D).
        labels: of the real images; those of the chosen ones must be in [0, num_classes).
        num_classes: C.
    """

    def fit(chosen: np.ndarray, fold: int) -> Recogniser:
        probe = fit_probe(features["real"][chosen], labels[chosen], num_classes)
        return lambda role, indices: probe.recognise(features[role][indices])

    return fit


def fidelity_figures(found: Recognised, synthetic: ImageSet, real: ImageSet, seed: int) -> dict[str, Any]:
    """Shares with intervals, and the confusion of requested and recognised class.

    Returns:
        JSON values: ``synthetic`` and ``real`` (class -> share of its images that were recognised), ``macro`` (of both,
        mean of the requested classes that have enough images in both sets), ``macro_classes``, ``confusion``,
        ``confusion_real``, ``left_out``.
    """
    asked = [i for i in range(len(found.classes)) if bool((found.requested == i).any())]
    sides = {
        "synthetic": (found.requested, found.synthetic, group_codes(synthetic.groups)),
        "real": (found.truth, found.real, group_codes(real.groups)),
    }
    figures: dict[str, Any] = {}
    for role, (truth, said, codes) in sides.items():
        figures[role] = {
            found.classes[i]: share_figure(said[truth == i] == i, codes[truth == i])
            for i in (asked if role == "synthetic" else range(len(found.classes)))
        }
    enough = [i for i in asked if min(int((found.requested == i).sum()), int((found.truth == i).sum())) >= LEAST_GROUP]
    figures["macro"] = {role: macro_figure(*side, enough, seed) for role, side in sides.items()}
    figures["macro_classes"] = [found.classes[i] for i in enough]
    figures["confusion"] = _confusion(found.requested, found.synthetic, found.classes, asked)
    figures["confusion_real"] = _confusion(found.truth, found.real, found.classes, range(len(found.classes)))
    figures["left_out"] = {"synthetic": _missing(synthetic, found), "real": _missing(real, found)}
    return figures


def _confusion(truth: np.ndarray, said: np.ndarray, classes: Sequence[str], rows: Sequence[int]) -> dict[str, Any]:
    known = truth >= 0
    counts = class_confusion(torch.from_numpy(truth[known]), torch.from_numpy(said[known]), len(classes))
    return {
        "rows": [classes[i] for i in rows],
        "columns": list(classes),
        "counts": [counts[i].tolist() for i in rows],
    }


def _missing(images: ImageSet, found: Recognised) -> dict[str, int]:
    return {name: images.label_names.count(name) for name in images.classes if name not in found.classes}


def held_out_recall(found: Recognised, real: ImageSet) -> dict[str, dict[str, Any]] | None:
    """Recall on the real images that the set itself holds back ("val" or "test"), or None if there are none.

    What a shipped extractor was trained on are images of a "train" split; these are not.
    """
    apart = np.array([record.split in ("val", "test") for record in real.records])
    if not apart.any() or apart.all():
        return None
    codes = group_codes(real.groups)
    return {
        name: share_figure(found.real[chosen] == i, codes[chosen])
        for i, name in enumerate(found.classes)
        if (chosen := apart & (found.truth == i)).any()
    }
