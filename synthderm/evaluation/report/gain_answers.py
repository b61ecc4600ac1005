"""What the training experiments say in short: whether synthetic images help, and whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .arms import REPLAYS
from .differences import (
    Difference,
    against_replay,
    differences,
    headline_scores,
    joint_side,
    level_text,
)
from .names import in_order, score_name, tone_name
from .read import Result
from .tables import count_cell, figure_cell, table, text_cell
from .text import count_of, finite, number
from .verdict import Answer

_COUNTED = {"better": "better", "even": "no difference shown", "worse": "worse", "open": "insufficient"}


def gain_answers(results: Sequence[Result], missing: str) -> list[Answer]:
    """Two answers for each experiment; ``missing`` is said where there is none."""
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
    sides = _sides(judged)
    if not sides:
        why = "No arm repeats real images in the same dose (replay), so more data cannot be told from synthetic data."
        return Answer(question, "Cannot be said", "open", [why], "helps")
    word, mark = _count_word(sides)
    lines = [
        f"Difference in {score_name(score)} to an equal dose of repeated real images (replay), with its "
        f"{level_text(result)} interval; by the number of real images.",
        *_caution(sides),
    ]
    return Answer(question, word, mark, lines, "helps", _grid(judged, _size_name, "real images"))


def _by_tone(result: Result) -> Answer:
    question = "For whom, by skin type?"
    judged, score = _judged(result, [one for one in against_replay(differences(result)) if one.fst is not None])
    sides = _sides(judged)
    if not sides:
        return Answer(question, "Not measured", "open", [], "helps")
    word, mark = _count_word(sides)
    several = len({one.n_real for one in judged}) > 1
    what = "How often the interval of the difference lies on one side of zero" if several else "Difference"
    lines = [
        f"{what}, {score_name(score)} less that of replay, by skin type of the test images; {level_text(result)} "
        "intervals.",
        *_caution(sides),
    ]
    shown = _counts(judged) if several else _grid(judged, lambda one: tone_name(one.fst), "skin type")
    return Answer(question, word, mark, lines, "helps", shown)


def _judged(result: Result, found: Sequence[Difference]) -> tuple[list[Difference], str]:
    """The differences in the score that was named beforehand; in another one only where that one has none."""
    known = {one.score for one in found}
    score = next((name for name in headline_scores(result) if name in known), next(iter(sorted(known)), ""))
    return [one for one in found if one.score == score], score


def _sides(judged: Sequence[Difference]) -> list[str]:
    """What every dose beside real images shows against all its controls."""
    cells: dict[tuple[Any, ...], list[Difference]] = {}
    for one in judged:
        if one.arm.kind == "real+synthetic":
            cells.setdefault(one.cell, []).append(one)
    return [joint_side(found) for found in cells.values()]


def _count_word(sides: Sequence[str]) -> tuple[str, str]:
    """The answer of several comparisons, and its mark."""
    better, worse, known = sides.count("better"), sides.count("worse"), len(sides) - sides.count("open")
    if not known:
        return "Cannot be said: too few images, or no interval", "open"
    if better and worse:
        return f"Mixed: better in {better}, worse in {worse} of {known} comparisons", "open"
    if better:
        return ("Yes", "good") if better == known else (f"Only in {better} of {known} comparisons", "told")
    if worse:
        return ("No, they harm" if worse == known else f"No; they harm in {worse} of {known} comparisons"), "bad"
    return "No gain over replay is shown", "even"


def _caution(sides: Sequence[str]) -> list[str]:
    few = f", {sides.count('open')} of them with too few images" if "open" in sides else ""
    return [f"{len(sides)} comparisons{few}; intervals are not corrected for their number."] if len(sides) > 1 else []


def _size_name(one: Difference) -> str:
    return number(one.n_real)


def _grid(judged: Sequence[Difference], name: Callable[[Difference], str], head: str) -> str:
    """A table: real images or skin types down, arms across."""
    columns = list(dict.fromkeys((one.arm, one.against.kind) for one in sorted(judged, key=lambda one: one.arm.rank)))
    cells = {(name(one), one.arm, one.against.kind): one.figure for one in judged}
    lines = [
        [text_cell(row, head=True), *(figure_cell(cells.get((row, *column)), signed=True) for column in columns)]
        for row in dict.fromkeys(map(name, judged))
    ]
    matched = {kind: " (same class counts)" if kind == REPLAYS[1] else "" for _, kind in columns}
    return table(
        "", [head, *(f"{arm.short}{matched[kind]}" for arm, kind in columns)], lines, label=f"differences by {head}"
    )


def _counts(judged: Sequence[Difference]) -> str:
    """A table: skin types down, how many doses and sizes show what across."""
    lines = []
    for fst in in_order(one.fst for one in judged):
        here = [one for one in judged if one.fst == fst]
        sides = _sides(here)
        n = {count_of(one.figure) for one in here} - {None}
        lines.append(
            [
                text_cell(tone_name(fst), head=True),
                *(count_cell(sides.count(side)) for side in _COUNTED),
                text_cell(" to ".join(number(k) for k in sorted({min(n), max(n)}))) if n else text_cell(None),
            ]
        )
    return table("", ["skin type", *_COUNTED.values(), "n test images"], lines, label="differences by skin type")


def sized(n_real: Any) -> str:
    """The number of real images in words; "" where it is not known."""
    return f"{number(n_real)} real images" if finite(n_real) is not None else ""
