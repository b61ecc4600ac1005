import numpy as np
import pytest
from scipy import stats

from synthderm.core import InputError
from synthderm.functional.intervals import percentile_interval, proportion_interval, student_t_cdf, student_t_quantile


@pytest.mark.parametrize("df", [1, 1.5, 2, 3.7, 4, 9, 49.2, 333, 1e4, 9e5])
@pytest.mark.parametrize("p", [0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9995])
def test_student_t_quantile_agrees_with_scipy(p, df):
    assert student_t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("df", [1, 2.5, 40, np.inf])
def test_student_t_cdf_agrees_with_scipy(df):
    for t in (-3.0, -0.2, 0.0, 1.3, 8.0):
        assert student_t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), abs=1e-12)


def test_no_quantile_without_a_degree_of_freedom():
    with pytest.raises(InputError, match="at least 1 degree"):
        student_t_quantile(0.9, 0.5)
    with pytest.raises(InputError, match="between 0 and 1"):
        student_t_quantile(1.0, 5)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (57, 400), (1, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_agrees_with_scipy(successes, n, level):
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    got = proportion_interval(successes, n, level)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert got.value == successes / n


def test_impossible_counts_are_refused():
    with pytest.raises(InputError, match="11 of 10"):
        proportion_interval(11, 10)
    with pytest.raises(InputError, match="0 of 0"):
        proportion_interval(0, 0)


def test_percentiles_leave_out_and_count_what_is_undefined():
    values = np.concatenate([np.arange(1001) / 1000, [np.nan, np.nan]])
    got = percentile_interval(values, level=0.9)
    assert (got.value, got.low, got.high) == pytest.approx((0.5, 0.05, 0.95))
    assert (got.resamples, got.undefined) == (1003, 2)
    assert got.to_json()["undefined"] == 2
    with pytest.raises(InputError, match="1 of 3"):
        percentile_interval([1.0, np.nan, np.nan])
