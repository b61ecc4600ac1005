import numpy as np
import pytest
from scipy.linalg import sqrtm

from synthderm.core import InputError
from synthderm.functional.frechet import (
    check_frechet_count,
    frechet_distance,
    frechet_infinity,
    frechet_intervals,
    gaussian_statistics,
    least_images,
    mean_distance,
)


def correlated(n, size, seed, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(size, size)) / np.sqrt(size)
    return scale * rng.normal(size=(n, size)) @ mix + shift


def distance(x, y):
    return frechet_distance(*gaussian_statistics(x)[:2], *gaussian_statistics(y)[:2])


def test_statistics_agree_with_numpy():
    x = correlated(40, 5, 0).astype(np.float32)
    mean, cov, n = gaussian_statistics(x)
    assert n == 40
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12)


def test_distance_agrees_with_the_matrix_root_of_scipy():
    x, y = correlated(300, 20, 1), correlated(250, 20, 2, shift=0.2, scale=1.3)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    difference = x.mean(0) - y.mean(0)
    expected = difference @ difference + np.trace(cov_x + cov_y - 2 * sqrtm(cov_x @ cov_y).real)
    assert distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert distance(y, x) == pytest.approx(expected, rel=1e-10)


def test_known_distances_of_gaussians():
    cov_x, cov_y = np.diag([1.0, 4.0, 0.0]), np.diag([9.0, 4.0, 25.0])
    assert frechet_distance(np.zeros(3), cov_x, np.array([2.0, 0, 0]), cov_y) == pytest.approx(4 + 4 + 25)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = [turn @ cov @ turn.T for cov in (cov_x, cov_y)]
    assert frechet_distance(np.zeros(3), turned[0], np.array([2.0, 0, 0]), turned[1]) == pytest.approx(33)


def test_fewer_images_than_features_are_stable():
    """Equal sets give 0 and sets in directions without overlap give the sum of traces, without 1e-7 noise."""
    x = correlated(12, 60, 3) * 100
    assert distance(x, x) < 1e-9 * np.trace(np.cov(x, rowvar=False))
    y = x.copy()
    x[:, 30:], y[:, :30] = 0, 0
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 60)))[0]
    cov_x, cov_y = np.cov(x @ turn, rowvar=False), np.cov(y @ turn, rowvar=False)
    only_cov = frechet_distance(np.zeros(60), cov_x, np.zeros(60), cov_y)
    assert only_cov == pytest.approx(np.trace(cov_x) + np.trace(cov_y), rel=1e-12)


def test_shapes_and_numbers_are_checked():
    with pytest.raises(InputError, match="expected means"):
        frechet_distance(np.zeros(3), np.eye(3), np.zeros(2), np.eye(2))
    with pytest.raises(InputError, match="finite"):
        frechet_distance(np.zeros(2), np.eye(2), np.array([0, np.nan]), np.eye(2))
    with pytest.raises(InputError, match="1 of 60 rows"):
        gaussian_statistics(np.vstack([np.zeros((59, 4)), np.full((1, 4), np.nan)]))


def test_the_floor_is_the_rank_of_the_covariance():
    assert (least_images(128), least_images(8)) == (129, 50)
    with pytest.raises(InputError, match=r"at least 129 .* got 128: .* too high by about c/n"):
        check_frechet_count(128, 128)
    check_frechet_count(2, 128, force=True)


def test_the_bias_is_the_documented_one():
    """(1/n + 1/m) (1 + (D + 1) / 4) of the total variance, to first order, for equal variances."""
    size, n = 16, 400
    rng = np.random.default_rng(4)
    values = [distance(rng.normal(size=(n, size)), rng.normal(size=(n, size))) for _ in range(40)]
    assert np.mean(values) == pytest.approx(2 / n * (1 + (size + 1) / 4) * size, rel=0.06)


def test_mean_distance_has_no_bias():
    rng = np.random.default_rng(5)
    values = [mean_distance(rng.normal(size=(20, 6)), rng.normal(size=(30, 6)) + 0.5) for _ in range(600)]
    assert np.mean(values) == pytest.approx(6 * 0.25, abs=4 * np.std(values) / np.sqrt(600))


@pytest.mark.parametrize(("sizes", "draws"), [(2, 20), (15, 42)])
def test_infinity_is_nearer_the_truth_than_n(sizes, draws):
    size, truth = 12, 12 * 0.1**2
    rng = np.random.default_rng(6)
    pairs = [(rng.normal(size=(200, size)) * 1.1, rng.normal(size=(200, size))) for _ in range(12)]
    options = {"sizes": sizes, "draws": draws}
    extrapolated = [frechet_infinity(x, y, np.random.default_rng(0), **options) for x, y in pairs]
    assert np.mean([distance(x, y) for x, y in pairs]) > truth + 0.4
    assert np.mean(extrapolated) == pytest.approx(truth, abs=0.1)
    assert extrapolated[0] == frechet_infinity(*pairs[0], np.random.default_rng(0), **options)
    assert extrapolated[0] != frechet_infinity(*pairs[0], np.random.default_rng(1), **options)


def test_infinity_says_what_it_needs():
    x = correlated(110, 60, 0)
    with pytest.raises(InputError, match="at least 122"):
        frechet_infinity(x, x, np.random.default_rng(0))
    with pytest.raises(InputError, match="sizes"):
        frechet_infinity(x[:, :5], x[:, :5], np.random.default_rng(0), sizes=1)


def test_intervals_hold_the_distance_and_the_truth():
    size = 12
    x = np.random.default_rng(8).normal(size=(400, size)) * 1.2
    y = np.random.default_rng(9).normal(size=(300, size))
    at_n, at_infinity = frechet_intervals(x, y)
    assert at_n.value == pytest.approx(distance(x, y), rel=1e-10)
    assert at_n.low < at_n.value < at_n.high
    assert at_infinity.low < size * 0.2**2 < at_infinity.high
    assert at_infinity.value == pytest.approx(frechet_infinity(x, y, np.random.default_rng(0)), abs=0.05)
    assert at_n == frechet_intervals(x, y).at_n
    assert at_n.n_groups == 400
    assert at_n.resamples == 100


def test_the_variance_is_that_of_new_samples():
    """Half width over t against the spread of the estimator on fresh samples."""
    size, n = 8, 200
    rng = np.random.default_rng(10)

    def sample():
        return rng.normal(size=(n, size)) * 1.3, rng.normal(size=(n, size))

    spread = np.std([distance(*sample()) for _ in range(200)])
    halves = [np.ptp([(i := frechet_intervals(*sample(), seed=s).at_n).low, i.high]) / 2 / 2.01 for s in range(10)]
    assert np.sqrt(np.mean(np.square(halves))) == pytest.approx(spread, rel=0.2)


def test_grouped_images_widen_the_interval():
    rng = np.random.default_rng(11)
    lesions = rng.normal(size=(100, 1, 6)).repeat(4, axis=1).reshape(400, 6)
    x, y = lesions + 0.1 * rng.normal(size=(400, 6)), rng.normal(size=(400, 6)) * 1.5
    alone = frechet_intervals(x, y).at_n
    grouped = frechet_intervals(x, y, groups=np.repeat(np.arange(100), 4)).at_n
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low > 1.3 * (alone.high - alone.low)
    assert grouped.n_groups == 100


def test_no_extrapolation_where_halves_mean_nothing():
    x = correlated(70, 40, 12)
    assert frechet_intervals(x, correlated(90, 40, 13)).at_infinity is None
    assert frechet_intervals(x, correlated(90, 40, 13), force=True).at_infinity is not None
    with pytest.raises(InputError, match="at least 50"):
        frechet_intervals(x[:45, :5], x[:, :5])
