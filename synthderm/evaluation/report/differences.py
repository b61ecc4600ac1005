"""Differences between arms: which there are, what they show, and the answers made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .arms import REPLAYS, Arm, arm_of
from .names import LOWER_IS_BETTER, score_name, tone_name
from .read import Result
from .tables import figure_cell, table, text_cell
from .text import finite, interval_of, number, value_of
from .verdict import Answer

_HEADLINES = ("balanced_accuracy", "macro_auroc", "dice")
_SYNTHETIC = ("real+synthetic", "synthetic")


@dataclass(frozen=True)
class Difference:
    """One arm less another.

    Attributes:
        arm: the arm.
        against: what it is compared with.
        score: name of the score.
        n_real: real images that both were trained on.
        fst: skin type or band of types; None for all images.
        figure: the difference with its interval.
    """

    arm: Arm
    against: Arm
    score: str
    n_real: Any
    fst: Any
    figure: Mapping[str, Any]

    @property
    def side(self) -> str:
        """One of "better", "worse", "even" (the interval holds zero) and "open" (no interval)."""
        ends = interval_of(self.figure)
        if value_of(self.figure) is None or ends is None:
            return "open"
        low, high = (-ends[1], -ends[0]) if self.score in LOWER_IS_BETTER else ends
        return "better" if low > 0 else "worse" if high < 0 else "even"


def differences(result: Result) -> list[Difference]:
    """All differences of a result, those by skin type behind those over all images."""
    found = []
    for row in result.rows("differences"):
        fst = next((row[key] for key in ("fst", "tone", "band") if row.get(key) is not None), None)
        figure = row.get("difference")
        figure = figure if isinstance(figure, Mapping) else {"value": finite(figure)}
        against = arm_of({"arm": row.get("against"), "ratio": row.get("ratio")})
        found.append(Difference(arm_of(row), against, str(row.get("score")), row.get("n_real"), fst, figure))
    return found


def against_replay(found: Sequence[Difference]) -> list[Difference]:
    """Synthetic doses less an equal dose of repeated real images."""
    return [one for one in found if one.against.kind in REPLAYS and one.arm.kind in _SYNTHETIC]


def has_replay(result: Result) -> bool:
    """Whether there is anything to say about a gain: some synthetic dose was compared with replay."""
    return bool(against_replay(differences(result)))


def headline_scores(result: Result) -> list[str]:
    """The judged score and after it the other scores that are drawn, as far as the result has them."""
    judged = result.part("context", "options", "score")
    known = {one.score for one in differences(result)}
    known |= {score for arm in result.rows("arms") for score in arm.get("scores") or ()}
    return [score for score in dict.fromkeys([judged, *_HEADLINES]) if score in known]


def gain_answers(results: Sequence[Result], missing: str) -> list[Answer]:
    """Whether synthetic images help, and whom."""
    if not results:
        return [Answer("Do they help a classifier?", "Not measured", "open", [missing], "helps")]
    return [
        replace(answer, question=f"{answer.question} {result.name if len(results) > 1 else ''}".strip())
        for result in results
        for answer in (_overall(result), _by_tone(result))
    ]


def _overall(result: Result) -> Answer:
    network = "segmenter" if result.part("context", "options", "task") == "segmentation" else "classifier"
    question = f"Do they help a {network}?"
    judged, score = _judged(result, [one for one in against_replay(differences(result)) if one.fst is None])
    doses = [one for one in judged if one.arm.kind == "real+synthetic"]
    if not doses:
        why = "No arm repeats real images in the same dose (replay), so more data cannot be told from synthetic data."
        return Answer(question, "Cannot be said", "open", [why], "helps")
    word, mark = _count_word([one.side for one in doses], "comparisons")
    lines = [
        f"Difference in {score_name(score)} to an equal dose of repeated real images (replay), with its 95 % interval."
    ]
    return Answer(question, word, mark, lines + _caution(doses), "helps", _grid(judged, _size_name, "real images"))


def _by_tone(result: Result) -> Answer:
    question = "For whom, by skin tone?"
    judged, score = _judged(result, [one for one in against_replay(differences(result)) if one.fst is not None])
    doses = [one for one in judged if one.arm.kind == "real+synthetic"]
    if not doses:
        return Answer(question, "Not measured", "open", [], "helps")
    known = [one.side for one in doses if one.side != "open"]
    word, mark = _count_word(known, "comparisons")
    lines = [f"Difference in {score_name(score)} to replay, by skin type of the test images, with its 95 % interval."]
    return Answer(question, word, mark, lines + _caution(doses), "helps", _grid(judged, _tone_size_name, "skin type"))


def _judged(result: Result, found: Sequence[Difference]) -> tuple[list[Difference], str]:
    """The differences in the first headline score that there are any of."""
    known = {one.score for one in found}
    score = next((name for name in headline_scores(result) if name in known), next(iter(sorted(known)), ""))
    return [one for one in found if one.score == score], score


def _caution(doses: Sequence[Difference]) -> list[str]:
    return [f"{len(doses)} comparisons; the intervals are not corrected for their number."] if len(doses) > 1 else []


def _size_name(one: Difference) -> str:
    return number(one.n_real)


def _tone_size_name(one: Difference) -> str:
    sized = f", {number(one.n_real)} real images" if finite(one.n_real) is not None else ""
    return f"{tone_name(one.fst)}{sized}"


def _grid(judged: Sequence[Difference], name: Callable[[Difference], str], head: str) -> str:
    """A table: real images or skin types down, arms across."""
    columns = list(dict.fromkeys((one.arm, one.against.kind) for one in sorted(judged, key=lambda one: one.arm.rank)))
    cells = {(name(one), one.arm, one.against.kind): one.figure for one in judged}
    lines = [
        [text_cell(row, head=True), *(figure_cell(cells.get((row, *column)), signed=True) for column in columns)]
        for row in dict.fromkeys(map(name, judged))
    ]
    matched = {kind: " (same class counts)" if kind == REPLAYS[1] else "" for _, kind in columns}
    return table("", [head, *(f"{arm.short}{matched[kind]}" for arm, kind in columns)], lines)


def _count_word(sides: Sequence[str], what: str) -> tuple[str, str]:
    """The answer of several differences, and its mark."""
    better, worse, known = sides.count("better"), sides.count("worse"), len(sides) - sides.count("open")
    if not known:
        return "Cannot be said: too few images, or no interval", "open"
    if better and worse:
        return f"Mixed: better in {better}, worse in {worse} of {known} {what}", "open"
    if better:
        return ("Yes" if better == known else f"Yes, in {better} of {known} {what}"), "good"
    if worse:
        return ("No, they harm" if worse == known else f"No; they harm in {worse} of {known} {what}"), "bad"
    return "No gain over replay is shown", "even"
