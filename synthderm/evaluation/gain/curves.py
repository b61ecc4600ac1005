"""Scores over the dose and over the number of real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arms import REAL, SYNTHETIC
from .cells import Cell, Score, Scorer, whole
from .comparisons import side


def dose_curves(scorer: Scorer, cells: Sequence[Cell], scores: Sequence[Score]) -> list[dict[str, Any]]:
    """For each number of real images and score: points over the ratio, and where they level off.

    ``start`` is the arm ``real``, the curve at ratio 0; None without it. ``saturation`` is the smallest ratio whose
    difference to the ``best`` ratio has an interval that holds 0; None where there are fewer than two ratios.
    """
    found, part = [], whole(scorer.test)
    for n_real in sorted({cell.n_real for cell in cells}):
        here = [cell for cell in cells if cell.n_real == n_real]
        doses = [cell for cell in here if cell.arm.kind == SYNTHETIC]
        real = next((cell for cell in here if cell.arm.kind == REAL), None)
        for score in scores if doses else ():
            start = None if real is None else scorer.score(score, real, part)
            points = [{"ratio": cell.arm.ratio, **scorer.score(score, cell, part)} for cell in doses]
            curve = {"n_real": n_real, "score": score.name, "start": start, "points": points}
            found.append(curve | _saturation(scorer, doses, score))
    return found


def _saturation(scorer: Scorer, doses: Sequence[Cell], score: Score) -> dict[str, float | None]:
    if len(doses) < 2:
        return {"best": None, "saturation": None}
    part = whole(scorer.test)
    values = [scorer.score(score, cell, part)["value"] for cell in doses]
    best = doses[max(range(len(doses)), key=lambda i: values[i])]
    for cell in sorted(doses, key=lambda cell: cell.arm.ratio):
        if cell is best or side(scorer.difference(score, cell, best, part)) == 0:
            return {"best": best.arm.ratio, "saturation": cell.arm.ratio}
    raise AssertionError("the best dose is among the doses")


def size_curves(scorer: Scorer, cells: Sequence[Cell], scores: Sequence[Score]) -> list[dict[str, Any]]:
    """For each arm and score: points over the number of real images; empty where there is one number only."""
    if len({cell.n_real for cell in cells}) < 2:
        return []
    found, part = [], whole(scorer.test)
    for arm in dict.fromkeys(cell.arm for cell in cells):
        mine = [cell for cell in cells if cell.arm == arm]
        for score in scores:
            points = [{"n_real": cell.n_real, **scorer.score(score, cell, part)} for cell in mine]
            found.append({"arm": arm.name, "kind": arm.kind, "ratio": arm.ratio, "score": score.name, "points": points})
    return found
