import numpy as np
import pytest

from synthderm.evaluation.quality.draws import group_codes, group_halves, half_sample_error


def test_the_halves_share_no_group_and_hold_every_image_once():
    codes = group_codes([f"g{i // 3}" for i in range(60)])
    for seed in range(5):
        a, b = group_halves(codes, np.random.default_rng(seed))
        assert sorted([*a, *b]) == list(range(60))
        assert not set(codes[a]) & set(codes[b])
        assert len(a) == len(b) == 30


def test_groups_of_several_sizes_are_parted_as_evenly_as_they_can_be():
    codes = np.repeat(np.arange(4), [1, 50, 1, 50])
    a, b = group_halves(codes, np.random.default_rng(0))
    assert min(len(a), len(b)) >= 50 - 2


def test_one_group_cannot_be_parted():
    a, b = group_halves(np.zeros(10, np.int64), np.random.default_rng(0))
    assert (len(a), len(b)) == (10, 0)


def test_images_of_all_groups_come_in_random_order():
    codes = np.arange(40)
    firsts = {tuple(group_halves(codes, np.random.default_rng(seed))[0][:3]) for seed in range(4)}
    assert len(firsts) == 4


@pytest.mark.parametrize("per_group", [1, 4])
def test_the_error_is_that_of_a_difference_of_means(per_group):
    rng = np.random.default_rng(3)
    n = 400
    x = np.repeat(rng.normal(size=n // per_group), per_group)
    y = np.repeat(rng.normal(size=n // per_group) * 2, per_group)
    codes = np.arange(n) // per_group

    def difference(a, b):
        return np.array([x[a].mean() - y[b].mean()])

    found = half_sample_error(difference, codes, codes, np.random.default_rng(0), 300)
    groups = n / per_group
    expected = np.sqrt(x.var(ddof=1) / groups + y.var(ddof=1) / groups)
    assert found[0] == pytest.approx(expected, rel=0.12)


def test_without_groups_to_draw_from_there_is_no_error():
    one = np.zeros(10, np.int64)
    assert np.isnan(half_sample_error(lambda a, b: np.array([1.0]), one, one, np.random.default_rng(0), 8)).all()
