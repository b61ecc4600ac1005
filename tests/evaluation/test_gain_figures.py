"""What is made of the predictions: scores, differences, verdicts, curves."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as oracle
from gain_sets import record

from synthderm.core import InputError
from synthderm.evaluation.gain import comparisons
from synthderm.evaluation.gain.arms import Arm
from synthderm.evaluation.gain.cells import Cell, Scorer, sort_runs, whole
from synthderm.evaluation.gain.comparisons import compare_arms, judge, side, verdict
from synthderm.evaluation.gain.config import GainConfig
from synthderm.evaluation.gain.curves import dose_curves, size_curves
from synthderm.evaluation.gain.experiment import Experiment, TestImages
from synthderm.evaluation.gain.figures import summarise
from synthderm.evaluation.gain.plan import Stock, plan_runs
from synthderm.evaluation.gain.runs import Finished
from synthderm.evaluation.gain.scores import compared_scores

CLASSES = ("nv", "mel", "bcc")
N = 240


def images(seed=0, fst=(1, 2, None)):
    """Test images: lesions of one to three images, a quarter of them of type 1 and so on."""
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, N // 2, N))
    labels = rng.choice(3, N, p=[0.6, 0.25, 0.15])[groups]
    return TestImages(labels, [f"g{i}" for i in groups], [fst[i % len(fst)] for i in range(N)], CLASSES)


def guesses(test, skill, seed):
    """(N, 3) float32 probabilities that know the label the better, the larger ``skill``."""
    logits = np.random.default_rng(seed).normal(size=(N, 3)) + skill * np.eye(3)[test.labels]
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)


def cell(test, arm, skill, n_real=100, seeds=5, noise=0):
    return Cell(n_real, arm, [guesses(test, skill, 100 * noise + s) for s in range(seeds)], [{}] * seeds)


def scorer(test, **options):
    return Scorer(test, GainConfig(**{"resamples": 200, **options}))


def row_of(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


REAL, REPLAY, MATCHED, MIXED = (
    Arm("real"),
    Arm("real+replay", 1.0),
    Arm("real+replay-matched", 1.0),
    Arm("real+synthetic", 1.0),
)


# ---- point values


@pytest.fixture(scope="module")
def summary():
    """Figures of an experiment whose predictions are drawn: what was trained plays no part."""
    test = images()
    records = [record(i, group=f"t{i}") for i in range(90)]
    stock = Stock(records, np.arange(90) % 3, np.arange(300) % 3, [frozenset()] * 300, CLASSES)
    config = GainConfig(n_real=(40, 80), ratios=(1.0, 2.0), resamples=100)
    runs = tuple(plan_runs(config, stock))
    skill = {"real": 1.0, "real+replay": 1.1, "real+synthetic": 2.0, "synthetic": 0.5, "real+heavy-aug": 1.0}
    finished = [
        Finished(
            guesses(test, skill[run.arm.kind] + run.n_real / 100, i),
            {"name": run.name, "n_train": run.n_train, "n_pool": len(run.pool), "seed": run.seed},
        )
        for i, run in enumerate(runs)
    ]
    experiment = Experiment(config, None, test, runs, {})
    return test, experiment, finished, summarise(experiment, finished)


def test_values_are_the_mean_over_seeds_of_scikit_learns(summary):
    test, experiment, finished, figures = summary
    arm = row_of(figures["arms"], n_real=40, arm="real+replay@2")
    preds = next(c.preds for c in sort_runs(experiment, finished) if (c.n_real, c.arm) == (40, Arm("real+replay", 2.0)))
    y, hot = test.labels, np.eye(3)[test.labels]
    macro = np.mean([oracle.roc_auc_score(hot, p, average="macro") for p in preds])
    balanced = np.mean([oracle.balanced_accuracy_score(y, p.argmax(1)) for p in preds])
    assert arm["scores"]["macro_auroc"]["value"] == pytest.approx(macro, abs=1e-9)
    assert arm["scores"]["balanced_accuracy"]["value"] == pytest.approx(balanced, abs=1e-9)
    assert arm["scores"]["balanced_accuracy"]["n"] == N
    area = np.mean([oracle.average_precision_score(y == 1, p[:, 1]) for p in preds])
    assert arm["per_class"]["mel"]["auprc"]["value"] == pytest.approx(area, abs=1e-9)
    for share in (90, 95):
        rates = [oracle.roc_curve(y == 2, p[:, 2], drop_intermediate=False)[:2] for p in preds]
        best = np.mean([tpr[fpr <= 1 - share / 100 + 1e-9].max() for fpr, tpr in rates])
        found = arm["per_class"]["bcc"][f"sensitivity_at_{share}_specificity"]
        assert found["value"] == pytest.approx(best, abs=1e-9)
        assert found["n"] == (y == 2).sum()
        assert found["interval"][0] < found["value"] < found["interval"][1]


def test_calibration_error_is_torchmetrics(summary):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    test, experiment, finished, figures = summary
    preds = next(c.preds for c in sort_runs(experiment, finished) if (c.n_real, c.arm.kind) == (80, "real"))
    labels = torch.from_numpy(test.labels)
    expected = np.mean([multiclass_calibration_error(torch.from_numpy(p).double(), labels, 3).item() for p in preds])
    assert row_of(figures["arms"], n_real=80, arm="real")["scores"]["ece"]["value"] == pytest.approx(expected, abs=1e-6)


def test_skin_types_are_scored_on_their_images(summary):
    test, experiment, finished, figures = summary
    arm = row_of(figures["arms"], n_real=40, arm="synthetic")
    preds = next(c.preds for c in sort_runs(experiment, finished) if (c.n_real, c.arm.kind) == (40, "synthetic"))
    right = {}
    for tone in (1, 2):
        mine = np.array([t == tone for t in test.fst])
        right[tone] = np.array([(p[mine].argmax(1) == test.labels[mine]).mean() for p in preds])
        balanced = np.mean([oracle.balanced_accuracy_score(test.labels[mine], p[mine].argmax(1)) for p in preds])
        found = arm["per_tone"][str(tone)]["balanced_accuracy"]
        assert (found["value"], found["n"]) == (pytest.approx(balanced, abs=1e-9), 80)
    both = np.stack([right[1], right[2]])
    spread = ((both.max(0) - both.min(0)) / both.mean(0)).mean()
    assert arm["scores"]["normalised_accuracy_range"]["value"] == pytest.approx(spread, abs=1e-9)
    assert arm["scores"]["worst_tone_accuracy"]["value"] == pytest.approx(both.min(0).mean(), abs=1e-9)
    assert arm["scores"]["worst_tone_accuracy"]["n"] == 160
    assert set(arm["per_tone"]) == {"1", "2"}


def test_a_class_with_few_images_of_a_skin_type_is_insufficient(summary):
    test, *_, figures = summary
    found = row_of(figures["arms"], n_real=40, arm="real")["per_tone_class"]["1"]
    mine = np.array([tone == 1 for tone in test.fst])
    counts = {name: int((mine & (test.labels == i)).sum()) for i, name in enumerate(CLASSES)}
    for name, n in counts.items():
        assert found[name]["auroc"]["n"] == n
        assert (found[name]["auroc"]["value"] is None) == (n < 30)
    assert min(counts.values()) < 30 < max(counts.values())


def test_counts_of_what_was_drawn(summary):
    figures = summary[-1]
    assert [row_of(figures["arms"], n_real=80, arm=arm)[key] for arm in ("real", "real+synthetic@2", "synthetic")
            for key in ("n_train", "n_added")] == [64, 0, 64, 128, 0, 128]  # fmt: skip
    assert figures["test"]["fst"] == {"1": 80, "2": 80, "None": 80}
    assert sum(figures["test"]["classes"].values()) == N


def test_figures_are_json(summary):
    assert json.loads(json.dumps(summary[-1], allow_nan=False)) == summary[-1]
    assert summary[-1]["comparisons"] == len(summary[-1]["differences"])
    assert summary[-1]["runs"][0]["file"] == "runs/n40_real_seed0.npz"


def test_differences_are_those_of_the_values(summary):
    figures = summary[-1]
    values = {(a["n_real"], a["arm"]): a["scores"] for a in figures["arms"]}
    for row in figures["differences"]:
        if row["fst"] is None:
            ends = [values[row["n_real"], row[key]][row["score"]]["value"] for key in ("arm", "against")]
            assert row["difference"]["value"] == pytest.approx(ends[0] - ends[1], abs=1e-12)


def test_every_dose_is_compared_with_the_replay_of_its_own_ratio(summary):
    rows = summary[-1]["differences"]
    against = {row["against"] for row in rows if row["arm"] == "real+synthetic@2"}
    assert against == {"real+replay@2", "real", "real+heavy-aug"}
    assert {row["against"] for row in rows if row["arm"] == "real+replay@1"} == {"real"}
    assert {row["against"] for row in rows if row["arm"] == "synthetic"} == {"real+replay@2", "real", "real+heavy-aug"}
    toned = [row for row in rows if row["fst"] is not None]
    assert {row["score"] for row in toned} == {"balanced_accuracy"}
    assert {row["against"] for row in toned} == {"real+replay@1", "real+replay@2"}


# ---- verdicts


@pytest.mark.parametrize(("skill", "word"), [(3.0, "gain"), (1.0, "no difference shown"), (0.2, "loss")])
def test_a_difference_is_named_by_its_interval(skill, word):
    test = images()
    cells = [cell(test, REAL, 0.8), cell(test, REPLAY, 1.0), cell(test, MIXED, skill, noise=1)]
    rows = compare_arms(scorer(test), cells)
    row = row_of(rows, arm="real+synthetic@1", against="real+replay@1", score="balanced_accuracy", fst=None)
    assert row["verdict"] == word
    assert judge(rows, "balanced_accuracy")[0]["verdict"] == word


def test_without_replay_the_word_gain_is_never_used():
    test = images()
    rows = compare_arms(scorer(test), [cell(test, REAL, 0.2), cell(test, MIXED, 4.0)])
    assert {row["verdict"] for row in rows} == {"not judged: no equal-dose control"}
    found = judge(rows, "balanced_accuracy")
    assert [(one["verdict"], one["against"]) for one in found] == [("not judged: no equal-dose control", [])]
    assert row_of(rows, score="balanced_accuracy")["difference"]["interval"][0] > 0


def test_a_gain_needs_every_equal_dose_control():
    test = images()
    cells = [cell(test, REPLAY, 0.5), cell(test, MATCHED, 3.0), cell(test, MIXED, 3.0, noise=1)]
    rows = compare_arms(scorer(test), cells)
    word = row_of(rows, against="real+replay@1", score="balanced_accuracy", fst=None)["verdict"]
    assert word == comparisons.NOT_OVER_ALL
    assert judge(rows, "balanced_accuracy")[0] == {
        "n_real": 100, "arm": "real+synthetic@1", "ratio": 1.0, "score": "balanced_accuracy",
        "against": ["real+replay@1", "real+replay-matched@1"], "verdict": "no difference shown",
    }  # fmt: skip


def figure(low, high):
    return {"value": (low + high) / 2, "interval": [low, high], "n": 100}


@pytest.mark.parametrize(
    ("against", "intervals", "expected"),
    [
        (REPLAY, {REPLAY: (0.01, 0.1)}, "gain"),
        (REPLAY, {REPLAY: (0.0, 0.1)}, "no difference shown"),
        (REPLAY, {REPLAY: (-0.1, -0.01)}, "loss"),
        (REPLAY, {REPLAY: (0.01, 0.1), MATCHED: (-0.01, 0.1)}, comparisons.NOT_OVER_ALL),
        (REPLAY, {REPLAY: (0.01, 0.1), MATCHED: (0.01, 0.1)}, "gain"),
        (REAL, {REPLAY: (-0.1, 0.1), REAL: (0.01, 0.1)}, comparisons.HIGHER),
        (REAL, {REPLAY: (0.1, 0.2), REAL: (-0.2, -0.1)}, "worse"),
        (REAL, {REAL: (0.1, 0.2)}, comparisons.NO_CONTROL),
    ],
)
def test_verdicts(against, intervals, expected):
    found = {arm: figure(*ends) for arm, ends in intervals.items()}
    assert verdict(MIXED, against, found) == expected
    flipped = {arm: figure(-high, -low) for arm, (low, high) in intervals.items()}
    assert verdict(MIXED, against, flipped, lower_is_better=True) == expected


def test_an_arm_without_a_dose_needs_no_control():
    heavy = Arm("real+heavy-aug")
    assert verdict(heavy, REAL, {REAL: figure(0.1, 0.2)}) == comparisons.HIGHER
    assert "gain" not in comparisons.HIGHER


def test_a_difference_without_an_interval_is_insufficient():
    assert side({"value": None, "interval": None}) is None
    assert verdict(MIXED, REPLAY, {REPLAY: {"value": None, "interval": None}}) == "insufficient"


def test_a_rare_skin_type_is_insufficient():
    test = images(fst=(1, 1, 1, 1, 1, 1, 1, 1, 1, 5))
    cells = [cell(test, REPLAY, 1.0), cell(test, MIXED, 1.0)]
    row = row_of(compare_arms(scorer(test), cells), fst=5)
    assert row["verdict"] == "insufficient"
    assert row["difference"] == {"value": None, "interval": None, "n": 24, "note": "insufficient"}


def test_pairing_narrows_the_interval_of_a_difference():
    test = images()
    shared = [guesses(test, 1.0, s) for s in range(5)]
    better = [np.where(np.eye(3, dtype=bool)[test.labels], p * 1.3, p).astype(np.float32) for p in shared]
    cells = [Cell(100, REPLAY, shared, []), Cell(100, MIXED, [b / b.sum(1, keepdims=True) for b in better], [])]
    judging = scorer(test)
    score = compared_scores(judging.config)[1]
    both = [judging.score(score, each, whole(test))["interval"] for each in cells]
    low, high = judging.difference(score, cells[1], cells[0], whole(test))["interval"]
    assert high - low < 0.5 * min(b[1] - b[0] for b in both)
    assert low > 0


def test_images_of_a_lesion_are_resampled_together():
    """Sixty lesions shown four times each say as little as sixty images: the interval is twice as wide."""
    few = images()
    chosen = np.repeat(np.arange(60), 4)
    each = [(0.9 * guesses(few, 1.0, 0) + 0.1 * guesses(few, 1.0, s))[chosen] for s in range(1, 6)]
    widths = []
    for groups in ([f"g{i}" for i in chosen], [f"g{i}" for i in range(240)]):
        test = TestImages(few.labels[chosen], groups, [None] * 240, CLASSES)
        score = compared_scores(GainConfig())[1]
        low, high = scorer(test).score(score, Cell(100, REPLAY, each, []), whole(test))["interval"]
        widths.append(high - low)
    assert 1.6 < widths[0] / widths[1] < 2.4


def test_resamples_are_drawn_from_named_seeds():
    test = images()
    cells = [cell(test, REPLAY, 1.0), cell(test, MIXED, 1.5)]
    first, again = (json.dumps(compare_arms(scorer(test), cells)) for _ in range(2))
    assert first == again
    assert first != json.dumps(compare_arms(scorer(test, seed=3), cells))


# ---- curves


def test_the_dose_curve_levels_off_at_the_smallest_dose_like_the_best():
    test = images()
    skills = [(0.5, 0.3), (1.0, 2.5), (2.0, 2.5)]
    doses = [cell(test, Arm("real+synthetic", ratio), skill, noise=i) for i, (ratio, skill) in enumerate(skills)]
    cells = [cell(test, REAL, 0.1), *doses]
    curve = dose_curves(scorer(test), cells, compared_scores(GainConfig())[:1])[0]
    assert [point["ratio"] for point in curve["points"]] == [0.5, 1.0, 2.0]
    assert curve["start"]["value"] < curve["points"][0]["value"] < curve["points"][1]["value"]
    assert (curve["n_real"], curve["score"], curve["saturation"]) == (100, "balanced_accuracy", 1.0)


def test_one_dose_is_no_curve():
    test = images()
    curve = dose_curves(scorer(test), [cell(test, MIXED, 1.0)], compared_scores(GainConfig())[:1])[0]
    assert (curve["saturation"], curve["start"], len(curve["points"])) == (None, None, 1)
    assert size_curves(scorer(test), [cell(test, MIXED, 1.0)], compared_scores(GainConfig())) == []


def test_size_curves_have_a_point_for_every_number_of_real_images():
    test = images()
    cells = [cell(test, arm, n / 100, n_real=n) for n in (50, 200) for arm in (REAL, MIXED)]
    curves = size_curves(scorer(test), cells, compared_scores(GainConfig())[:2])
    assert [(c["arm"], c["score"]) for c in curves] == [
        (arm, score) for arm in ("real", "real+synthetic@1") for score in ("balanced_accuracy", "macro_auroc")
    ]
    assert [point["n_real"] for point in curves[0]["points"]] == [50, 200]
    assert curves[0]["points"][0]["value"] < curves[0]["points"][1]["value"]


# ---- what can go wrong


def test_a_test_set_of_one_class_has_no_auroc():
    test = replace(images(), labels=np.zeros(N, int))
    row = compare_arms(scorer(test), [cell(test, REPLAY, 1.0), cell(test, MIXED, 1.0)])
    found = row_of(row, score="macro_auroc", fst=None)
    assert (found["difference"]["value"], found["verdict"]) == (None, "insufficient")


def test_arms_with_other_numbers_of_seeds_cannot_be_paired():
    test = images()
    with pytest.raises(InputError, match="same seeds"):
        compare_arms(scorer(test), [cell(test, REPLAY, 1.0, seeds=4), cell(test, MIXED, 1.0)])


def test_segmentation_scores_the_mean_dice():
    test = images()
    values = [np.random.default_rng(s).uniform(0.6, 0.9, N).astype(np.float32) for s in range(5)]
    cells = [Cell(50, REPLAY, values, []), Cell(50, MIXED, [v + np.float32(0.05) for v in values], [])]
    rows = compare_arms(scorer(test, task="segmentation"), cells)
    row = row_of(rows, score="dice", fst=None)
    assert row["difference"]["value"] == pytest.approx(0.05, abs=1e-6)
    assert row["verdict"] == "gain"
    assert math.isclose(*row["difference"]["interval"], abs_tol=1e-5)
