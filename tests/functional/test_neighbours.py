import numpy as np
import pytest
from scipy.spatial.distance import cdist

from synthderm.core import InputError
from synthderm.functional import neighbours as module
from synthderm.functional.neighbours import nearest, prdc, prdc_intervals


def features(n, seed, size=6, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).normal(size=(n, size)) + shift


def prdc_by_definition(real, synthetic, k):
    radii_real, radii_synthetic = (np.sort(cdist(a, a), axis=1)[:, k] for a in (real, synthetic))
    between = cdist(real, synthetic)
    return {
        "precision": (between <= radii_real[:, None]).any(0).mean(),
        "recall": (between <= radii_synthetic[None]).any(1).mean(),
        "density": (between <= radii_real[:, None]).sum(0).mean() / k,
        "coverage": (between.min(1) <= radii_real).mean(),
    }


@pytest.mark.parametrize("k", [1, 5, 30])
def test_neighbours_agree_with_sorting_all_distances(k):
    x, y = features(50, 0), features(40, 1)
    distances, indices = nearest(x, y, k)
    every = cdist(x, y)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], rtol=1e-12)
    assert (indices == np.argsort(every, axis=1)[:, :k]).all()


def test_copies_are_at_distance_zero_and_ties_go_to_the_lower_index():
    x = features(40, 2, shift=1000.0)
    y = np.concatenate([features(10, 3), x, x])
    distances, indices = nearest(x, y, 2)
    assert (distances == 0).all()
    assert (indices == np.arange(40)[:, None] + [10, 50]).all()


def test_none_is_its_own_neighbour():
    x = features(30, 4)
    x[7] = x[3]
    distances, indices = nearest(x, x, 1, exclude_self=True)
    assert (indices[:, 0] != np.arange(30)).all()
    assert (distances[[3, 7], 0] == 0).all()
    assert indices[[3, 7], 0].tolist() == [7, 3]


def test_row_blocks_change_nothing(monkeypatch):
    x, y = features(61, 5), features(45, 6, scale=1.3)
    whole, neighbours = prdc(x, y), nearest(x, y, 3)
    monkeypatch.setattr(module, "rows_per_block", lambda columns: 7)
    assert prdc(x, y) == whole
    for got, expected in zip(nearest(x, y, 3), neighbours, strict=True):
        assert (got == expected).all()


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_prdc_agrees_with_its_definition(k, scale):
    real, synthetic = features(80, 7, shift=50), features(60, 8, scale=scale, shift=50)
    assert prdc(real, synthetic, k) == pytest.approx(prdc_by_definition(real, synthetic, k), abs=1e-12)


def test_the_border_of_a_neighbourhood_belongs_to_it():
    """Synthetic images that repeat a k-th neighbour lie on a border exactly."""
    real = features(50, 9, shift=3)
    for k in (1, 2, 5):
        assert prdc(real, real[::-1].copy(), k) == pytest.approx(prdc_by_definition(real, real, k))
        assert prdc(real, real, k)["coverage"] == 1


def test_mode_collapse_costs_recall_and_not_precision():
    rng = np.random.default_rng(10)
    modes = rng.normal(size=(4, 8)) * 10
    real = (modes[:, None] + rng.normal(size=(4, 100, 8))).reshape(-1, 8)
    collapsed = modes[0] + rng.normal(size=(400, 8))
    got = prdc(real, collapsed)
    assert got["precision"] > 0.85
    assert got["recall"] < 0.3
    assert got["coverage"] < 0.3
    swapped = prdc(collapsed, real)
    assert swapped["precision"] < 0.3
    assert swapped["recall"] > 0.85


def test_far_sets_share_nothing_and_equal_sets_have_known_values():
    far = prdc(features(60, 11), features(60, 12, shift=100))
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    same = prdc(features(800, 13), features(800, 14), 3)
    assert same["coverage"] == pytest.approx(1 - 2**-3, abs=0.04)
    assert same["density"] == pytest.approx(1, abs=0.12)


def test_intervals_have_the_spread_of_new_samples():
    rng = np.random.default_rng(15)

    def sample():
        return rng.normal(size=(80, 4)), rng.normal(size=(80, 4)) + 0.9

    spread = np.std([list(prdc(*sample()).values()) for _ in range(200)], axis=0)
    widths = []
    for seed in range(12):
        intervals = prdc_intervals(*sample(), seed=seed)
        widths.append([i.high - i.value if i.value < 0.7 else i.value - i.low for i in intervals.values()])
        assert intervals["density"].resamples == 50
    assert np.sqrt(np.mean(np.square(widths), axis=0)) / 2.064 == pytest.approx(spread, rel=0.35)


def test_groups_stay_together_in_the_halves():
    lesions = np.repeat(features(40, 16), 3, axis=0)
    real = lesions + 0.05 * features(120, 17)
    alone, grouped = (prdc_intervals(real, features(120, 18), groups_real=g) for g in (None, np.arange(120) // 3))
    assert alone["recall"].value == grouped["recall"].value
    assert grouped["coverage"].high - grouped["coverage"].low > 1.2 * (alone["coverage"].high - alone["coverage"].low)


def test_what_cannot_be_used_is_refused():
    x = features(40, 19)
    with pytest.raises(InputError, match="k between 1 and the 39"):
        nearest(x, x, 40, exclude_self=True)
    with pytest.raises(InputError, match="same rows twice"):
        nearest(x, x[:30], exclude_self=True)
    with pytest.raises(InputError, match=r"at least 30 .* got 12"):
        prdc(x, x[:12])
    with pytest.raises(InputError, match="k between 1 and 2 for 3 images"):
        prdc(x, x[:3], force=True)
    with pytest.raises(InputError, match=r"finite synthetic features.* in 2 of 40 rows"):
        prdc(x, np.where(np.arange(40)[:, None] < 2, np.inf, x))
