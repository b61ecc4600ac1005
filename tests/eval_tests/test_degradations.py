"""The ways in which images are spoilt for the check of the extractors."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _eval_scripts(repository):
    sys.path.insert(0, str(repository / "eval"))
    yield
    sys.path.remove(str(repository / "eval"))


def image():
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 30) ** 2 + (columns - 34) ** 2 < 300)[None]
    colours = np.where(disc, np.array([90, 60, 50])[:, None, None], np.array([205, 160, 140])[:, None, None])
    noise = np.random.default_rng(0).normal(0, 6, (3, 64, 64))
    return torch.from_numpy((colours + noise).round().clip(0, 255).astype(np.uint8))


def test_every_level_is_further_from_the_image_than_the_one_before():
    from degradations import PIXEL_LEVELS, spoil

    original = image()
    for kind, levels in PIXEL_LEVELS.items():
        spoilt = [spoil(original, kind, level, np.random.default_rng(0)) for level in levels]
        assert all(x.shape == original.shape and x.dtype == torch.uint8 for x in spoilt), kind
        if not kind.startswith("patches"):
            distances = [float((x.float() - original.float()).abs().mean()) for x in spoilt]
            assert 0 < distances[0] < distances[1] < distances[2] < distances[3], kind


def test_shuffled_patches_hold_the_same_pixels():
    from degradations import spoil

    original = image()
    shuffled = spoil(original, "patches shuffled", 4, np.random.default_rng(0))
    assert not torch.equal(shuffled, original)
    assert torch.equal(shuffled.flatten(1).sort(1).values, original.flatten(1).sort(1).values)


def test_a_turned_hue_keeps_grey_and_comes_back():
    from degradations import spoil

    grey = torch.full((3, 8, 8), 120, dtype=torch.uint8)
    assert torch.equal(spoil(grey, "hue turned", 80, np.random.default_rng(0)), grey)
    red = torch.zeros(3, 2, 2, dtype=torch.uint8)
    red[0] = 200
    turned = spoil(red, "hue turned", 120, np.random.default_rng(0))[:, 0, 0].tolist()
    assert turned == [0, 200, 0]


def test_sets_are_chosen_as_badly_as_told():
    from degradations import choose, set_size

    rows = [SimpleNamespace(diagnosis="mel" if i % 5 == 0 else "nv") for i in range(200)]
    thumbnails = np.arange(200.0)[:, None]
    rng = np.random.default_rng(0)
    assert len(np.unique(choose("collapse, distinct images", 25, rows, thumbnails, 200, rng))) == 25
    cluster = choose("one cluster, share", 0.1, rows, thumbnails, 200, rng)
    assert len(cluster) == 200
    assert np.ptp(cluster) < 25
    n = set_size("wrong mix, share of melanoma", rows)
    assert n == 40
    chosen = choose("wrong mix, share of melanoma", 0.75, rows, thumbnails, n, rng)
    assert sum(rows[i].diagnosis == "mel" for i in chosen) == 30
    assert len(np.unique(chosen)) == 40


def test_order_counts_what_does_not_rise():
    from degradations import order

    assert order([0, 1, 2, 3]) == {"inversions": 0, "spearman": 1.0}
    assert order([3, 2, 1, 0]) == {"inversions": 6, "spearman": -1.0}
    assert order([0, 2, 1, 3])["inversions"] == 1
