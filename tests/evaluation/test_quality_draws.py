import numpy as np

from synthderm.evaluation.quality.draws import group_codes, group_halves


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
