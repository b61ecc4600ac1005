"""Predictions sorted by arm, and the two numbers that are made of them: a score and a difference of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthderm.functional.bootstrap import Resampled, group_strata, resample_runs

from ..result import LEAST_GROUP, figure
from .arms import Arm
from .config import GainConfig
from .experiment import Experiment, TestImages
from .runs import Finished


@dataclass(frozen=True)
class Score:
    """Something that is scored.

    Attributes:
        name: as in results.
        statistic: score of (preds (T, ...), target (T,), weights (R, T)) as (R,).
        bounds: lowest and highest value that it can have.
        classes: it needs images of at least two classes.
    """

    name: str
    statistic: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] = field(repr=False)
    bounds: tuple[float, float] = (0.0, 1.0)
    classes: bool = True


@dataclass(frozen=True)
class Part:
    """Some of the test images.

    Attributes:
        name: unique among the parts of a test set.
        keep: (T,) bool.
        least: with fewer images its figures are "insufficient".
    """

    name: str
    keep: np.ndarray = field(repr=False)
    least: int = LEAST_GROUP

    @property
    def n(self) -> int:
        """Images."""
        return int(self.keep.sum())


def whole(test: TestImages) -> Part:
    """All test images."""
    return Part("all", np.ones(len(test.labels), bool), 1)


@dataclass(frozen=True)
class Cell:
    """The runs of one arm at one number of real images.

    Attributes:
        n_real: real images that the arm may see.
        arm: the arm.
        preds: of each repetition, in the order of the seeds.
        records: of each repetition.
    """

    n_real: int
    arm: Arm
    preds: Sequence[np.ndarray] = field(repr=False)
    records: Sequence[dict[str, Any]] = field(repr=False)


def sort_runs(experiment: Experiment, finished: Sequence[Finished]) -> list[Cell]:
    """The cells of an experiment, by number of real images and then in the order of the arms."""
    found: dict[tuple[int, Arm], list[Finished]] = {}
    for run, done in zip(experiment.runs, finished, strict=True):
        found.setdefault((run.n_real, run.arm), []).append(done)
    cells = [Cell(n, arm, [d.preds for d in each], [d.record for d in each]) for (n, arm), each in found.items()]
    return sorted(cells, key=lambda cell: cell.n_real)


class Scorer:
    """Scores with intervals over test groups x repetitions; each arm is scored once, however often it is compared.

    Args:
        test: the test images.
        config: resamples, level and seed.
    """

    def __init__(self, test: TestImages, config: GainConfig) -> None:
        self.test, self.config = test, config
        self._known: dict[tuple[int, Arm, str, str], Resampled | None] = {}

    def score(self, score: Score, cell: Cell, part: Part) -> dict[str, Any]:
        """The mean over repetitions, as a figure; "insufficient" where the part has too few images."""
        found = self._resampled(score, cell, part)
        return self._figure(found, part, score.bounds)

    def difference(self, score: Score, cell: Cell, other: Cell, part: Part) -> dict[str, Any]:
        """``cell`` less ``other``, paired over test groups and repetitions."""
        first, second = (self._resampled(score, each, part) for each in (cell, other))
        return self._figure(None if first is None or second is None else first - second, part)

    def _figure(
        self, found: Resampled | None, part: Part, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> dict[str, Any]:
        if found is None:
            return figure(None, n=part.n)
        interval = found.interval(self.config.level, bounds)
        return figure(interval.value, interval.low, interval.high, part.n)

    def _resampled(self, score: Score, cell: Cell, part: Part) -> Resampled | None:
        key = (cell.n_real, cell.arm, score.name, part.name)
        if key not in self._known:
            self._known[key] = self._resample(score, cell, part)
        return self._known[key]

    def _resample(self, score: Score, cell: Cell, part: Part) -> Resampled | None:
        target, groups = self.test.labels[part.keep], np.asarray(self.test.groups)[part.keep]
        if part.n < part.least or (score.classes and len(np.unique(target)) < 2) or len(np.unique(groups)) < 2:
            return None
        return resample_runs(
            lambda preds, weights: score.statistic(preds, target, weights),
            [preds[part.keep] for preds in cell.preds],
            groups,
            strata=group_strata(groups, target),
            resamples=self.config.resamples,
            seed=self.config.seed,
        )
