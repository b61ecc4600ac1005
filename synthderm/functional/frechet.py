"""Frechet distance between feature sets: at the images given, and extrapolated to endlessly many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from synthderm.core import InputError

from .features import as_features, as_pair, check_count
from .intervals import Interval, check_level, student_t_quantile
from .subsampling import block_labels, half_sample_values, jackknife_values, jackknife_variance, unit_count

Features = np.ndarray | torch.Tensor


def gaussian_statistics(features: Features) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean (D,), covariance (D, D) with n - 1 in the denominator, and n of (n, D) features, in float64.

    Raises:
        InputError: fewer than 2 rows, or rows that are not finite.
    """
    matrix = as_features(features)
    mean = matrix.mean(axis=0)
    centred = matrix - mean
    return mean, centred.T @ centred / (len(matrix) - 1), len(matrix)


def least_images(num_features: int) -> int:
    """Images below which the Frechet distance is refused: max(D + 1, 50).

    With n <= D the covariance has no full rank and most of the value is the bias of finite n. For two sets of the
    same population with equal variance in every direction the expected value is (1/n + 1/m) (1 + (D + 1) / 4) of the
    total variance to first order: half of it at D = 128 and n = m = 129, 13 % at n = m = 500.
    """
    return max(num_features + 1, 50)


def check_frechet_count(n: int, num_features: int, force: bool = False) -> None:
    """Refuse a Frechet distance of fewer than :func:`least_images` images, unless ``force``.

    Raises:
        InputError: it says what the bias is and what to use instead.
    """
    why = (
        f"the Frechet distance in {num_features} features is too high by about c/n, and below that number most of "
        "it is this bias; use the kernel distance, which has none"
    )
    check_count(n, least_images(num_features), why, force)


def _root_factor(cov: np.ndarray) -> np.ndarray:
    """(D, r) matrix L with L L^T = ``cov``, of the r eigenvalues that are not rounding errors."""
    values, vectors = np.linalg.eigh(cov)
    keep = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return vectors[:, keep] * np.sqrt(values[keep])


def frechet_distance(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians, |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^1/2).

    Dowson & Landau 1982, eq. 4; as "FID" Heusel et al. 2017, eq. 6. The eigenvalues of S_x S_y are the squared
    singular values of L_x^T L_y, where S = L L^T by eigh, so the trace of the root is their sum. Nothing of this
    needs S to be of full rank, and no root of a rounding error enters.

    Args:
        mean_x: (D,) mean, of :func:`gaussian_statistics`.
        cov_x: (D, D) covariance.
        mean_y: (D,) mean of the other set.
        cov_y: (D, D) covariance of the other set.

    Returns:
        The squared distance, not below 0, in squared units of the features.

    Raises:
        InputError: shapes that do not fit, or numbers that are not finite.
    """
    arrays = [np.asarray(a, dtype=np.float64) for a in (mean_x, cov_x, mean_y, cov_y)]
    features = arrays[0].shape[0] if arrays[0].ndim == 1 else 0
    if [a.shape for a in arrays] != [(features,), (features, features)] * 2:
        raise InputError(f"expected means (D,) and covariances (D, D), got {[a.shape for a in arrays]}")
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError("expected finite means and covariances, got nan or infinity; check the features")
    mean_x, cov_x, mean_y, cov_y = arrays
    difference = mean_x - mean_y
    cross = np.linalg.svd(_root_factor(cov_x).T @ _root_factor(cov_y), compute_uv=False).sum()
    return max(float(difference @ difference + np.trace(cov_x) + np.trace(cov_y) - 2 * cross), 0.0)


def mean_distance(x: Features, y: Features) -> float:
    """|mu_x - mu_y|^2 without the bias of finite n: less tr(S_x) / n_x + tr(S_y) / n_y; may be below zero.

    The part of the Frechet distance that lies in the means; also the unbiased squared maximum mean discrepancy with
    the kernel x . y (Gretton et al. 2012, eq. 3).
    """
    first, second = as_pair(x, y, ("x", "y"))
    difference = first.mean(axis=0) - second.mean(axis=0)
    noise = first.var(axis=0, ddof=1).sum() / len(first) + second.var(axis=0, ddof=1).sum() / len(second)
    return float(difference @ difference - noise)


@dataclass(frozen=True)
class _BlockMoments:
    """Sums over blocks of images, from which the statistics of any choice of blocks follow without the images."""

    counts: np.ndarray  # (B,)
    sums: np.ndarray  # (B, D)
    products: np.ndarray  # (B, D, D)

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray, blocks: int) -> _BlockMoments:
        parts = [features[labels == block] for block in range(blocks)]
        sums, products = np.stack([p.sum(axis=0) for p in parts]), np.stack([p.T @ p for p in parts])
        return cls(np.array([len(p) for p in parts]), sums, products)

    def statistics(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = int(self.counts[keep].sum())
        mean = self.sums[keep].sum(axis=0) / n
        return mean, (np.tensordot(keep.astype(float), self.products, 1) - n * np.outer(mean, mean)) / (n - 1)


_WHY_HALVES = "the line in 1/n needs halves that a Frechet distance can be taken of"


def frechet_infinity(
    features: Features,
    reference: Features,
    rng: np.random.Generator,
    *,
    sizes: int = 2,
    draws: int = 50,
    force: bool = False,
) -> float:
    """Frechet distance extrapolated to endlessly many images: the intercept of a line in 1/n.

    Chong & Forsyth 2020, sec. 3.2, with two differences. Both sets shrink together, so the bias of the reference
    goes too; and the default fits two sizes, n and n/2, each smaller set drawn ``draws`` times, where the paper fits
    15 sizes drawn once: in simulations of ``eval/coverage.py`` that has two thirds of the spread. ``sizes=15,
    draws=14`` is the paper's scheme, equally spaced in 1/n from n to n/2.

    Args:
        features: (n, D) features.
        reference: (m, D) features of the reference (real) set.
        rng: draws the subsets; the same state gives the same value.
        sizes: fractions of n, equally spaced in 1/n from 1 to 1/2; at least 2.
        draws: subsets in all, shared by the sizes below n; at least ``sizes`` - 1.
        force: accept fewer than 2 :func:`least_images`, the floor that keeps the halves meaningful.

    Returns:
        The intercept; may be below zero where the true distance is near zero.

    Raises:
        InputError: too few images, sizes or draws.
    """
    x, y = as_pair(features, reference, ("features", "reference"))
    check_count(min(len(x), len(y)), 2 * least_images(x.shape[1]), _WHY_HALVES, force)
    if sizes < 2 or draws < sizes - 1:
        raise InputError(f"expected at least 2 sizes and sizes - 1 draws, got {sizes} and {draws}")

    def smaller(stretch: float) -> float:
        parts = [a[rng.permutation(len(a))[: max(round(len(a) / stretch), 2)]] for a in (x, y)]
        return _frechet_of(*parts)

    stretches = np.linspace(1, 2, sizes)
    each = draws // (sizes - 1)
    values = [_frechet_of(x, y)] + [np.mean([smaller(s) for _ in range(each)]) for s in stretches[1:]]
    return float(np.polyfit(stretches, values, 1)[1])


def _frechet_of(x: np.ndarray, y: np.ndarray) -> float:
    mean_x, cov_x, _ = gaussian_statistics(x)
    mean_y, cov_y, _ = gaussian_statistics(y)
    return frechet_distance(mean_x, cov_x, mean_y, cov_y)


class FrechetIntervals(NamedTuple):
    """The distance at the images given, and at endlessly many."""

    at_n: Interval
    at_infinity: Interval | None


def frechet_intervals(
    features: Features,
    reference: Features,
    *,
    groups: Sequence[object] | None = None,
    reference_groups: Sequence[object] | None = None,
    blocks: int = 50,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
) -> FrechetIntervals:
    """Frechet distance with its interval, at n and extrapolated to infinity.

    ``at_n`` is the interval of the expected value of the estimator AT THIS n, bias of finite n included: right for
    comparing sets of equal n. ``at_infinity`` is the interval of the true distance; its value is twice the distance
    at n less its mean over random halves, which is the line in 1/n through n and n/2 (:func:`frechet_infinity`); it
    is None below 2 :func:`least_images`, where halves mean nothing, unless ``force``.

    A bootstrap with replacement repeats images, which adds bias: it covered 0 to 1 % in ``eval/coverage.py``.
    Instead blocks of images (whole groups) are left out. Leaving out one block in turn has the variance
    J = V1 + 2 V2 (V1 of the linear part of the estimator, V2 of its quadratic part), halves have H = V1 + 3 V2, and
    the variance wanted is V1 + V2 = 2 J - H, kept between J / 2 and J. Student's t with blocks - 1 degrees of
    freedom; at n on the scale of the root, where the estimator is less skewed. Measured coverage of nominal 95 %:
    ``eval/results/coverage_distances.json``.

    Args:
        features: (n, D) features.
        reference: (m, D) features of the reference (real) set.
        groups: (n,) lesion or patient of each image; None: images are independent.
        reference_groups: (m,) the same for the reference.
        blocks: blocks of images; an even number is used, at most the number of groups.
        seed: deals the blocks and draws the halves.
        level: nominal coverage.
        force: accept fewer than :func:`least_images` images.

    Raises:
        InputError: too few images or groups, rows that are not finite.
    """
    x, y = as_pair(features, reference, ("features", "reference"))
    check_frechet_count(min(len(x), len(y)), x.shape[1], force)
    rng = np.random.default_rng(seed)
    labels, used = block_labels((len(x), len(y)), (groups, reference_groups), blocks, rng)
    centre = y.mean(axis=0)
    first, second = (_BlockMoments.of(a - centre, label, used) for a, label in zip((x, y), labels, strict=True))

    def distance(keep: np.ndarray) -> np.ndarray:
        return np.array([frechet_distance(*first.statistics(keep), *second.statistics(keep))])

    value = float(distance(np.ones(used, dtype=bool))[0])
    jackknife = float(jackknife_variance(jackknife_values(distance, used))[0])
    halves = half_sample_values(distance, used, blocks, rng)[:, 0]
    variance = np.clip(2 * jackknife - halves.var(ddof=1), jackknife / 2, jackknife)
    half = student_t_quantile(0.5 + check_level(level) / 2, used - 1) * float(np.sqrt(variance))
    about = {"level": level, "n_groups": unit_count(len(x), groups), "resamples": used + len(halves)}
    low, high = _on_root_scale(value, half)
    extrapolated = 2 * value - float(halves.mean())
    enough = force or min(len(x), len(y)) >= 2 * least_images(x.shape[1])
    at_infinity = Interval(extrapolated, extrapolated - half, extrapolated + half, **about) if enough else None
    return FrechetIntervals(Interval(value, low, high, **about), at_infinity)


def _on_root_scale(value: float, half: float) -> tuple[float, float]:
    """Ends of value +- half taken on the scale of the square root (delta method), not below 0."""
    if value <= 0:
        return 0.0, half
    root, step = float(np.sqrt(value)), half / (2 * float(np.sqrt(value)))
    return max(root - step, 0.0) ** 2, (root + step) ** 2
