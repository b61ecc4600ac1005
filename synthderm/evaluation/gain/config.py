"""What a gain experiment is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from synthderm.core import InputError
from synthderm.core.checks import check_range, unknown

from .arms import ARMS, make_arms

TASKS = ("classification", "segmentation")
LEAST_SEEDS = 5
SCORES = {"classification": ("balanced_accuracy", "macro_auroc", "ece"), "segmentation": ("dice",)}
"""Scores of which differences between arms are reported; the first is the one that is judged by default."""

_BY_TASK = {
    "classification": {"size": 64, "steps": 1000, "batch_size": 64},
    "segmentation": {"size": 96, "steps": 600, "batch_size": 16},
}
_SAMPLING = ("arms", "ratios", "n_real", "seeds", "resamples", "level", "score", "force")


@dataclass(frozen=True)
class GainConfig:
    """A gain experiment.

    Attributes:
        task: "classification" or "segmentation".
        classifier: name of the network; see :func:`synthderm.training.make_classifier` and ``make_segmenter``.
        size: side of the images that every arm is trained and scored at, px; 64, for segmentation 96.
        steps: optimiser steps of every arm; 1000, for segmentation 600.
        batch_size: images per step; 64, for segmentation 16.
        learning_rate: peak learning rate; the training routine's own by default.
        precision: arithmetic of a training step, "fp32" or "bf16".
        label_by: the field of a record or the column that holds the label.
        arms: kinds of arms.
        ratios: added images for each real training image.
        n_real: real images that an arm may see (training and validation parts together); all by default.
        validation: share of them that is kept for choosing the checkpoint.
        seeds: repetitions; each draws its own real images, first weights and order.
        seed: the experiment's seed; another one, another experiment.
        resamples: of the bootstrap.
        level: of the intervals.
        score: the score that is judged; it is named before the experiment, not after.
        force: allow fewer than five seeds.

    Raises:
        InputError: for a value that cannot be used.
    """

    task: str = "classification"
    classifier: str = "small"
    size: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    precision: str = "fp32"
    label_by: str = "diagnosis"
    arms: tuple[str, ...] = ARMS
    ratios: tuple[float, ...] = (1.0,)
    n_real: tuple[int, ...] = ()
    validation: float = 0.2
    seeds: int = LEAST_SEEDS
    seed: int = 0
    resamples: int = 2000
    level: float = 0.95
    score: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown("task", self.task, TASKS)
        for name, value in {**_BY_TASK[self.task], "score": SCORES[self.task][0]}.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name in ("arms", "ratios", "n_real"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        make_arms(self.arms, self.ratios)
        if self.score not in SCORES[self.task]:
            raise unknown("score", self.score, SCORES[self.task])
        if self.precision not in ("fp32", "bf16"):
            raise unknown("precision", self.precision, ("fp32", "bf16"))
        if self.seeds < 1 or (self.seeds < LEAST_SEEDS and not self.force):
            raise InputError(
                f"expected at least {LEAST_SEEDS} seeds, got {self.seeds}: fewer say little about a difference between "
                "arms; give --seeds 5 or more, or --force"
            )
        if any(n < 2 for n in self.n_real):
            raise InputError(f"expected n_real of 2 or more, got {list(self.n_real)}")
        check_range("validation", self.validation, 0, 0.9)
        check_range("resamples", self.resamples, 1, 1_000_000)
        check_range("level", self.level, 0.5, 0.999)
        check_range("steps", self.steps, 1, 10_000_000)
        check_range("size", self.size, 16, 1024, "px")

    def identity(self) -> dict[str, Any]:
        """What a finished run depends on: everything but how many runs there are and how they are summed up."""
        return {name: value for name, value in self.to_dict().items() if name not in _SAMPLING}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
