"""Copies: synthetic images that are more like a training image than real images of other lesions ever are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from synthderm.functional.intervals import proportion_interval
from synthderm.functional.neighbours import nearest
from synthderm.models.copies import CopyDetector, CopyScores, upper_threshold

from ..result import LEAST_GROUP, figure
from .hold_out import RealParts, with_floor
from .options import AuditOptions

NEIGHBOURS = 50
SURE = 0.025
_BINS = 50

RULE = (
    "More copies than chance: more of the synthetic than of the hold-out images lie above the threshold (one-sided "
    "exact test of Fisher, p below 0.025), or an image is a training image pixel for pixel."
)


def share_figure(hits: np.ndarray, **extra: Any) -> dict[str, Any]:
    """A share of images with its Wilson interval; "insufficient" below 30 images."""
    n, count = len(hits), int(np.sum(hits))
    if n < LEAST_GROUP:
        return figure(None, n=n, count=count, **extra)
    interval = proportion_interval(count, n)
    return figure(interval.value, interval.low, interval.high, n, count=count, **extra)


def exceeds(count: int, n: int, usual: int, of: int) -> float:
    """How likely at least ``count`` of n images are hits if they are no likelier to be than hold-out images.

    Fisher's exact test, one-sided (Fisher 1922): the hypergeometric tail given ``count + usual`` hits in all.

    Args:
        count: hits among the judged images.
        n: judged images.
        usual: hits among the hold-out images.
        of: hold-out images.

    Returns:
        The p value.
    """
    hits = count + usual

    def ways(total: int, chosen: int) -> float:
        return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)

    every = ways(n + of, hits)
    likely = range(max(count, hits - of), min(n, hits) + 1)
    return min(1.0, sum(math.exp(ways(n, k) + ways(of, hits - k) - every) for k in likely))


def density_ratio(x: np.ndarray, y: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """How much nearer the nearest training image is than the next ones (Carlini et al. 2023, section 4.2).

    Args:
        x: (N, D) features.
        y: (M, D) features of the training images, M > 1.
        neighbours: how many next ones.

    Returns:
        Minus the distance to the nearest over the mean distance to the next ones, (N,) from -1 up to 0 for a copy;
        and the nearest, (N,) int64.
    """
    distances, rows = nearest(x.astype(np.float64), y.astype(np.float64), min(neighbours + 1, len(y)))
    return -distances[:, 0] / np.maximum(distances[:, 1:].mean(1), 1e-12), rows[:, 0]


def realised_rate(scores: np.ndarray, groups: Sequence[str], rate: float, seed: int) -> dict[str, Any]:
    """False alarms on hold-out images that did not set the threshold: each half of the groups is judged by the other.

    Args:
        scores: (n,) of the hold-out images.
        groups: (n,) lesion or patient of each.
        rate: stated rate; a half that is too small for it is used at the finest rate that it allows.
        seed: of the halves.

    Returns:
        A figure; "rate" says what was set, where it is not the stated one.
    """
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    side = (np.random.default_rng(seed).permutation(int(members.max()) + 1) % 2)[members]
    hits, used = np.zeros(len(scores), bool), rate
    for half in (0, 1):
        if not (side == half).any() or (side == half).all():
            return figure(None, n=len(scores))
        used = max(used, 1 / (int((side == half).sum()) + 1))
    for half in (0, 1):
        hits[side != half] = scores[side != half] > upper_threshold(scores[side == half], used)
    return share_figure(hits, rate=used)


@dataclass(frozen=True)
class CopySearch:
    """A calibrated detector with what it says of the hold-out and of the synthetic images."""

    detector: CopyDetector
    hold_out: CopyScores
    synthetic: CopyScores
    options: AuditOptions


def calibrate(
    full: CopyDetector, parts: RealParts, options: AuditOptions, batches: Iterator[torch.Tensor]
) -> tuple[CopyDetector, CopyScores]:
    """Set the threshold of a detector of all training images on the hold-out images.

    Args:
        full: detector of ``parts.train``.
        parts: the real images.
        options: of the audit.
        batches: the hold-out images.

    Returns:
        The detector with its threshold, and the scores of the hold-out images.

    Raises:
        InputError: if there are too few hold-out images for the rate.
    """
    every = len(parts.compared) == len(full.thumbs)
    compared = full if every else full.subset(parts.compared)
    scores = compared.score(batches)
    if not every:  # the nearest images as rows of the whole set
        rows = np.asarray(parts.compared)
        scores = CopyScores(
            scores.scores, rows[scores.nearest], scores.is_copy, scores.hash_distances, rows[scores.hash_nearest]
        )
    return full.calibrated(scores, with_floor(options, len(scores.scores)).false_alarm_rate), scores


def copy_figures(search: CopySearch, parts: RealParts, exact: int, features: dict[str, np.ndarray]) -> dict[str, Any]:
    """The section of the result, without its pairs.

    Args:
        search: what was found.
        parts: the real images.
        exact: synthetic images that are training images pixel for pixel.
        features: "synthetic", "train" and "hold_out" -> (N, D); no columns without an extractor.
    """
    detector, hold_out, synthetic = search.detector, search.hold_out, search.synthetic
    rate = detector.false_alarm_rate or search.options.false_alarm_rate
    n = detector.hold_out_n
    usual = math.floor(rate * (n + 1) + 1e-9)
    by_hash = synthetic.hash_distances < (detector.hash_threshold or 0)
    return {
        "share": share_figure(synthetic.is_copy),
        "score": "correlation of the detail with the nearest training image after the best turn, crop and shift, less "
        "0.6 times the lower quartile over the 20 candidates",
        "rule": RULE,
        "threshold": detector.threshold,
        "false_alarm_rate": rate,
        "finest_rate": 1 / (n + 1),
        "p_value": exceeds(int(synthetic.is_copy.sum()), len(synthetic.scores), usual, n),
        "hold_out_n": n,
        "hold_out": {
            "origin": parts.origin,
            "groups": len(set(parts.hold_out.groups)),
            "left_out_for_shared_groups": parts.shared_groups,
            "excluded_by_name": parts.excluded,
            "false_alarms": realised_rate(hold_out.scores, parts.hold_out.groups, rate, search.options.seed),
            "note": "each half of the groups judged by the threshold of the other; real copies among the hold-out "
            "images raise the threshold and count as false alarms here",
        },
        "exact": exact,
        "perceptual_hash": {
            "share": share_figure(by_hash),
            "threshold_bits": detector.hash_threshold,
            "note": "Hamming distance of 64-bit DCT hashes over turns and flips, below the threshold",
        },
        "features": _feature_figures(features, parts, rate),
        "score_histogram": _histogram(hold_out.scores, synthetic.scores),
    }


def _feature_figures(features: dict[str, np.ndarray], parts: RealParts, rate: float) -> dict[str, Any] | None:
    if features["train"].shape[1] == 0 or len(parts.compared) < 2:
        return None
    compared = features["train"][list(parts.compared)]
    threshold = upper_threshold(density_ratio(features["hold_out"], compared)[0], rate)
    scores = density_ratio(features["synthetic"], features["train"])[0]
    return {
        "share": share_figure(scores > threshold),
        "threshold": threshold,
        "note": f"minus the distance to the nearest over the mean distance to the next {NEIGHBOURS}, at the same rate",
    }


def _histogram(hold_out: np.ndarray, synthetic: np.ndarray) -> dict[str, list[float]]:
    together = np.concatenate([hold_out, synthetic])
    edges = np.linspace(np.floor(together.min() * 20) / 20, max(np.ceil(together.max() * 20) / 20, 0.05), _BINS + 1)
    return {
        "edges": np.round(edges, 6).tolist(),
        "synthetic": np.histogram(synthetic, edges)[0].tolist(),
        "hold_out": np.histogram(hold_out, edges)[0].tolist(),
    }
