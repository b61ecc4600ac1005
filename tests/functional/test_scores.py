import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from synthderm.core import InputError
from synthderm.functional import scores


def predictions(n=200, classes=4, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    target = rng.choice(
        classes, n, p=np.array([0.5, 0.3, 0.15, 0.05])[:classes] / sum([0.5, 0.3, 0.15, 0.05][:classes])
    )
    logits = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[target]
    preds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return (preds if decimals is None else preds.round(decimals)), target


def sensitivity(target, score, sample_weight=None, specificity=0.9):
    fpr, tpr, _ = sklearn_metrics.roc_curve(target, score, sample_weight=sample_weight, drop_intermediate=False)
    return tpr[fpr <= 1 - specificity + 1e-12].max()


def macro(target, preds, sample_weight=None):
    return sklearn_metrics.roc_auc_score(
        target, preds, multi_class="ovr", average="macro", sample_weight=sample_weight, labels=range(preds.shape[1])
    )


OF_CLASSES = {
    scores.accuracy: lambda t, p, w: sklearn_metrics.accuracy_score(t, p.argmax(1), sample_weight=w),
    scores.balanced_accuracy: lambda t, p, w: sklearn_metrics.balanced_accuracy_score(t, p.argmax(1), sample_weight=w),
    scores.macro_auroc: macro,
}
OF_ONE = {
    scores.auroc: lambda t, s, w: sklearn_metrics.roc_auc_score(t, s, sample_weight=w),
    scores.average_precision: lambda t, s, w: sklearn_metrics.average_precision_score(t, s, sample_weight=w),
    scores.sensitivity_at_specificity: sensitivity,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("score", "oracle"), OF_CLASSES.items())
def test_scores_over_classes_agree_with_scikit_learn(score, oracle, seed):
    preds, target = predictions(seed=seed)
    weights = np.random.default_rng(seed).integers(0, 4, (20, 200))
    assert score(preds, target) == pytest.approx([oracle(target, preds, None)], rel=1e-12)
    expected = [oracle(target, preds, w) for w in weights]
    assert score(preds, target, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("decimals", [None, 2, 1])
@pytest.mark.parametrize(("score", "oracle"), OF_ONE.items())
def test_scores_of_one_class_agree_with_scikit_learn(score, oracle, decimals):
    """Rounded scores have many ties."""
    preds, target = predictions(decimals=decimals)
    value, positive = preds[:, 1], target == 1
    weights = np.random.default_rng(1).integers(0, 4, (20, 200))
    assert score(value, positive) == pytest.approx([oracle(positive, value, None)], rel=1e-12)
    expected = [oracle(positive, value, w) for w in weights]
    assert score(value, positive, weights) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("score", [*OF_CLASSES, scores.expected_calibration_error])
def test_a_whole_weight_repeats_the_image(score):
    preds, target = predictions(seed=4)
    weights = np.random.default_rng(2).integers(0, 3, (1, 200))
    repeated = np.repeat(np.arange(200), weights[0])
    assert score(preds, target, weights) == pytest.approx(score(preds[repeated], target[repeated]), rel=1e-12)


@pytest.mark.parametrize("score", OF_ONE)
def test_a_whole_weight_repeats_the_image_for_one_class(score):
    preds, target = predictions(seed=5, decimals=2)
    weights = np.random.default_rng(3).integers(0, 3, (1, 200))
    repeated = np.repeat(np.arange(200), weights[0])
    args = preds[:, 0], target == 0
    assert score(*args, weights) == pytest.approx(score(*(a[repeated] for a in args)), rel=1e-12)


@pytest.mark.parametrize("score", [*OF_CLASSES, *OF_ONE, scores.expected_calibration_error])
def test_rows_of_weights_do_not_meet(score):
    """Many resamples at once, in either memory order, are what each gives alone; scale does not matter."""
    preds, target = predictions(seed=6)
    args = (preds[:, 1], target == 1) if score in OF_ONE else (preds, target)
    weights = np.random.default_rng(4).random((40, 200))
    together = score(*args, weights)
    assert together.shape == (40,)
    assert together == pytest.approx([score(*args, w[None])[0] for w in weights], rel=1e-12)
    assert score(*args, np.ascontiguousarray(7 * weights.T).T) == pytest.approx(together, rel=1e-12)


def test_a_resample_without_the_class_is_undefined():
    preds, target = predictions(seed=7)
    weights = np.ones((3, 200))
    weights[1, target == 3] = 0
    weights[2, target != 3] = 0
    assert np.isnan(scores.balanced_accuracy(preds, target, weights)).tolist() == [False, True, True]
    assert np.isnan(scores.macro_auroc(preds, target, weights)).tolist() == [False, True, True]
    for score in OF_ONE:
        assert np.isnan(score(preds[:, 3], target == 3, weights)).tolist() == [False, True, True]
    assert not np.isnan(scores.accuracy(preds, target, weights)).any()


def test_classes_that_the_target_lacks_do_not_count():
    preds, target = predictions(seed=8)
    preds, target = preds[target != 2], target[target != 2]
    present = [sklearn_metrics.roc_auc_score(target == c, preds[:, c]) for c in (0, 1, 3)]
    assert scores.macro_auroc(preds, target)[0] == pytest.approx(np.mean(present), rel=1e-12)
    recalls = [(preds.argmax(1) == c)[target == c].mean() for c in (0, 1, 3)]
    assert scores.balanced_accuracy(preds, target)[0] == pytest.approx(np.mean(recalls), rel=1e-12)


def test_calibration_error_agrees_with_torchmetrics():
    from torchmetrics.functional.classification import multiclass_calibration_error

    for seed in range(3):
        preds, target = predictions(seed=seed)
        expected = multiclass_calibration_error(torch.tensor(preds), torch.tensor(target), 4, n_bins=15, norm="l1")
        assert scores.expected_calibration_error(preds, target)[0] == pytest.approx(float(expected), abs=1e-7)


def test_full_confidence_joins_the_last_bin():
    preds, target = np.array([[0.96, 0.04], [1.0, 0.0]]), np.array([1, 0])
    assert scores.expected_calibration_error(preds, target)[0] == pytest.approx(abs(0.5 - 0.98))


def test_calibration_error_of_known_confidence():
    preds = np.tile([0.8, 0.2], (10, 1))
    target = np.array([0] * 6 + [1] * 4)
    assert scores.expected_calibration_error(preds, target)[0] == pytest.approx(0.2)
    with pytest.raises(InputError, match="softmax"):
        scores.expected_calibration_error(np.log(preds), target)


def test_sensitivity_at_the_ends():
    score, target = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0, 1, 0, 1, 1])
    assert scores.sensitivity_at_specificity(score, target, specificity=1.0)[0] == pytest.approx(2 / 3)
    assert scores.sensitivity_at_specificity(score, target, specificity=0.5)[0] == 1
    assert scores.sensitivity_at_specificity(-score, target, specificity=0.9)[0] == 0
    with pytest.raises(InputError, match="specificity between 0 and 1"):
        scores.sensitivity_at_specificity(score, target, specificity=90)


def test_dice_of_known_masks():
    a, b = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    a[1, 0] = True
    assert scores.dice(a, b).tolist() == [0.5, 0, 1]
    weighted = scores.weighted_mean(scores.dice(a, b), np.array([[1, 1, 2], [2, 0, 0], [0, 0, 0]]))
    assert weighted[:2].tolist() == [0.625, 0.5]
    assert np.isnan(weighted[2])
    with pytest.raises(InputError, match="bool masks"):
        scores.dice(a.astype(float), b)


def test_what_cannot_be_scored_is_refused():
    preds, target = predictions(50)
    with pytest.raises(InputError, match="class indices 0 to 3"):
        scores.accuracy(preds, target + 1)
    with pytest.raises(InputError, match=r"\(N, C\) predictions"):
        scores.accuracy(preds[:, 0], target)
    with pytest.raises(InputError, match="0 positives of 50"):
        scores.auroc(preds[:, 0], np.zeros(50, bool))
    with pytest.raises(InputError, match="finite predictions"):
        scores.macro_auroc(np.where(preds > 0.9, np.nan, preds), target)
    with pytest.raises(InputError, match=r"weights \(R, 50\)"):
        scores.accuracy(preds, target, np.ones(50))
