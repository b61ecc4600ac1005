"""Differences between arms: which there are, and what each shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .arms import REPLAYS, Arm, arm_of
from .names import LOWER_IS_BETTER
from .read import Result, mapping
from .text import finite, interval_of, value_of

_HEADLINES = ("balanced_accuracy", "macro_auroc", "dice")
_SYNTHETIC = ("real+synthetic", "synthetic")


@dataclass(frozen=True)
class Difference:
    """One arm less another.

    Attributes:
        arm: the arm.
        against: what it is compared with.
        score: name of the score.
        n_real: real images that both may see.
        fst: skin type; None for all images.
        figure: the difference with its interval.
        verdict: what the result file says of it; "" where it says nothing.
    """

    arm: Arm
    against: Arm
    score: str
    n_real: Any
    fst: Any
    figure: Mapping[str, Any]
    verdict: str = ""

    @property
    def side(self) -> str:
        """One of "better", "worse", "even" (the interval holds zero) and "open" (no interval)."""
        ends = interval_of(self.figure)
        if value_of(self.figure) is None or ends is None:
            return "open"
        low, high = (-ends[1], -ends[0]) if self.score in LOWER_IS_BETTER else ends
        return "better" if low > 0 else "worse" if high < 0 else "even"

    @property
    def cell(self) -> tuple[Any, ...]:
        """What is compared, whatever it is compared with."""
        return self.n_real, self.arm, self.fst


def differences(result: Result) -> list[Difference]:
    """All differences of a result."""
    found = []
    for row in result.rows("differences"):
        told = row.get("difference")
        found.append(
            Difference(
                arm_of(row),
                arm_of({"arm": row.get("against"), "ratio": row.get("ratio")}),
                str(row.get("score")),
                row.get("n_real"),
                row.get("fst"),
                told if isinstance(told, Mapping) else {"value": finite(told)},
                str(row.get("verdict") or ""),
            )
        )
    return found


def against_replay(found: Sequence[Difference]) -> list[Difference]:
    """Synthetic doses less an equal dose of repeated real images."""
    return [one for one in found if one.against.kind in REPLAYS and one.arm.kind in _SYNTHETIC]


def has_replay(result: Result) -> bool:
    """Whether some synthetic dose was compared with replay; without that nothing is called a gain."""
    return bool(against_replay(differences(result)))


def place(one: Difference) -> tuple[Any, ...]:
    """Sorts differences: by real images, skin type, arm, control."""
    return finite(one.n_real) or 0, str(one.fst or ""), one.arm.rank, one.against.rank


def joint_side(found: Sequence[Difference]) -> str:
    """What an arm shows against all its controls together: it is better only if it is better than each."""
    sides = [one.side for one in found]
    return next((side for side in ("open", "worse", "even") if side in sides), "better")


def headline_scores(result: Result) -> list[str]:
    """The score that was named beforehand and after it the others that are drawn, as far as the result has them."""
    named = result.part("context", "options", "score")
    known = {one.score for one in differences(result)}
    known |= {score for arm in result.rows("arms") for score in mapping(arm.get("scores"))}
    return [score for score in dict.fromkeys([named, *_HEADLINES]) if score in known]


def level_text(result: Result) -> str:
    """The level of the intervals of an experiment: "95 %"."""
    level = finite(result.part("context", "options", "level"))
    return f"{100 * (0.95 if level is None else level):g} %"
