"""Differences between arms, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .arms import HEAVY, MATCHED, REAL, REPLAY, SYNTHETIC, SYNTHETIC_ONLY, Arm
from .cells import Cell, Scorer, whole
from .scores import LOWER_IS_BETTER, compared_scores, tone_parts

GAIN = "gain"
LOSS = "loss"
NONE_SHOWN = "no difference shown"
NOT_OVER_ALL = "higher, but not over every equal-dose control"
NO_CONTROL = "not judged: no equal-dose control"
HIGHER, LOWER = "better, not an equal-dose control", "worse"
INSUFFICIENT = "insufficient"

CONTROLS = (REPLAY, MATCHED)


def compare_arms(scorer: Scorer, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every difference: synthetic doses less the controls of their ratio, every arm less ``real``.

    Differences by skin type are those of the score that is judged, to the controls.

    Args:
        scorer: makes the figures.
        cells: the arms.

    Returns:
        Rows with n_real, arm, against, ratio, score, fst (None: all images), difference and verdict.
    """
    rows = []
    for cell in cells:
        others = _others(cell, cells)
        controls = [other for other in others if other.arm.kind in CONTROLS]
        for score in compared_scores(scorer.config):
            parts = [(None, whole(scorer.test), others)]
            if score.name == scorer.config.score:
                parts += [(int(tone), part, controls) for tone, part in tone_parts(scorer.test).items()]
            for fst, part, against in parts:
                found = {other.arm: scorer.difference(score, cell, other, part) for other in against}
                rows += [_row(cell, arm, score.name, fst, found) for arm in found]
    return rows


def _others(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """What an arm is compared with."""
    here = {other.arm: other for other in cells if other.n_real == cell.n_real}
    wanted = [Arm(REAL)]
    if cell.arm.uses_synthetic:
        wanted = [Arm(REPLAY, cell.arm.ratio), Arm(MATCHED, cell.arm.ratio), Arm(REAL), Arm(HEAVY)]
    return [here[arm] for arm in wanted if arm in here and arm != cell.arm]


def _row(cell: Cell, against: Arm, score: str, fst: int | None, found: Mapping[Arm, dict[str, Any]]) -> dict[str, Any]:
    return {
        "n_real": cell.n_real,
        "arm": cell.arm.name,
        "kind": cell.arm.kind,
        "against": against.name,
        "ratio": cell.arm.ratio,
        "score": score,
        "fst": fst,
        "difference": found[against],
        "verdict": verdict(cell.arm, against, found, score in LOWER_IS_BETTER),
    }


def verdict(arm: Arm, against: Arm, found: Mapping[Arm, dict[str, Any]], lower_is_better: bool = False) -> str:
    """What a difference shows.

    Args:
        arm: the arm that is judged.
        against: what it is compared with.
        found: all its differences, by what it is compared with.
        lower_is_better: of the score.

    Returns:
        :data:`GAIN` only for a synthetic dose whose difference to every equal-dose control lies above 0.
    """
    controls = [side(each, lower_is_better) for other, each in found.items() if other.kind in CONTROLS]
    here = side(found[against], lower_is_better)
    if arm.uses_synthetic and not controls:
        return NO_CONTROL
    if here is None:
        return INSUFFICIENT
    if here == 0:
        return NONE_SHOWN
    if against.kind not in CONTROLS:
        return HIGHER if here > 0 else LOWER
    if here < 0:
        return LOSS
    return GAIN if all(each == 1 for each in controls) else NOT_OVER_ALL


def side(difference: Mapping[str, Any], lower_is_better: bool = False) -> int | None:
    """1 if the interval lies on the better side of 0, -1 on the worse, 0 if it holds 0; None without one."""
    if difference["interval"] is None:
        return None
    low, high = difference["interval"]
    if lower_is_better:
        low, high = -high, -low
    return int(low > 0) - int(high < 0)


def judge(rows: Sequence[Mapping[str, Any]], score: str) -> list[dict[str, Any]]:
    """One verdict for each synthetic dose, over all its controls, by the score that was named beforehand."""
    chosen = [row for row in rows if row["score"] == score and row["fst"] is None]
    arms = dict.fromkeys((row["n_real"], row["arm"]) for row in chosen if row["kind"] in (SYNTHETIC, SYNTHETIC_ONLY))
    found = []
    for n_real, arm in arms:
        mine = [row for row in chosen if (row["n_real"], row["arm"]) == (n_real, arm)]
        controls = [row for row in mine if row["against"].partition("@")[0] in CONTROLS]
        found.append(
            {
                "n_real": n_real,
                "arm": arm,
                "ratio": mine[0]["ratio"],
                "score": score,
                "against": [row["against"] for row in controls],
                "verdict": _together([row["verdict"] for row in controls]),
            }
        )
    return found


def _together(verdicts: Sequence[str]) -> str:
    for word in (INSUFFICIENT, LOSS, NONE_SHOWN, NOT_OVER_ALL, GAIN):
        if word in verdicts:
            return word
    return NO_CONTROL
