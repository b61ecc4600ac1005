"""Which images the runs of a gain experiment draw."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from gain_sets import record

from synthderm.core import InputError
from synthderm.evaluation.gain.arms import (
    ARMS,
    Arm,
    balanced_counts,
    is_balanced,
    make_arms,
    proportional_order,
    resample,
)
from synthderm.evaluation.gain.config import GainConfig
from synthderm.evaluation.gain.plan import Run, Stock, nested_order, plan_runs

CLASSES = ("nv", "mel", "bcc")


def rng(seed=0):
    return np.random.default_rng(seed)


def stock(n=300, synthetic=600, sources=None, synthetic_labels=None, seed=0):
    """Groups of one to three images; 60, 30 and 10 % of them are of the three classes."""
    sizes = rng(seed).integers(1, 4, n)
    groups = np.repeat(np.arange(n), sizes)[:n]
    labels = rng(seed + 1).choice(3, n, p=[0.6, 0.3, 0.1])[groups]
    records = [
        record(i, CLASSES[label], f"g{group}") for i, (group, label) in enumerate(zip(groups, labels, strict=True))
    ]
    given = np.arange(synthetic) % 3 if synthetic_labels is None else np.asarray(synthetic_labels)
    return Stock(records, labels, given, sources or [frozenset()] * len(given), CLASSES)


def by_name(runs):
    return {(run.n_real, run.arm.name, run.seed): run for run in runs}


def group_set(stock, indices):
    return {stock.records[i].group for i in indices}


def test_every_beginning_of_a_dose_has_the_class_shares_of_the_set():
    labels = rng().choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    order = proportional_order(labels, rng(1))
    assert sorted(order) == list(range(500))
    whole = np.bincount(labels) / 500
    for n in (20, 77, 250, 499):
        assert np.abs(np.bincount(labels[order[:n]], minlength=4) - n * whole).max() < 1.01


def test_replayed_images_come_equally_often_and_in_the_asked_counts():
    labels = np.array([0] * 30 + [1] * 7 + [2] * 3)
    drawn = resample(labels, {0: 20, 1: 20, 2: 20}, rng())
    assert Counter(labels[drawn].tolist()) == {0: 20, 1: 20, 2: 20}
    often = np.bincount(drawn, minlength=40)
    for label in range(3):
        mine = often[labels == label]
        assert mine.max() - mine.min() <= 1


def test_a_class_without_an_image_cannot_be_replayed():
    with pytest.raises(InputError, match="class number 1"):
        resample(np.zeros(5, int), {0: 2, 1: 2}, rng())


@pytest.mark.parametrize("total", [9, 10, 11])
def test_balanced_counts_sum_up_and_differ_by_at_most_one(total):
    counts = balanced_counts(total, [0, 1, 2], rng())
    assert sum(counts.values()) == total
    assert max(counts.values()) - min(counts.values()) <= 1


def test_balance_is_judged_by_five_points():
    assert is_balanced(np.array([0] * 55 + [1] * 45), 2)
    assert not is_balanced(np.array([0] * 56 + [1] * 44), 2)
    assert not is_balanced(np.array([0] * 50 + [1] * 50), 3)


def test_nested_subsets_keep_groups_together_and_class_shares():
    made = stock()
    groups = [r.group for r in made.records]
    order = nested_order(made.labels, groups, rng())
    assert sorted(order) == list(range(300))
    names = [groups[i] for i in order]
    assert len([a for a, b in pairwise(names) if a != b]) + 1 == len(set(groups))
    share = np.bincount(made.labels, minlength=3) / 300
    for n in (60, 150):
        assert np.abs(np.bincount(made.labels[order[:n]], minlength=3) / n - share).max() < 0.05


@pytest.fixture(scope="module")
def planned():
    made = stock()
    config = GainConfig(n_real=(60, 120), ratios=(0.5, 2.0), seeds=5)
    return made, config, plan_runs(config, made)


def test_every_arm_size_and_seed_is_there_once(planned):
    _, _, runs = planned
    names = ["real", "real+replay@0.5", "real+replay@2", "real+synthetic@0.5", "real+synthetic@2", "synthetic"]
    assert Counter(run.arm.name for run in runs) == dict.fromkeys([*names, "real+heavy-aug"], 10)
    assert len({run.name for run in runs}) == len(runs) == 70


def test_validation_shares_no_group_with_training_and_n_real_counts_both(planned):
    made, _, runs = planned
    for run in runs:
        real = run.pool[run.pool < 300]
        assert not group_set(made, real) & group_set(made, run.validation)
        if run.arm.name == "real":
            assert len(run.pool) + len(run.validation) == run.n_real
            assert len(run.validation) == 0.2 * run.n_real
            assert len(set(run.pool.tolist())) == len(run.pool) == run.n_train


def test_the_smaller_real_set_is_contained_in_the_larger(planned):
    _, _, runs = planned
    found = by_name(runs)
    for seed in range(5):
        small, large = found[60, "real", seed], found[120, "real", seed]
        assert set(small.pool) < set(large.pool)
        assert set(small.validation) < set(large.validation)
    assert set(found[60, "real", 0].pool) != set(found[60, "real", 1].pool)


def test_replay_and_synthetic_doses_are_equal_and_the_real_images_the_same(planned):
    made, _, runs = planned
    found = by_name(runs)
    for n_real in (60, 120):
        for ratio in (0.5, 2):
            real = found[n_real, "real", 3]
            replay, mixed = found[n_real, f"real+replay@{ratio:g}", 3], found[n_real, f"real+synthetic@{ratio:g}", 3]
            assert len(replay.pool) == len(mixed.pool) == round((1 + ratio) * real.n_train)
            assert np.array_equal(replay.pool[: real.n_train], real.pool)
            assert np.array_equal(mixed.pool[: real.n_train], real.pool)
            assert set(replay.pool) == set(real.pool)
            assert (mixed.pool[real.n_train :] >= 300).all()
            assert len(set(mixed.pool)) == len(mixed.pool)
            added = made.labels[replay.pool[real.n_train :]]
            assert np.ptp(np.bincount(added, minlength=3)) <= 1
            assert replay.training_seed == mixed.training_seed == real.training_seed


def test_a_larger_dose_contains_the_smaller_and_synthetic_takes_the_largest(planned):
    _, _, runs = planned
    found = by_name(runs)
    small, large = (set(found[120, f"real+synthetic@{r}", 2].pool) for r in ("0.5", "2"))
    assert small < large
    alone = found[120, "synthetic", 2]
    assert set(alone.pool) == {i for i in large if i >= 300}
    assert len(alone.pool) == 2 * 96


def test_a_run_survives_being_sent(planned):
    _, _, runs = planned
    again = Run.from_message(runs[40].to_message())
    assert (again.name, again.digest, again.arm) == (runs[40].name, runs[40].digest, runs[40].arm)
    assert runs[40].digest != runs[41].digest


def test_runs_do_not_depend_on_what_else_is_asked_for(planned):
    made, _, runs = planned
    fewer = plan_runs(GainConfig(n_real=(120,), ratios=(2.0,), arms=("real+synthetic",), seeds=5), made)
    found = by_name(runs)
    assert [run.digest for run in fewer] == [found[120, "real+synthetic@2", s].digest for s in range(5)]


def test_another_seed_is_another_experiment(planned):
    made, _, runs = planned
    other = plan_runs(GainConfig(n_real=(60, 120), ratios=(0.5, 2.0), seed=1), made)
    assert not {run.digest for run in runs} & {run.digest for run in other}


def test_an_unbalanced_dose_gets_a_control_with_its_own_class_counts():
    made = stock(synthetic_labels=[0] * 100 + [1] * 300)
    runs = by_name(plan_runs(GainConfig(n_real=(100,)), made))
    mixed, matched = runs[100, "real+synthetic@1", 0], runs[100, "real+replay-matched@1", 0]
    added = made.synthetic_labels[mixed.pool[80:] - 300]
    replayed = made.labels[matched.pool[80:]]
    assert Counter(added.tolist()) == Counter(replayed.tolist()) == {0: 20, 1: 60}
    assert set(matched.pool[80:]) <= set(matched.pool[:80])
    assert (100, "real+replay@1", 0) in runs


def test_synthetic_images_made_from_real_ones_join_only_the_part_that_has_their_group():
    made = stock()
    sources = [frozenset({f"real/{made.records[i % 300].group}"}) for i in range(600)]
    made = stock(sources=sources)
    for run in plan_runs(GainConfig(n_real=(100,), ratios=(0.5,), arms=("real+synthetic",)), made):
        trained = {f"real/{g}" for g in group_set(made, run.pool[run.pool < 300])}
        used = set().union(*(sources[i - 300] for i in run.pool if i >= 300))
        assert used <= trained
    with pytest.raises(InputError, match=r"at least 320 synthetic.*got \d+ \(\d+ more are made from images outside"):
        plan_runs(GainConfig(n_real=(100,), ratios=(4.0,)), made)


def test_a_dose_that_cannot_be_filled_says_how_many_are_there():
    with pytest.raises(InputError, match=r"expected at least 480 synthetic images for ratio 2 .*got 120; make more"):
        plan_runs(GainConfig(ratios=(0.5, 2.0)), stock(synthetic=120))


def test_a_class_without_training_images_is_refused():
    made = stock()
    with pytest.raises(InputError, match="got none of bcc"):
        plan_runs(GainConfig(n_real=(5,), arms=("real",)), made)


def test_more_real_images_than_there_are_is_refused():
    with pytest.raises(InputError, match="at least 400 real training images, got 300"):
        plan_runs(GainConfig(n_real=(400,)), stock())


def test_without_a_validation_part_all_real_images_are_trained_on():
    run = plan_runs(GainConfig(validation=0, arms=("real",)), stock())[0]
    assert (len(run.pool), len(run.validation)) == (300, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 4}, "at least 5 seeds, got 4"),
        ({"arms": ("real", "reel+replay")}, "unknown arm"),
        ({"ratios": (0.0,)}, "ratios above 0"),
        ({"ratios": ()}, "ratios above 0"),
        ({"task": "detection"}, "unknown task"),
        ({"score": "f1"}, "unknown score"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"n_real": (1,)}, "n_real of 2 or more"),
        ({"validation": 0.95}, "validation must be between"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        GainConfig(**options)


def test_fewer_seeds_can_be_forced():
    assert GainConfig(seeds=2, force=True).seeds == 2


def test_defaults_follow_the_task():
    assert (GainConfig().size, GainConfig().steps, GainConfig().score) == (64, 1000, "balanced_accuracy")
    masks = GainConfig(task="segmentation")
    assert (masks.size, masks.steps, masks.score) == (96, 600, "dice")


def test_what_a_finished_run_depends_on():
    base = GainConfig().identity()
    assert GainConfig(seeds=9, ratios=(1, 2), n_real=(50,), resamples=10, arms=("real",)).identity() == base
    assert GainConfig(steps=999).identity() != base
    assert GainConfig(seed=1).identity() != base


def test_arms_are_in_one_order_whatever_was_asked():
    arms = make_arms(reversed(ARMS), (2.0, 1.0, 2.0), matched=(2.0,))
    assert [arm.name for arm in arms] == [
        "real",
        "real+replay@1",
        "real+replay@2",
        "real+synthetic@1",
        "real+synthetic@2",
        "synthetic",
        "real+heavy-aug",
        "real+replay-matched@2",
    ]
    assert arms[5] == Arm("synthetic", 2.0)
