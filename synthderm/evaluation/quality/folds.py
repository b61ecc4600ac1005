"""Models that have not seen what they judge: folds of the real set by lesion or patient."""

from __future__ import annotations

import hashlib

import numpy as np

from synthderm.data import split_by_group

from ..sets import ImageSet, label_of


def real_folds(real: ImageSet, folds: int, seed: int) -> np.ndarray:
    """(N,) int64: the fold of each real image; no lesion or patient is in two, classes are spread evenly.

    Args:
        real: the set.
        folds: number of folds.
        seed: another seed, another split.
    """
    parts = split_by_group(
        real.records,
        {str(i): 1 / folds for i in range(folds)},
        seed,
        stratify=lambda record: label_of(record, real.label_by),
    )
    fold_of = {id(record): int(name) for name, records in parts.items() for record in records}
    return np.array([fold_of[id(record)] for record in real.records], dtype=np.int64)


def synthetic_folds(synthetic: ImageSet, real: ImageSet, folds_of_real: np.ndarray) -> np.ndarray:
    """(N,) int64: the fold of each synthetic image, whose model judges it.

    An image that was made from a real one bears its group and goes to its fold, so that the model has not seen the
    original. All others are dealt out by a hash of their group.

    Args:
        synthetic: the set.
        real: the set that the models are trained on.
        folds_of_real: see :func:`real_folds`.
    """
    known = {r.group: int(fold) for r, fold in zip(real.records, folds_of_real, strict=True) if r.group is not None}
    folds = int(folds_of_real.max()) + 1
    return np.array(
        [
            known[record.group] if record.group in known else _dealt(group, folds)
            for record, group in zip(synthetic.records, synthetic.groups, strict=True)
        ],
        dtype=np.int64,
    )


def _dealt(group: str, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") % folds
