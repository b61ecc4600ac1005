"""Which images are compared: parts of a set that share no group, and halves for intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Z_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


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


def half_sample_error(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
    rng: np.random.Generator,
    draws: int,
) -> np.ndarray:
    """Standard errors of statistics of two samples by repeated half-sampling of whole groups.

    A bootstrap without replacement (half-samples: McCarthy 1969, Rev Int Stat Inst 37:239; m out of n: Politis and
    Romano 1994, Ann Stat 22:2031). Drawn with replacement, as in the usual bootstrap, an image would be its own nearest
    neighbour and add to the bias of a covariance. At half the size the spread of a statistic about its mean is its
    standard error at full size; parts that are not quite half are scaled, sqrt(f / (1 - f)) for the share f.

    Args:
        statistic: of the indices of both parts, which are of one length -> (S,) values.
        first: (N,) groups of the first sample; see :func:`group_codes`.
        second: (M,) groups of the second sample.
        rng: the only source of chance.
        draws: how many half-samples.

    Returns:
        (S,) standard errors; nan where a statistic is nan in more than half of the draws, or fewer than two groups
        can be drawn from.
    """
    values, shares = [], []
    for _ in range(draws):
        a, b = group_halves(first, rng)[0], group_halves(second, rng)[0]
        values.append(statistic(a, b))
        shares.append((len(a) / len(first) + len(b) / len(second)) / 2)
    found, share = np.array(values), float(np.mean(shares))
    if share >= 1:
        return np.full(found.shape[1], math.nan)
    enough = np.isfinite(found).sum(0) > draws / 2
    spread = np.array(
        [np.nanstd(column, ddof=1) if ok else math.nan for column, ok in zip(found.T, enough, strict=True)]
    )
    return spread * math.sqrt(share / (1 - share))
