"""Shares and means of images with intervals that know of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthderm.functional.bootstrap import group_interval, group_strata
from synthderm.functional.intervals import proportion_interval, student_t_quantile
from synthderm.functional.scores import balanced_accuracy

from ..result import LEAST_GROUP, figure


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
    interval = proportion_interval(min(share * groups, groups), groups)
    return figure(share, interval.low, interval.high, n, groups=groups)


def mean_figure(values: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """A mean with a Student t interval whose error is that of the mean over lesions or patients.

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
    half = student_t_quantile(0.975, groups - 1) * error
    return figure(mean, mean - half, mean + half, n, groups=groups)


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
    truth, said, codes = truth[chosen], said[chosen], codes[chosen]
    if not len(classes):
        return figure(None, n=0)
    answers = np.eye(max(int(truth.max()), int(said.max())) + 1)[said]
    groups = len(np.unique(codes))
    if groups < 2:
        return figure(float(balanced_accuracy(answers, truth)[0]), n=len(truth), groups=groups)
    found = group_interval(
        lambda run, weights: balanced_accuracy(run, truth, weights), [answers], codes,
        strata=group_strata(codes, truth), seed=seed, bounds=(0.0, 1.0),
    )  # fmt: skip
    return figure(found.value, found.low, found.high, len(truth), groups=groups, classes=len(classes))
