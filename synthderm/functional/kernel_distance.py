"""Kernel distance between feature sets (KID): squared maximum mean discrepancy with a polynomial kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from synthderm.core import InputError

from .features import LEAST_ROWS, as_pair, check_count, rows_per_block
from .intervals import Interval, check_level, student_t_quantile
from .subsampling import block_labels, jackknife_values, jackknife_variance, unit_count

Features = np.ndarray | torch.Tensor

_WHY = "fewer tell nothing of a set, although this distance has no bias"


@dataclass(frozen=True)
class _Kernel:
    """(gamma x . y + coef)^degree."""

    degree: int
    gamma: float
    coef: float

    @classmethod
    def of(cls, num_features: int, degree: int, gamma: float | None, coef: float) -> _Kernel:
        if degree < 1:
            raise InputError(f"expected a kernel degree of at least 1, got {degree}; 3 is usual")
        return cls(degree, 1 / num_features if gamma is None else gamma, coef)

    def pairs(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N, M) values for every row of ``x`` with every row of ``y``."""
        return self._raise(x @ y.T)

    def diagonal(self, x: np.ndarray) -> np.ndarray:
        """(N,) values of every row with itself."""
        return self._raise(np.einsum("nd,nd->n", x, x))

    def _raise(self, products: np.ndarray) -> np.ndarray:
        products *= self.gamma
        products += self.coef
        values = products.copy() if self.degree > 1 else products
        for _ in range(self.degree - 1):
            values *= products
        return values


def _sum_over_blocks(
    kernel: _Kernel, x: np.ndarray, starts_x: np.ndarray, y: np.ndarray, starts_y: np.ndarray
) -> np.ndarray:
    """(Bx, By) sums of the kernel over blocks of rows that begin at ``starts``; few rows at a time are in memory."""
    sums = np.zeros((len(starts_x), len(starts_y)))
    step = rows_per_block(len(y))
    for block, (start, stop) in enumerate(zip(starts_x, [*starts_x[1:], len(x)], strict=True)):
        for row in range(start, stop, step):
            columns = kernel.pairs(x[row : min(row + step, stop)], y).sum(axis=0)
            sums[block] += np.add.reduceat(columns, starts_y)
    return sums


class _BlockSums:
    """Kernel sums between blocks of two sets; the distance of any choice of blocks follows from them."""

    def __init__(self, kernel: _Kernel, x: np.ndarray, y: np.ndarray, labels: Sequence[np.ndarray]) -> None:
        (x, starts_x), (y, starts_y) = (_sort_by_block(a, label) for a, label in zip((x, y), labels, strict=True))
        self.within_x = _sum_over_blocks(kernel, x, starts_x, x, starts_x)
        self.within_y = _sum_over_blocks(kernel, y, starts_y, y, starts_y)
        self.between = _sum_over_blocks(kernel, x, starts_x, y, starts_y)
        self.diagonal_x = np.add.reduceat(kernel.diagonal(x), starts_x)
        self.diagonal_y = np.add.reduceat(kernel.diagonal(y), starts_y)
        self.counts_x, self.counts_y = (np.bincount(label) for label in labels)

    def distance(self, keep: np.ndarray) -> np.ndarray:
        chosen = np.ix_(keep, keep)
        n, m = int(self.counts_x[keep].sum()), int(self.counts_y[keep].sum())
        within_x = (self.within_x[chosen].sum() - self.diagonal_x[keep].sum()) / (n * (n - 1))
        within_y = (self.within_y[chosen].sum() - self.diagonal_y[keep].sum()) / (m * (m - 1))
        return np.array([within_x + within_y - 2 * self.between[chosen].sum() / (n * m)])


def _sort_by_block(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    return features[order], np.searchsorted(labels[order], np.arange(int(labels.max()) + 1))


def kernel_distance(
    x: Features,
    y: Features,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
    *,
    force: bool = False,
) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (gamma x . y + coef)^degree.

    Bińkowski et al. 2018, eq. 4 (Gretton et al. 2012, eq. 3), over all pairs of all images in float64, where other
    programs average random subsets (:func:`kernel_distance_subsets`): the mean is the same and nothing is drawn.
    Blocks of rows keep the memory at a few times 16 MB whatever n is. Times 1,000 is often printed.

    Args:
        x: (N, D) features.
        y: (M, D) features of the other set; the order of the two does not matter.
        degree: of the polynomial.
        gamma: 1 / D if None.
        coef: added inside the power.
        force: accept fewer than 30 images.

    Returns:
        The distance; below zero by chance where the sets are alike.

    Raises:
        InputError: too few images, rows that are not finite, other numbers of features.
    """
    first, second = as_pair(x, y, ("x", "y"))
    check_count(min(len(first), len(second)), LEAST_ROWS, _WHY, force)
    kernel = _Kernel.of(first.shape[1], degree, gamma, coef)
    labels = [np.zeros(len(a), dtype=int) for a in (first, second)]
    return float(_BlockSums(kernel, first, second, labels).distance(np.array([True]))[0])


def kernel_distance_subsets(
    x: Features,
    y: Features,
    generator: torch.Generator,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
) -> tuple[float, float]:
    """Mean and standard deviation of the kernel distance over random subsets, as torchmetrics and others print it.

    With ``torch.Generator().manual_seed(s)`` the subsets are those that torchmetrics' KernelInceptionDistance draws
    after ``torch.manual_seed(s)``, where ``x`` is its real set. The standard deviation is that of one subset's value
    and not an error of the mean: for that take :func:`kernel_interval`.

    Args:
        x: (N, D) features.
        y: (M, D) features of the other set.
        generator: draws the subsets, those of ``x`` first.
        subsets: how many.
        subset_size: images in each, at most N and M.
        degree: of the polynomial.
        gamma: 1 / D if None.
        coef: added inside the power.

    Raises:
        InputError: subsets larger than a set, rows that are not finite.
    """
    first, second = as_pair(x, y, ("x", "y"))
    if not 2 <= subset_size <= min(len(first), len(second)) or subsets < 1:
        raise InputError(
            f"expected 2 <= subset_size <= {min(len(first), len(second))} images and at least 1 subset, "
            f"got subset_size {subset_size} and {subsets} subsets"
        )
    values = []
    for _ in range(subsets):
        parts = [a[torch.randperm(len(a), generator=generator)[:subset_size].numpy()] for a in (first, second)]
        values.append(kernel_distance(*parts, degree, gamma, coef, force=True))
    return float(np.mean(values)), float(np.std(values))


def kernel_interval(
    x: Features,
    y: Features,
    *,
    groups_x: Sequence[object] | None = None,
    groups_y: Sequence[object] | None = None,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
    blocks: int = 50,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
) -> Interval:
    """Kernel distance with the interval of its true value: delete-one-block jackknife, Student's t.

    Blocks of whole groups are left out in turn; every such value follows from one pass over all pairs. Where the
    sets are nearly alike the jackknife is too wide (it counts the quadratic part of the estimator twice), which
    makes up for the estimator's skew. Measured coverage of nominal 95 %: ``eval/results/coverage_distances.json``.

    Args:
        x: (N, D) features.
        y: (M, D) features of the other set.
        groups_x: (N,) lesion or patient of each image; None: images are independent.
        groups_y: (M,) the same for ``y``.
        degree: of the polynomial.
        gamma: 1 / D if None.
        coef: added inside the power.
        blocks: blocks of images; an even number is used, at most the number of groups.
        seed: deals the blocks.
        level: nominal coverage.
        force: accept fewer than 30 images.

    Raises:
        InputError: too few images or groups, rows that are not finite.
    """
    first, second = as_pair(x, y, ("x", "y"))
    check_count(min(len(first), len(second)), LEAST_ROWS, _WHY, force)
    rng = np.random.default_rng(seed)
    labels, used = block_labels((len(first), len(second)), (groups_x, groups_y), blocks, rng)
    sums = _BlockSums(_Kernel.of(first.shape[1], degree, gamma, coef), first, second, labels)
    value = float(sums.distance(np.ones(used, dtype=bool))[0])
    spread = float(np.sqrt(jackknife_variance(jackknife_values(sums.distance, used))[0]))
    half = student_t_quantile(0.5 + check_level(level) / 2, used - 1) * spread
    n_groups = unit_count(len(first), groups_x)
    return Interval(value, value - half, value + half, level, n_groups=n_groups, resamples=used)
