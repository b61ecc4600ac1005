import numpy as np
import pytest
from scipy import stats

from synthderm.core import InputError
from synthderm.functional import bootstrap as module
from synthderm.functional.bootstrap import (
    Resampled,
    group_interval,
    group_strata,
    group_weights,
    paired_group_interval,
    resample_runs,
)
from synthderm.functional.scores import balanced_accuracy, macro_auroc, weighted_mean


def all_weights(*args, **options):
    return np.concatenate(list(group_weights(*args, **options)))


def test_weights_are_shared_within_groups_and_have_mean_one():
    groups = np.array(list("aabcccdd"))
    weights = all_weights(groups, 4000, seed=1)
    assert weights.shape == (4000, 8)
    for group in "abcd":
        assert np.ptp(weights[:, groups == group], axis=1).max() == 0
    assert weights[:, [0, 2, 3, 6]].sum(1) == pytest.approx(np.full(4000, 4))
    assert weights.mean(0) == pytest.approx(np.ones(8), abs=0.08)


def test_the_spread_of_a_mean_is_that_of_independent_groups():
    """The textbook s^2 / G exactly in expectation, also for few groups (Rao & Wu 1988)."""
    values = np.array([0.0, 1.0, 4.0, 9.0, 11.0])
    weights = all_weights(np.arange(5), 40_000)
    assert weighted_mean(values, weights).var() == pytest.approx(values.var(ddof=1) / 5, rel=0.03)


def test_strata_keep_rare_classes_and_their_spread():
    labels = np.array([0] * 90 + [1] * 6 + [2] * 4)
    groups = np.arange(100)
    strata = group_strata(groups, labels)
    weights = all_weights(groups, 3000, strata=strata)
    for label in range(3):
        assert weights[:, labels == label].sum(1) == pytest.approx((labels == label).sum())
    values = np.arange(4.0)
    assert weighted_mean(values, weights[:, labels == 2]).var() == pytest.approx(values.var(ddof=1) / 4, rel=0.1)
    preds = np.eye(3)[labels]
    assert not np.isnan(balanced_accuracy(preds, labels, weights)).any()
    plain = all_weights(groups, 3000)
    assert np.isnan(balanced_accuracy(preds, labels, plain)).mean() == pytest.approx(np.exp(-4), rel=0.4)


def test_the_stratum_of_a_group_is_its_rarest_class():
    groups = ["a", "a", "b", "c", "c", "d", "e"]
    labels = [0, 2, 0, 1, 0, 0, 1]
    strata = group_strata(groups, labels)
    assert strata[0] == strata[1]
    assert strata[3] == strata[4] == strata[6]
    assert strata[2] == strata[5]
    assert len(set(strata.tolist())) == 3
    with pytest.raises(InputError, match="one stratum"):
        all_weights(groups, strata=labels)


def test_a_single_group_of_a_stratum_stays():
    weights = all_weights(np.arange(4), 50, strata=[0, 0, 0, 1])
    assert (weights[:, 3] == 1).all()


def test_the_size_of_the_parts_changes_nothing(monkeypatch):
    groups, strata = np.arange(30) // 2, np.arange(30) // 10
    strata = group_strata(groups, strata)
    whole = all_weights(groups, 200, seed=3, strata=strata)
    monkeypatch.setattr(module, "rows_per_block", lambda columns: 33)
    assert (all_weights(groups, 200, seed=3, strata=strata) == whole).all()
    assert (all_weights(groups, 200, seed=4, strata=strata) != whole).any()


def test_one_run_gives_the_t_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=60)
    got = group_interval(weighted_mean, [values], np.arange(60), resamples=20_000)
    expected = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert (got.low, got.high) == pytest.approx(expected, abs=0.01)
    assert (got.n_groups, got.n_seeds, got.resamples, got.undefined) == (60, 1, 20_000, 0)


def test_where_seeds_decide_it_is_the_t_interval_of_the_seeds():
    """Every image has the value of its run: the groups add nothing, and t has S - 1 degrees of freedom."""
    of_seed = np.array([0.1, 0.5, 0.2, 0.9, 0.4])
    got = group_interval(weighted_mean, [np.full(40, v) for v in of_seed], np.arange(40), resamples=20_000)
    low, high = stats.t.interval(0.95, 4, of_seed.mean(), stats.sem(of_seed))
    assert got.high - got.low == pytest.approx(high - low, rel=0.06)
    assert got.value == pytest.approx(of_seed.mean())


def test_the_variance_of_a_crossed_design_is_not_counted_twice():
    """Groups x seeds with an interaction: the mean of V over many experiments is the variance of the value."""
    rng = np.random.default_rng(1)
    groups, runs, estimates, variances = 60, 4, [], []
    for i in range(300):
        table = rng.normal(size=(1, groups)) + 0.15 * rng.normal(size=(runs, 1)) + 2.0 * rng.normal(size=(runs, groups))
        resampled = resample_runs(weighted_mean, list(table), np.arange(groups), resamples=200, seed=i)
        estimates.append(table.mean())
        variances.append(resampled.variance()[0])
    expected = 1 / groups + 0.15**2 / runs + 4 / (groups * runs)
    assert np.var(estimates) == pytest.approx(expected, rel=0.25)
    assert np.mean(variances) == pytest.approx(expected, rel=0.2)  # 0.35 more if the interaction counted twice


def test_coverage_where_seeds_decide_is_nominal_and_that_of_percentiles_is_not():
    rng = np.random.default_rng(2)
    ours, plain = [], []
    for i in range(250):
        runs = list(rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(1, 50)))
        resampled = resample_runs(weighted_mean, runs, np.arange(50), resamples=200, seed=i)
        got = resampled.interval()
        ours.append(got.low <= 0 <= got.high)
        draws = rng.integers(0, 5, (200, 5))
        joint = resampled.values[draws, np.arange(200)[:, None]].mean(1)
        plain.append(np.quantile(joint, 0.025) <= 0 <= np.quantile(joint, 0.975))
    assert 0.91 <= np.mean(ours) <= 0.985
    assert np.mean(plain) < 0.9


def classifier_runs(seed, n=120, runs=3, strength=1.0):
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 3
    logits = rng.normal(size=(runs, n, 3)) + strength * np.eye(3)[target]
    return list(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)), target


def test_differences_are_paired_and_antisymmetric():
    a, target = classifier_runs(0)
    b, _ = classifier_runs(1, strength=2.0)
    groups = np.arange(120) // 2

    def score(preds, weights):
        return macro_auroc(preds, target, weights)

    options = {"resamples": 200, "strata": group_strata(groups, target)}
    one, other = (paired_group_interval(score, *arms, groups, **options) for arms in ((a, b), (b, a)))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.high < 0
    assert one.value == pytest.approx(np.mean([score(p, None)[0] for p in a]) - np.mean([score(p, None)[0] for p in b]))
    same = paired_group_interval(score, a, a, groups, **options)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    alone = group_interval(score, a, groups, **options)
    assert alone.value == pytest.approx(np.mean([score(p, None)[0] for p in a]))
    assert alone.low < alone.value < alone.high
    composed = resample_runs(score, a, groups, **options) - resample_runs(score, b, groups, **options)
    assert composed.interval() == one


def test_pairing_removes_what_both_arms_share():
    rng = np.random.default_rng(3)
    hard = rng.normal(size=80)
    a, b = ([hard + 0.1 * rng.normal(size=80) for _ in range(3)] for _ in range(2))
    paired = paired_group_interval(weighted_mean, a, b, np.arange(80))
    alone = group_interval(weighted_mean, a, np.arange(80))
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_undefined_resamples_are_left_out_and_counted():
    target = np.array([1] * 3 + [0] * 57)
    preds = np.stack([np.linspace(1, 0, 60), np.linspace(0, 1, 60)], axis=1)

    def score(p, weights):
        return balanced_accuracy(p, target, weights)

    plain = group_interval(score, [preds], np.arange(60), resamples=1000)
    assert 20 < plain.undefined < 90
    assert plain.low < plain.value < plain.high
    kept = group_interval(score, [preds], np.arange(60), resamples=1000, strata=group_strata(np.arange(60), target))
    assert kept.undefined == 0


def test_mostly_undefined_has_no_ends():
    values = np.full((2, 200), np.nan)
    values[:, :90] = np.random.default_rng(0).normal(size=(2, 90))
    got = Resampled(np.array([0.1, 0.2]), values, 30, 0).interval()
    assert got.value == pytest.approx(0.15)
    assert np.isnan([got.low, got.high]).all()
    assert got.undefined == 110


def test_ends_stay_within_bounds():
    values = np.array([1.0] * 58 + [0.0] * 2)
    free = group_interval(weighted_mean, [values], np.arange(60), level=0.999)
    assert free.high > 1
    assert group_interval(weighted_mean, [values], np.arange(60), level=0.999, bounds=(0, 1)).high == 1


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(InputError, match="runs of 120 images"):
        group_interval(weighted_mean, [np.ones(50)], np.arange(120))
    with pytest.raises(InputError, match="no runs"):
        group_interval(weighted_mean, [], np.arange(120))
    with pytest.raises(InputError, match="at least 2 groups"):
        group_interval(weighted_mean, [np.ones(50)], ["one"] * 50)
    with pytest.raises(InputError, match="at least 100 resamples"):
        group_interval(weighted_mean, [np.ones(50)], np.arange(50), resamples=10)
    with pytest.raises(InputError, match="same seeds"):
        paired_group_interval(weighted_mean, [np.ones(50)] * 2, [np.ones(50)] * 3, np.arange(50))
    with pytest.raises(InputError, match="exists on the test set"):
        group_interval(lambda p, w: np.full(len(w), np.nan), [np.ones(50)], np.arange(50))
