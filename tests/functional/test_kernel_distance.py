import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.functional import kernel_distance as module
from synthderm.functional.kernel_distance import kernel_distance, kernel_distance_subsets, kernel_interval


def features(n, seed, size=6, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).normal(size=(n, size)) + shift


def pair_by_pair(x, y, degree=3, gamma=None, coef=1.0):
    gamma = gamma or 1 / x.shape[1]

    def mean(a, b, skip):
        values = [
            (gamma * u @ v + coef) ** degree for i, u in enumerate(a) for j, v in enumerate(b) if i != j or not skip
        ]
        return np.mean(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("options", [{}, {"degree": 1}, {"degree": 2, "gamma": 0.3, "coef": 0.5}])
def test_distance_is_the_sum_over_pairs(options):
    x, y = features(40, 0), features(33, 1, scale=1.5)
    expected = pair_by_pair(x, y, **options)
    assert kernel_distance(x, y, **options) == pytest.approx(expected, rel=1e-11)
    assert kernel_distance(torch.tensor(y), torch.tensor(x), **options) == pytest.approx(expected, rel=1e-11)


def test_row_blocks_change_nothing(monkeypatch):
    x, y = features(70, 2), features(50, 3, shift=0.3)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(module, "rows_per_block", lambda columns: 7)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-12)


def test_there_is_no_bias():
    values = [kernel_distance(features(30, [s, 0]), features(40, [s, 1])) for s in range(300)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / np.sqrt(300))
    assert min(values) < 0


def test_subsets_are_those_of_torchmetrics():
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Module):
        num_features = 6

        def forward(self, x):
            return x

    x, y = features(90, 4), features(80, 5, scale=1.2)
    theirs = KernelInceptionDistance(Given(), subsets=7, subset_size=50)
    theirs.update(torch.tensor(x), real=True)
    theirs.update(torch.tensor(y), real=False)
    torch.manual_seed(11)
    mean, deviation = theirs.compute()
    ours = kernel_distance_subsets(x, y, torch.Generator().manual_seed(11), subsets=7, subset_size=50)
    assert ours == pytest.approx((float(mean), float(deviation)), rel=1e-9)


def test_interval_is_the_jackknife_over_blocks(monkeypatch):
    seen = {}
    original = module.block_labels

    def remember(*args):
        seen["labels"], seen["blocks"] = original(*args)
        return seen["labels"], seen["blocks"]

    monkeypatch.setattr(module, "block_labels", remember)
    x, y = features(60, 6), features(44, 7, scale=1.4)
    interval = kernel_interval(x, y, blocks=10, groups_x=np.arange(60) // 3)
    left, right = seen["labels"]
    assert all(len(set(left[3 * g : 3 * g + 3])) == 1 for g in range(20))
    values = np.array([kernel_distance(x[left != b], y[right != b], force=True) for b in range(10)])
    spread = np.sqrt(9 / 10 * ((values - values.mean()) ** 2).sum())
    assert interval.value == pytest.approx(kernel_distance(x, y), rel=1e-11)
    assert interval.high - interval.value == pytest.approx(2.2621571627 * spread, rel=1e-8)
    assert interval.value - interval.low == pytest.approx(interval.high - interval.value)
    assert (interval.n_groups, interval.resamples) == (20, 10)


def test_what_cannot_be_used_is_refused():
    x = features(40, 8)
    with pytest.raises(InputError, match=r"at least 30 .* got 29"):
        kernel_distance(x[:29], x)
    assert np.isfinite(kernel_distance(x[:3], x, force=True))
    with pytest.raises(InputError, match="degree"):
        kernel_distance(x, x, degree=0)
    with pytest.raises(InputError, match="subset_size 41"):
        kernel_distance_subsets(x, x, torch.Generator(), subset_size=41)
    x[3] = np.nan
    with pytest.raises(InputError, match="1 of 40 rows"):
        kernel_distance(features(40, 9), x)
