import numpy as np
import pytest

from synthderm.core import InputError
from synthderm.functional.subsampling import (
    block_labels,
    half_sample_values,
    jackknife_values,
    jackknife_variance,
    unit_count,
)


def test_groups_stay_together_and_blocks_are_even():
    groups = np.repeat(np.arange(33), 3)
    (a, b), used = block_labels((99, 400), (groups, None), 50, np.random.default_rng(0))
    assert used == 32
    assert all(len(set(a[groups == g])) == 1 for g in range(33))
    for labels in (a, b):
        sizes = np.bincount(labels)
        assert len(sizes) == used
        assert sizes.min() >= 1
    assert np.ptp(np.bincount(b)) <= 1


def test_few_groups_are_refused():
    with pytest.raises(InputError, match="50 blocks and 9 and 20 groups"):
        block_labels((18, 20), (np.repeat(np.arange(9), 2), None), 50, np.random.default_rng(0))
    with pytest.raises(InputError, match="each of 18 images, got 3"):
        block_labels((18,), ([1, 2, 3],), 50, np.random.default_rng(0))
    assert (unit_count(5, None), unit_count(5, list("aabbc"))) == (5, 3)


def test_both_variances_are_exact_for_a_mean():
    """The variance of a mean of 40 blocks is s^2 / 40; leaving one out finds exactly that, halves on average."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=40)
    expected = values.var(ddof=1) / 40

    def mean(keep):
        return np.array([values[keep].mean()])

    assert jackknife_variance(jackknife_values(mean, 40))[0] == pytest.approx(expected, rel=1e-12)
    halves = half_sample_values(mean, 40, 4000, rng)
    assert halves.shape == (4000, 1)
    assert halves.mean() == pytest.approx(values.mean())
    assert halves.var(ddof=1) == pytest.approx(expected, rel=0.06)
