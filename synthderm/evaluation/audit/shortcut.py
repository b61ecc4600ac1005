"""Shortcuts: can a classifier that sees only the background name the class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthderm.functional.intervals import Interval
from synthderm.metrics.shortcut import FOLDS, LEAST_PER_CLASS, deal_folds, held_out_probabilities, shortcut_intervals

from ..result import figure
from ..sets import ImageSet
from .measured import Measured

CLEAR, SMALL = 0.9, 0.6
LEAST_WITH_MASK = 100

RULE = (
    f"Flagged if the AUC of the synthetic set is above {CLEAR}, or if the lower end of its interval is above both "
    f"{SMALL} and the upper end of the real set's interval."
)


def how_to_look(synthetic: ImageSet, real: ImageSet) -> tuple[str, str]:
    """How the background of both sets is cut out, the same for both: ("masks" or "frame", why)."""
    lacking = sum(record.mask is None for record in synthetic.records)
    with_mask = sum(record.mask is not None for record in real.records)
    if not lacking and with_mask >= LEAST_WITH_MASK:
        return "masks", "corners and frame, without the pixels of the widened lesion masks"
    why = f"{lacking} synthetic images have no mask" if lacking else f"only {with_mask} real images have a mask"
    return "frame", f"corners and frame as they are, for {why}; a lesion that reaches them counts as background"


def shortcut_figures(synthetic: Measured, real: Measured, how: tuple[str, str], resamples: int, seed: int) -> dict:
    """The section of the result.

    Args:
        synthetic: the judged set with its background.
        real: the real set to compare with.
        how: of :func:`how_to_look`.
        resamples: of the bootstrap.
        seed: of folds and bootstrap.
    """
    usable = {name: _usable_classes(measured) for name, measured in (("synthetic", synthetic), ("real", real))}
    shared = [name for name in synthetic.images.classes if name in usable["synthetic"] and name in usable["real"]]
    classes = shared if len(shared) > 1 else [c for c in synthetic.images.classes if c in usable["synthetic"]]
    judged, each = _one_set(synthetic, classes, resamples, seed)
    beside, each_real = _one_set(real, shared, resamples, seed)
    return {
        "synthetic": judged,
        "real": beside,
        "per_class": {name: {"synthetic": each.get(name), "real": each_real.get(name)} for name in classes},
        "flagged": is_flagged(judged, beside),
        "rule": RULE,
        "region": how[0],
        "seen": how[1],
        "classes": classes,
        "classes_left_out": sorted((set(synthetic.images.classes) | set(real.images.classes)) - set(classes)),
        "classifier": f"linear discriminant analysis, {FOLDS} folds by lesion or patient, one class against "
        "the rest within each fold, averaged",
    }


def is_flagged(synthetic: dict[str, Any], real: dict[str, Any]) -> bool | None:
    """See :data:`RULE`; None without a figure."""
    if synthetic["value"] is None:
        return None
    low = synthetic["interval"][0] if synthetic["interval"] else synthetic["value"]
    highest = real["interval"][1] if real["interval"] else SMALL
    return synthetic["value"] > CLEAR or low > max(SMALL, highest)


def _usable_classes(measured: Measured) -> set[str]:
    """Classes with at least ten lesions or patients whose background can be seen."""
    kept = np.isfinite(measured.background).all(1)
    images = measured.images
    found: dict[str, set[str]] = {}
    for name, group, usable in zip(images.label_names, images.groups, kept, strict=True):
        if usable:
            found.setdefault(name, set()).add(group)
    return {name for name, groups in found.items() if len(groups) >= LEAST_PER_CLASS}


def _one_set(
    measured: Measured, classes: list[str], resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Macro AUC and that of each class."""
    images = measured.images
    finite = np.isfinite(measured.background).all(1)
    chosen = np.flatnonzero(finite & np.isin(images.label_names, classes))
    left_out = int((~finite).sum())
    if len(classes) < 2:
        return figure(None, n=len(chosen), left_out=left_out), {}
    labels = np.array([classes.index(images.label_names[i]) for i in chosen])
    groups = np.unique([images.groups[i] for i in chosen], return_inverse=True)[1]
    probabilities = held_out_probabilities(measured.background[chosen], labels, groups, seed=seed)
    macro, each = shortcut_intervals(
        probabilities, labels, groups, deal_folds(labels, groups, seed=seed), resamples, seed
    )
    counts = np.bincount(labels, minlength=len(classes))
    per_class = {c: _figure(interval, int(n)) for c, interval, n in zip(classes, each, counts, strict=True)}
    return _figure(macro, len(chosen), left_out=left_out, groups=macro.n_groups), per_class


def _figure(interval: Interval, n: int, **extra: Any) -> dict[str, Any]:
    return figure(interval.value, interval.low, interval.high, n, **extra)
