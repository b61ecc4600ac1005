"""Classification and segmentation scores with image weights: one pass scores every bootstrap resample.

All take predictions of one run, the target and weights (R, N), one row of image weights per resample, and return
(R,) values, nan where a resample has no weight on a class that the score needs. Without weights (None) the result has
one value: the score itself, equal to scikit-learn's and torchmetrics'. A whole-number weight counts an image that
many times.

Weights stored resample-last (``np.ascontiguousarray(w.T).T``, as the bootstrap makes them) are read fastest.
"""

from __future__ import annotations

import numpy as np

from synthderm.core import InputError


def _checked(preds: np.ndarray, target: np.ndarray, weights: np.ndarray | None, axes: int) -> tuple[np.ndarray, ...]:
    """Predictions (float64), target and weights of fitting shapes, the latter of ones if None."""
    preds, target = np.asarray(preds, dtype=np.float64), np.asarray(target)
    if preds.ndim != axes or target.shape != preds.shape[:1] or len(target) == 0:
        wanted = "(N, C) predictions" if axes == 2 else "(N,) predictions"
        raise InputError(f"expected {wanted} and an (N,) target with N > 0, got {preds.shape} and {target.shape}")
    if not np.isfinite(preds).all():
        raise InputError(f"expected finite predictions, got {int((~np.isfinite(preds)).sum())} that are not")
    return preds, target, _weights(weights, len(target))


def _weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    weights = np.ones((1, n)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise InputError(f"expected weights (R, {n}), one row per resample, got {weights.shape}")
    return weights


def _labels(target: np.ndarray, classes: int) -> np.ndarray:
    if not np.issubdtype(target.dtype, np.integer) or target.min() < 0 or target.max() >= classes:
        raise InputError(
            f"expected class indices 0 to {classes - 1}, got {target.dtype} {target.min()} to {target.max()}"
        )
    return target


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, nan where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan), where=whole > 0)


# ---- means over images


def weighted_mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(R,) weighted means of (N,) values, one per image: the mean Dice of a segmenter, a share of images."""
    values = np.asarray(values, dtype=np.float64)
    weights = _weights(weights, len(values))
    return _ratio(weights @ values, weights.sum(axis=1))


def accuracy(preds: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of images whose class of highest probability is the target.

    Args:
        preds: (N, C) probabilities or logits; of equal values the first class counts.
        target: (N,) class indices.
        weights: (R, N) or None.
    """
    preds, target, weights = _checked(preds, target, weights, axes=2)
    return weighted_mean(preds.argmax(axis=1) == _labels(target, preds.shape[1]), weights)


def balanced_accuracy(preds: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of the recalls of the classes that ``target`` has; arguments as :func:`accuracy`."""
    preds, target, weights = _checked(preds, target, weights, axes=2)
    present = np.unique(_labels(target, preds.shape[1]))
    of_class = (target[:, None] == present).astype(np.float64)
    right = of_class * (preds.argmax(axis=1) == target)[:, None]
    return _ratio(weights @ right, weights @ of_class).mean(axis=1)


def expected_calibration_error(
    preds: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Expected calibration error of the top class (Guo et al. 2017, eq. 3), equal bins of confidence.

    Args:
        preds: (N, C) probabilities that sum to 1.
        target: (N,) class indices.
        weights: (R, N) or None.
        bins: intervals [i / bins, (i + 1) / bins) of the confidence; 1 joins the last, where torchmetrics gives it a
            bin of its own.
    """
    preds, target, weights = _checked(preds, target, weights, axes=2)
    if preds.min() < 0 or abs(preds.sum(axis=1) - 1).max() > 1e-3:
        raise InputError("expected probabilities that sum to 1 over the classes; apply softmax to logits")
    confidence = preds.max(axis=1)
    right = preds.argmax(axis=1) == _labels(target, preds.shape[1])
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    gaps = np.zeros((len(target), bins))
    gaps[np.arange(len(target)), index] = right - confidence
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def dice(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) Dice coefficients of bool masks (N, H, W), 2 |A and B| / (|A| + |B|); 1 where both are empty.

    One value per image: give them to :func:`weighted_mean` for the mean and its bootstrap.
    """
    preds, target = np.asarray(preds), np.asarray(target)
    if preds.shape != target.shape or preds.ndim != 3 or preds.dtype != bool or target.dtype != bool:
        raise InputError(
            f"expected two bool masks (N, H, W), got {preds.dtype} {preds.shape} and {target.dtype} {target.shape}"
        )
    overlap, total = (preds & target).sum((1, 2)), preds.sum((1, 2)) + target.sum((1, 2))
    return np.where(total > 0, 2 * overlap / np.maximum(total, 1), 1.0)


# ---- ranks: what stands above and below each positive image


def _positives(
    scores: np.ndarray, target: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores (P,) and weights (P, R) of the positives, scores and weights of the negatives, ascending."""
    scores, target, weights = _checked(scores, target, weights, axes=1)
    positive = _labels(target.astype(np.int64), 2) == 1
    if positive.all() or not positive.any():
        raise InputError(f"expected positives and negatives, got {int(positive.sum())} positives of {len(positive)}")
    chosen = [np.flatnonzero(which) for which in (positive, ~positive)]
    chosen = [rows[np.argsort(scores[rows], kind="stable")] for rows in chosen]
    return scores[chosen[0]], weights.T[chosen[0]], scores[chosen[1]], weights.T[chosen[1]]


def _running_sum(weights: np.ndarray) -> np.ndarray:
    """(K + 1, R) sums of the first 0, 1, ... K rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    if weights.shape[1] < 16:
        np.cumsum(weights, axis=0, out=sums[1:])
        return sums
    for row, weight in enumerate(weights):  # row by row is 4 times faster than cumsum along the first axis
        np.add(sums[row], weight, out=sums[row + 1])
    return sums


def auroc(scores: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve: how likely a positive scores above a negative, ties count half (Hanley & McNeil 1982).

    Args:
        scores: (N,) higher means positive: ``preds[:, c]`` with ``target == c`` for one class against the rest.
        target: (N,) bool, or 0 and 1; both must occur.
        weights: (R, N) or None.
    """
    positive, weight, negative, negative_weight = _positives(scores, target, weights)
    sums = _running_sum(negative_weight)
    below = sums[np.searchsorted(negative, positive, "left")]
    below += sums[np.searchsorted(negative, positive, "right")]
    return _ratio(np.einsum("pr,pr->r", weight, below) / 2, weight.sum(axis=0) * sums[-1])


def macro_auroc(preds: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the classes that ``target`` has of the area of each class against the rest.

    Args:
        preds: (N, C) probabilities.
        target: (N,) class indices; at least two classes.
        weights: (R, N) or None.
    """
    preds, target, weights = _checked(preds, target, weights, axes=2)
    present = np.unique(_labels(target, preds.shape[1]))
    return np.mean([auroc(preds[:, c], target == c, weights) for c in present], axis=0)


def average_precision(scores: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the precision-recall curve as the mean precision at the positives (scikit-learn's, not trapezoids).

    The precision at a positive is the share of positives among all images that score as high or higher. Arguments as
    :func:`auroc`.
    """
    positive, weight, negative, negative_weight = _positives(scores, target, weights)
    sums, own = _running_sum(negative_weight), _running_sum(weight)
    false = sums[-1] - sums[np.searchsorted(negative, positive, "left")]
    true = own[-1] - own[np.searchsorted(positive, positive, "left")]
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=weight > 0)
    return _ratio(np.einsum("pr,pr->r", weight, precision), np.where(sums[-1] > 0, own[-1], 0))


def sensitivity_at_specificity(
    scores: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, specificity: float = 0.9
) -> np.ndarray:
    """Highest sensitivity of any threshold whose specificity is at least the one given.

    An image counts as positive from the threshold on, so a positive is found if the negatives that score as high or
    higher weigh at most 1 - ``specificity`` of all. Arguments as :func:`auroc`.

    Args:
        scores: (N,).
        target: (N,) bool.
        weights: (R, N) or None.
        specificity: 0 to 1.
    """
    if not 0 <= specificity <= 1:
        raise InputError(f"expected a specificity between 0 and 1, got {specificity:g}")
    positive, weight, negative, negative_weight = _positives(scores, target, weights)
    sums = _running_sum(negative_weight)
    false = sums[-1] - sums[np.searchsorted(negative, positive, "left")]
    found = false <= (1 - specificity + 1e-12) * sums[-1]
    return _ratio((weight * found).sum(axis=0), np.where(sums[-1] > 0, weight.sum(axis=0), 0))
