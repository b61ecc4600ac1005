"""Variances of set distances by leaving blocks of images out: resampling with replacement would repeat images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from synthderm.core import InputError

LEAST_BLOCKS = 10


def _unit_index(n: int, groups: Sequence[object] | None) -> np.ndarray:
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise InputError(f"expected one group for each of {n} images, got {len(groups)}")
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def block_labels(
    sizes: Sequence[int], groups: Sequence[Sequence[object] | None], blocks: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], int]:
    """Deal the images of each set into the same even number of blocks, at random; a group stays together.

    Args:
        sizes: images in each set.
        groups: of each set the group of each image; None: every image is one.
        blocks: blocks wanted; fewer where a set has fewer groups.
        rng: decides who goes where.

    Returns:
        For each set (n,) int labels in 0 to blocks - 1, every block at least once, and the number of blocks.

    Raises:
        InputError: fewer than 10 groups or blocks, or another number of group names than images.
    """
    units = [_unit_index(n, g) for n, g in zip(sizes, groups, strict=True)]
    counts = [int(unit.max()) + 1 for unit in units]
    if min(*counts, blocks) < LEAST_BLOCKS:
        raise InputError(
            f"expected at least {LEAST_BLOCKS} blocks and groups in each set for an interval, "
            f"got {blocks} blocks and {' and '.join(map(str, counts))} groups; give more images of other lesions"
        )
    used = 2 * (min(*counts, blocks) // 2)
    return [(rng.permutation(count) % used)[unit] for count, unit in zip(counts, units, strict=True)], used


def unit_count(n: int, groups: Sequence[object] | None) -> int:
    """Independent units among ``n`` images: their groups, or the images."""
    return n if groups is None else len(set(groups))


def jackknife_values(statistic: Callable[[np.ndarray], np.ndarray], blocks: int) -> np.ndarray:
    """(blocks, K) values of ``statistic(keep)`` with each block left out in turn; ``keep`` is (blocks,) bool."""
    return np.array([statistic(np.arange(blocks) != left_out) for left_out in range(blocks)]).reshape(blocks, -1)


def jackknife_variance(values: np.ndarray) -> np.ndarray:
    """Delete-one-block variance of (blocks, K) values, (K,) (Quenouille-Tukey; Efron & Stein 1981, eq. 1.1)."""
    return (len(values) - 1) ** 2 / len(values) * values.var(axis=0, ddof=1)


def half_sample_values(
    statistic: Callable[[np.ndarray], np.ndarray], blocks: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(draws, K) values of ``statistic(keep)`` on random halves of the blocks and their complements.

    The variance of these values estimates the variance of the statistic on the whole sample: half the images have
    twice the variance, of which drawing from one finite sample leaves half (Politis & Romano 1994, sec. 3).
    """
    values = []
    for _ in range(max(draws // 2, 1)):
        keep = rng.permutation(blocks) < blocks // 2
        values += [statistic(keep), statistic(~keep)]
    return np.array(values).reshape(len(values), -1)
