"""All figures of an experiment, from the predictions of its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..result import LEAST_GROUP, figure
from .arms import SYNTHETIC_ONLY
from .cells import Cell, Part, Scorer, sort_runs, whole
from .comparisons import compare_arms, judge
from .curves import dose_curves, size_curves
from .experiment import Experiment
from .runs import Finished
from .scores import DICE, class_scores, compared_scores, overall_scores, spread_scores, tone_parts


def summarise(experiment: Experiment, finished: Sequence[Finished]) -> dict[str, Any]:
    """The figures of ``gain.json``.

    Returns:
        - ``arms``: for each number of real images and arm the ``scores``, ``per_class``, ``per_tone`` and
          ``per_tone_class``, each a figure with value, interval and n.
        - ``differences``: arm less another, by score and (with ``fst``) skin type, each with its verdict.
        - ``judged``: for each synthetic dose the verdict over all equal-dose controls, for the score named beforehand.
        - ``comparisons``: how many differences there are, for a reader who corrects for their number.
        - ``curves``: ``dose`` (over the ratio, with the saturation point) and ``size`` (over the real images).
        - ``test``: counts of the test images by class and skin type.
        - ``runs``: every run with its seconds and validation score.
    """
    config, test = experiment.config, experiment.test
    scorer = Scorer(test, config)
    cells = sort_runs(experiment, finished)
    differences = compare_arms(scorer, cells)
    drawn = compared_scores(config)[:2]
    return {
        "arms": [_arm(scorer, cell) for cell in cells],
        "differences": differences,
        "judged": judge(differences, config.score),
        "comparisons": len(differences),
        "curves": {"dose": dose_curves(scorer, cells, drawn), "size": size_curves(scorer, cells, drawn)},
        "test": {
            "classes": {name: int((test.labels == i).sum()) for i, name in enumerate(test.classes)},
            "fst": dict(sorted(Counter(str(tone) for tone in test.fst).items())),
        },
        "runs": [{**done.record, "file": f"runs/{done.record['name']}.npz"} for done in finished],
    }


def _arm(scorer: Scorer, cell: Cell) -> dict[str, Any]:
    everything, tones = whole(scorer.test), tone_parts(scorer.test)
    return {
        "n_real": cell.n_real,
        "arm": cell.arm.name,
        "kind": cell.arm.kind,
        "ratio": cell.arm.ratio,
        "n_seeds": len(cell.preds),
        "n_train": _one_or_range(_real_images(cell, record) for record in cell.records),
        "n_added": _one_or_range(record["n_pool"] - _real_images(cell, record) for record in cell.records),
        "scores": _overall(scorer, cell, everything) | _over_tones(scorer, cell, tones),
        "per_class": _per_class(scorer, cell, everything),
        "per_tone": {tone: _overall(scorer, cell, part) for tone, part in tones.items()},
        "per_tone_class": {tone: _per_class(scorer, cell, part) for tone, part in tones.items()},
    }


def _real_images(cell: Cell, record: dict[str, Any]) -> int:
    """Real images that the arm draws beside its dose."""
    return 0 if cell.arm.kind == SYNTHETIC_ONLY else record["n_train"]


def _one_or_range(numbers: Iterable[int]) -> int | str:
    """A count that may differ between repetitions by a few images."""
    found = sorted(set(numbers))
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _overall(scorer: Scorer, cell: Cell, part: Part) -> dict[str, Any]:
    return {score.name: scorer.score(score, cell, part) for score in overall_scores(scorer.config)}


def _over_tones(scorer: Scorer, cell: Cell, tones: dict[str, Part]) -> dict[str, Any]:
    """Range and worst value over the skin types with enough images; at least two are needed."""
    large = [part.keep for part in tones.values() if part.n >= LEAST_GROUP]
    known = np.logical_or.reduce([np.zeros(len(scorer.test.labels), bool), *large])
    scores = spread_scores(scorer.config, [band[known] for band in large])
    part = Part("types with enough images", known)
    return {
        score.name: scorer.score(score, cell, part) if len(large) > 1 else figure(None, n=part.n) for score in scores
    }


def _per_class(scorer: Scorer, cell: Cell, part: Part) -> dict[str, Any]:
    """Scores of each class that the images hold; n is the number of its images.

    Within a skin type a class needs 30 images; over all types a rarer one has its figures, with their intervals.
    """
    found = {}
    for label, name in enumerate(scorer.test.classes):
        mine = Part(f"{part.name}, class {label}", part.keep & (scorer.test.labels == label), part.least)
        if not mine.n:
            continue
        if scorer.config.task == "segmentation":
            found[name] = {"dice": scorer.score(DICE, cell, mine)}
        elif mine.n < mine.least:
            found[name] = {key: figure(None, n=mine.n) for key in class_scores(label)}
        else:
            found[name] = {
                key: {**scorer.score(score, cell, part), "n": mine.n} for key, score in class_scores(label).items()
            }
    return found
