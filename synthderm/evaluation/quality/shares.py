"""Shares and means of images with intervals that know of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthderm.core import stream
from synthderm.functional.bootstrap import proportion_interval

from ..result import LEAST_GROUP, figure
from .draws import Z_95

RESAMPLES = 2000


def share_figure(hits: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """A share with its Wilson interval (Wilson 1927), for which images of one lesion or patient count as one.

    That is exact for groups of one image and on the safe side for larger ones.

    Args:
        hits: (N,) bool.
        codes: (N,) group of each image.

    Returns:
        A figure; "insufficient" for fewer than 30 images.
    """
    n = len(hits)
    if n < LEAST_GROUP:
        return figure(None, n=n)
    share, groups = float(np.mean(hits)), len(np.unique(codes))
    interval = proportion_interval(share * groups, groups)
    return figure(share, interval.low, interval.high, n, groups=groups)


def mean_figure(values: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """A mean with a normal interval whose error is that of the mean over lesions or patients.

    The error of a ratio of totals over groups (Cochran 1977, eq. 2.46): groups of one image give the usual one.

    Args:
        values: (N,), finite.
        codes: (N,) group of each image.

    Returns:
        A figure; "insufficient" for fewer than 30 images.
    """
    n = len(values)
    if n < LEAST_GROUP:
        return figure(None, n=n)
    members = np.unique(codes, return_inverse=True)[1]
    mean, groups = float(np.mean(values)), int(members.max()) + 1
    if groups < 2:
        return figure(mean, n=n, groups=groups)
    totals = np.bincount(members, weights=values - mean)
    error = math.sqrt(groups / (groups - 1) * float(np.sum(totals**2))) / n
    return figure(mean, mean - Z_95 * error, mean + Z_95 * error, n, groups=groups)


def macro_figure(
    truth: np.ndarray, said: np.ndarray, codes: np.ndarray, classes: Sequence[int], seed: int
) -> dict[str, Any]:
    """Mean over classes of the share of each class that was recognised, with a bootstrap interval over groups.

    Args:
        truth: (N,) class of each image.
        said: (N,) what the classifier said.
        codes: (N,) group of each image.
        classes: the classes that count; without any, the figure is "insufficient".
        seed: of the 2,000 resamples.
    """
    chosen = np.isin(truth, classes)
    n = int(chosen.sum())
    if not len(classes):
        return figure(None, n=n)
    members = np.unique(codes[chosen], return_inverse=True)[1]
    asked = np.stack([np.bincount(members, truth[chosen] == c) for c in classes], 1)
    right = np.stack([np.bincount(members, (truth[chosen] == c) & (said[chosen] == c)) for c in classes], 1)
    rng, groups = stream(seed, "macro recall"), len(asked)
    means = []
    for _ in range(RESAMPLES):
        weight = np.bincount(rng.integers(0, groups, groups), minlength=groups)
        with np.errstate(invalid="ignore"):
            means.append(np.nanmean((weight @ right) / (weight @ asked)))
    low, high = np.percentile(means, [2.5, 97.5])
    return figure(float(np.mean(right.sum(0) / asked.sum(0))), low, high, n, groups=groups, classes=len(classes))
