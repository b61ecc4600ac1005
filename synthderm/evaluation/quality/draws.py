"""Which images are compared: parts of a set that share no group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def group_codes(groups: Sequence[str]) -> np.ndarray:
    """(N,) int64: a number for each group, the same for its images."""
    return np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def group_halves(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of about half the images each that share no group, drawn at random.

    Args:
        codes: (N,) group of each image; see :func:`group_codes`.
        rng: decides which groups go where, and the order within each part.

    Returns:
        Indices of both parts, groups in random order; with one group only, the second part is empty.
    """
    present, members = np.unique(codes, return_inverse=True)
    place = rng.permutation(len(present))
    order = np.argsort(place[members], kind="stable")
    sorted_places = place[members][order]
    starts = np.flatnonzero(np.diff(sorted_places)) + 1
    if len(starts) == 0:
        return order, order[:0]
    cut = starts[np.argmin(np.abs(starts - len(codes) / 2))]
    return order[:cut], order[cut:]
