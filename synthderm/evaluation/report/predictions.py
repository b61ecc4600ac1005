"""Curves made of the predictions that a training experiment keeps: ROC and calibration."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arms import Arm, arm_of
from .read import Result

if TYPE_CHECKING:
    import numpy as np

BINS = 10


@dataclass(frozen=True)
class Predictions:
    """What the networks of one arm say of the test images.

    Attributes:
        arm: the arm.
        n_real: real images that it was trained on.
        preds: for each seed (T, C) probabilities.
        labels: (T,) int64.
        classes: C names.
    """

    arm: Arm
    n_real: Any
    preds: Sequence[np.ndarray]
    labels: np.ndarray
    classes: Sequence[str]


def read_predictions(result: Result) -> list[Predictions]:
    """The predictions in a result's folder by arm; empty where there are none, or no labels beside them."""
    runs: dict[tuple[Any, Arm], list[np.ndarray]] = {}
    target = _target(result)
    if target is None:
        return []
    labels, classes = target
    for row in result.rows("runs"):
        preds = _arrays(result.folder, str(row.get("file") or f"runs/{row.get('name')}.npz")).get("preds")
        if preds is not None and preds.shape == (len(labels), len(classes)):
            runs.setdefault((row.get("n_real"), arm_of(row)), []).append(preds)
    return [Predictions(arm, n_real, preds, labels, classes) for (n_real, arm), preds in runs.items()]


def roc(labels: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """True-positive rates at the false-positive rates of ``grid``; ties count half (Fawcett 2006, section 5).

    Args:
        labels: (T,) bool.
        scores: (T,), higher for True.
        grid: rates, ascending.
    """
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits = np.cumsum(labels[order])[last] / max(labels.sum(), 1)
    alarms = np.cumsum(~labels[order])[last] / max((~labels).sum(), 1)
    alarms, hits = np.concatenate([[0.0], alarms]), np.concatenate([[0.0], hits])
    return np.interp(grid, *_upper(alarms, hits))


def _upper(alarms: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve with the highest point where it rises straight up."""
    import numpy as np

    keep = np.append(np.diff(alarms) > 0, True)
    return alarms[keep], hits[keep]


def calibration(labels: np.ndarray, preds: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence and accuracy of the class that is named, in bins of equal width (Guo et al. 2017, section 2).

    Args:
        labels: (T,) int64.
        preds: (T, C) probabilities.
        bins: how many.

    Returns:
        For each bin the mean confidence, the share that is right (nan where the bin is empty) and the count.
    """
    import numpy as np

    confidence, right = preds.max(1), preds.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        share = np.bincount(place, right, bins) / count
    return mean, share, count


def _target(result: Result) -> tuple[np.ndarray, list[str]] | None:
    """Labels of the test images and the names of the classes, from ``runs/test.npz``; None where there are none."""
    import numpy as np

    found = _arrays(result.folder, "runs/test.npz")
    if "labels" not in found or "classes" not in found:
        return None
    return found["labels"].astype(np.int64), [str(name) for name in found["classes"]]


def _arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a file inside ``folder``; empty where it cannot be read."""
    import numpy as np

    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}
