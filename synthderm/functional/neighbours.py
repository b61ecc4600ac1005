"""Exact nearest neighbours, and what they tell of two sets: precision, recall, density and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from synthderm.core import InputError

from .features import LEAST_ROWS, as_pair, check_count, rows_per_block
from .intervals import Interval, check_level, student_t_quantile
from .subsampling import block_labels, half_sample_values, unit_count

Features = np.ndarray | torch.Tensor

_SPARE = 8  # candidates beyond k whose distance is computed without the rounding of |x|^2 + |y|^2 - 2 x . y


def _squared_distances(x: np.ndarray, y: np.ndarray, rows: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Blocks of ``rows`` rows of the squared distances |x|^2 + |y|^2 - 2 x . y, off by rounding errors."""
    first, second = torch.from_numpy(x), torch.from_numpy(y)
    norms_x, norms_y = first.square().sum(1, keepdim=True), second.square().sum(1)
    for start in range(0, len(x), rows):
        block = slice(start, min(start + rows, len(x)))
        yield block, torch.addmm(norms_y[None], first[block], second.T, alpha=-2).add_(norms_x[block])


def _centred_pair(x: Features, y: Features, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Both sets less the mean of the second, which keeps the rounding errors of squared distances small."""
    first, second = as_pair(x, y, names, least=1)
    centre = second.mean(axis=0)
    return first - centre, second - centre


def nearest(x: Features, y: Features, k: int = 1, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of ``y`` for every row of ``x``, by exact search.

    Candidates come from matrix products, the distances returned from differences: a copy has distance 0 exactly.
    Blocks of rows keep the memory at a few times 16 MB whatever N and M are.

    Args:
        x: (N, D) features.
        y: (M, D) features to search.
        k: neighbours wanted.
        exclude_self: ``x`` and ``y`` are the same rows, and none is its own neighbour.

    Returns:
        Euclidean distances (N, k) float64, nearest first, and row indices into ``y`` (N, k) int64; of equal
        distances the lower index first.

    Raises:
        InputError: fewer than k rows to search, rows that are not finite, sets of other sizes with ``exclude_self``.
    """
    first, second = _centred_pair(x, y, ("x", "y"))
    others = len(second) - exclude_self
    if not 1 <= k <= others:
        raise InputError(f"expected k between 1 and the {others} rows to search, got {k}; give more images")
    if exclude_self and len(first) != len(second):
        raise InputError(f"expected the same rows twice with exclude_self, got {len(first)} and {len(second)}")
    wanted = min(k + _SPARE, others)
    rows = min(rows_per_block(len(second)), rows_per_block(wanted * first.shape[1]))
    distances, indices = np.empty((len(first), k)), np.empty((len(first), k), dtype=np.int64)
    for block, squared in _squared_distances(first, second, rows):
        if exclude_self:
            squared[torch.arange(len(squared)), torch.arange(block.start, block.stop)] = torch.inf
        candidates = squared.topk(wanted, dim=1, largest=False).indices.numpy()
        exact = np.linalg.norm(first[block, None] - second[candidates], axis=2)
        order = np.lexsort((candidates, exact), axis=1)[:, :k]
        distances[block] = np.take_along_axis(exact, order, axis=1)
        indices[block] = np.take_along_axis(candidates, order, axis=1)
    return distances, indices


def _squared_radii(x: np.ndarray, k: int) -> torch.Tensor:
    """(N,) squared distance of each row to its k-th nearest other row, off by rounding errors."""
    if not 1 <= k < len(x):
        raise InputError(f"expected k between 1 and {len(x) - 1} for {len(x)} images, got {k}; give more images")
    radii = torch.empty(len(x), dtype=torch.float64)
    for block, squared in _squared_distances(x, x, rows_per_block(len(x))):
        squared[torch.arange(len(squared)), torch.arange(block.start, block.stop)] = torch.inf
        radii[block] = squared.topk(k, dim=1, largest=False).values[:, -1]
    return radii


def prdc(real: Features, synthetic: Features, k: int = 5, *, force: bool = False) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, eq. 1-2), density and coverage (Naeem et al. 2020, eq. 4-5).

    The neighbourhood of an image is the ball to its k-th nearest neighbour in its own set, border included.

    - precision: share of synthetic images inside a real neighbourhood;
    - recall: share of real images inside a synthetic neighbourhood;
    - density: mean number of real neighbourhoods around a synthetic image, divided by k; may exceed 1;
    - coverage: share of real neighbourhoods with a synthetic image inside.

    All four depend on n and k: compare sets of equal n, beside real against real. Real against real of equal n has
    density 1 and coverage 1 - 2^-k to first order (Naeem et al. 2020, eq. 9).

    Args:
        real: (N, D) features.
        synthetic: (M, D) features.
        k: neighbour that sets the radius.
        force: accept fewer than 30 images in a set.

    Returns:
        The four numbers by name; memory stays at a few times 16 MB.

    Raises:
        InputError: too few images, rows that are not finite, other numbers of features.
    """
    x, y = _centred_pair(real, synthetic, ("real features", "synthetic features"))
    check_count(min(len(x), len(y)), LEAST_ROWS, "fewer neighbours than that lie far apart and tell nothing", force)
    radii_x, radii_y = _squared_radii(x, k), _squared_radii(y, k)
    rounding = 64 * np.finfo(np.float64).eps * float((x * x).sum(1).max() + (y * y).sum(1).max())
    inside_real = torch.zeros(len(y), dtype=torch.int64)
    recalled = covered = 0
    for block, squared in _squared_distances(x, y, rows_per_block(len(y))):
        squared -= rounding
        inside = squared <= radii_x[block, None]
        inside_real += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((squared <= radii_y).any(1).sum())
    return {
        "precision": float((inside_real > 0).double().mean()),
        "recall": recalled / len(x),
        "density": float(inside_real.double().mean()) / k,
        "coverage": covered / len(x),
    }


def prdc_intervals(
    real: Features,
    synthetic: Features,
    k: int = 5,
    *,
    groups_real: Sequence[object] | None = None,
    groups_synthetic: Sequence[object] | None = None,
    draws: int = 50,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
) -> dict[str, Interval]:
    """The four numbers of :func:`prdc`, each with the interval of its expected value AT THIS n and k.

    A bootstrap with replacement makes neighbours at distance 0, and leaving out one block in turn is too wide by
    half (the numbers are no smooth functions of the images); random halves of the blocks have the right spread.
    Student's t with one degree of freedom less than half the draws, whose halves come in complementary pairs.
    Measured coverage of nominal 95 %: ``eval/results/coverage_distances.json``. The cost is that of ``draws`` / 4
    calls of :func:`prdc`.

    Args:
        real: (N, D) features.
        synthetic: (M, D) features.
        k: neighbour that sets the radius.
        groups_real: (N,) lesion or patient of each image; None: images are independent.
        groups_synthetic: (M,) the same for the synthetic set.
        draws: halves drawn; an even number.
        seed: deals the blocks and draws the halves.
        level: nominal coverage.
        force: accept fewer than 30 images in a set.

    Raises:
        InputError: too few images or groups, rows that are not finite.
    """
    x, y = _centred_pair(real, synthetic, ("real features", "synthetic features"))
    values = prdc(x, y, k, force=force)
    rng = np.random.default_rng(seed)
    most = max(len(x), len(y))
    (labels_x, labels_y), used = block_labels((len(x), len(y)), (groups_real, groups_synthetic), most, rng)

    def of_half(keep: np.ndarray) -> np.ndarray:
        return np.array(list(prdc(x[keep[labels_x]], y[keep[labels_y]], k, force=True).values()))

    halves = half_sample_values(of_half, used, draws, rng)
    width = student_t_quantile(0.5 + check_level(level) / 2, len(halves) // 2 - 1) * halves.std(axis=0, ddof=1)
    about = {"level": level, "n_groups": unit_count(len(y), groups_synthetic), "resamples": len(halves)}
    highest = {"density": np.inf}
    return {
        name: Interval(value, max(value - half, 0.0), min(value + half, highest.get(name, 1.0)), **about)
        for (name, value), half in zip(values.items(), width.tolist(), strict=True)
    }
