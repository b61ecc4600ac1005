"""What is scored: of all test images, of each class, of each skin type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from synthderm.functional import scores as functional

from .cells import Part, Score
from .config import SCORES, GainConfig
from .experiment import TestImages

LOWER_IS_BETTER = ("ece", "normalised_accuracy_range", "normalised_dice_range")
TONES = range(1, 7)

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_CLASS_SCORES: dict[str, Statistic] = {
    "auroc": functional.auroc,
    "auprc": functional.average_precision,
    "sensitivity_at_90_specificity": partial(functional.sensitivity_at_specificity, specificity=0.90),
    "sensitivity_at_95_specificity": partial(functional.sensitivity_at_specificity, specificity=0.95),
}


def mean_dice(preds: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the Dice coefficients (T,) of the images."""
    return functional.weighted_mean(preds, weights)


DICE = Score("dice", mean_dice, classes=False)
ACCURACY = Score("accuracy", functional.accuracy, classes=False)


def overall_scores(config: GainConfig) -> list[Score]:
    """Scores of a whole set of images; the first ones are those of :data:`~.config.SCORES`."""
    if config.task == "segmentation":
        return [DICE]
    return [
        Score("balanced_accuracy", functional.balanced_accuracy),
        Score("macro_auroc", functional.macro_auroc),
        Score("ece", functional.expected_calibration_error, classes=False),
        ACCURACY,
    ]


def compared_scores(config: GainConfig) -> list[Score]:
    """Scores of which differences between arms are reported."""
    return [score for score in overall_scores(config) if score.name in SCORES[config.task]]


def class_scores(label: int) -> dict[str, Score]:
    """Scores of one class against all others, by the name that results give them."""

    def one(statistic: Statistic) -> Statistic:
        return lambda preds, target, weights: statistic(preds[:, label], target == label, weights)

    return {name: Score(f"{name} of class {label}", one(statistic)) for name, statistic in _CLASS_SCORES.items()}


def tone_parts(test: TestImages) -> dict[str, Part]:
    """The test images of each skin type that occurs, by its number."""
    types = np.array([tone or 0 for tone in test.fst])
    return {str(tone): Part(f"type {tone}", types == tone) for tone in TONES if (types == tone).any()}


def spread_scores(config: GainConfig, bands: Sequence[np.ndarray]) -> list[Score]:
    """Scores over skin types: the range over the mean, and the worst.

    The range over the mean, (max - min) / mean of the accuracies, is the normalised accuracy range of Pakzad et al.
    2022 (CIRCLe, ISIC workshop at ECCV). Both are of the types that were seen: noise widens the range and lowers the
    worst even where the types do not differ.

    Args:
        config: says which score is compared: accuracy, or Dice.
        bands: (T,) bool for each skin type; (T,) are the images that are scored.
    """
    base = DICE if config.task == "segmentation" else ACCURACY

    def each(preds: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.stack([base.statistic(preds[band], target[band], weights[:, band]) for band in bands])

    def spread(preds: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = each(preds, target, weights)
        middle = found.mean(axis=0)
        return np.divide(np.ptp(found, axis=0), middle, out=np.zeros_like(middle), where=middle > 0)

    def worst(preds: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return each(preds, target, weights).min(axis=0)

    return [
        Score(f"normalised_{base.name}_range", spread, (0.0, np.inf), classes=False),
        Score(f"worst_tone_{base.name}", worst, classes=False),
    ]
