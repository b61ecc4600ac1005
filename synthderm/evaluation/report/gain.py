"""The section on the training experiment: differences between arms, doses, sizes, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .arms import REPLAYS, Arm, arm_of
from .differences import Difference, differences, has_replay, headline_scores
from .gain_curves import curve_panels, prediction_panels
from .layout import folded, panel, panels, row
from .names import in_order, score_name, short_class_name, tone_name
from .panels import other_panels, picture_panel
from .plots import Series, dot_rows
from .read import Result, mapping
from .tables import count_cell, figure_cell, table, text_cell
from .text import finite, interval_of, number, value_of

QUESTION = "Does it help?"
LEAD = (
    "The same network, trained for the same number of steps with and without synthetic images, scored on the same real "
    "test images. Replay is the control: the same dose, filled with repeated real images."
)
MISSING = "No training experiment was found in the folders."

_KNOWN = ("arms", "differences", "curves", "runs")
_ROWS = 24
_SIDES = {"better": "on the better side", "worse": "on the worse side", "even": "holds zero", "open": "\N{EN DASH}"}


def gain_part(result: Result) -> str:
    """All panels of one training experiment."""
    found = differences(result)
    return panels(
        [
            _replay_panels(result, found),
            _forest_panel(
                "Difference to real images only", result, [one for one in found if one.against.kind == "real"],
                "Not an equal dose: the arm with more images also sees each real image less often.",
            ),
            *curve_panels(result),
            *prediction_panels(result),
            _score_panel(result),
            _group_panel(result, "per_tone", "Scores by skin tone", tone_name),
            _group_panel(result, "per_class", "Scores by class", short_class_name),
            *other_panels(result, _KNOWN),
            picture_panel(result),
            _long_tables(result, found),
        ]
    )  # fmt: skip


def _replay_panels(result: Result, found: Sequence[Difference]) -> str:
    if not has_replay(result):
        text = (
            "No arm repeats real images in the same dose (replay): what follows cannot show that synthetic images help."
        )
        return f'<p class="missing wide">{text}</p>'
    chosen = [one for one in found if one.against.kind in REPLAYS]
    return _forest_panel(
        "Difference to an equal dose of repeated real images (replay)",
        result,
        chosen,
        "Right of zero: better than replay.",
    )


def _forest_panel(title: str, result: Result, found: Sequence[Difference], note: str) -> str:
    """Drawings of the headline scores over all images, and of the first by skin type; one for each training size."""
    scores = headline_scores(result)
    sizes = sorted({one.n_real for one in found}, key=lambda n: finite(n) or 0)
    rows = []
    for score, toned in [*((score, False) for score in scores), *((score, True) for score in scores[:1])]:
        here = [one for one in found if one.score == score and (one.fst is not None) == toned]
        limits = _limits([one.figure for one in here])
        rows.append(row(_forest([one for one in here if one.n_real == n], limits) for n in sizes))
    return panel(title, *rows, note=f"{note} Bars: 95 % interval.", wide=True)


def _limits(figures: Sequence[Any]) -> tuple[float, float] | None:
    """The same axis for all drawings of a score: zero, and every value and interval."""
    ends = [end for figure in figures for end in (value_of(figure), *(interval_of(figure) or ())) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    edge = 0.04 * (high - low)
    return (low - edge, high + edge) if edge else None


def _forest(found: Sequence[Difference], limits: tuple[float, float] | None) -> str:
    found = sorted(found, key=_place)[:_ROWS]
    if not found:
        return ""
    one = found[0]
    names = [_row_name(one) for one in found]
    sized = f"{number(one.n_real)} real images" if finite(one.n_real) is not None else ""
    toned = " by skin type" if one.fst is not None else ""
    return dot_rows(
        names,
        [Series("difference", [one.figure for one in found], one.arm.colour)],
        f"differences in {score_name(one.score)}{toned}, {sized}: {'; '.join(names)}",
        x=f"difference in {score_name(one.score)}",
        title=sized,
        line=0,
        limits=limits,
        looks=[(one.arm.colour, one.arm.marker) for one in found],
    )


def _place(one: Difference) -> tuple[Any, ...]:
    return finite(one.n_real) or 0, str(one.fst or ""), one.arm.rank, one.against.rank


def _row_name(one: Difference) -> str:
    parts = [tone_name(one.fst) if one.fst is not None else "", one.arm.short]
    parts += ["matched" if one.against.kind == REPLAYS[1] else ""]
    return ", ".join(part for part in parts if part)


def _arms(result: Result) -> list[tuple[Any, Arm, Mapping[str, Any]]]:
    """(real images, arm, line of the result), in the order of the page."""
    found = [(line.get("n_real"), arm_of(line), line) for line in result.rows("arms")]
    return sorted(found, key=lambda each: (finite(each[0]) or 0, each[1].rank))


def _by_size(result: Result) -> list[tuple[str, list[tuple[Arm, Mapping[str, Any]]]]]:
    """For each number of real images what to call it, and the arms in the order of the page."""
    arms = _arms(result)
    found = []
    for n_real in dict.fromkeys(n for n, _, _ in arms):
        here = [(arm, line) for n, arm, line in arms if n == n_real]
        seeds = sorted({n for _, line in here if (n := finite(line.get("n_seeds"))) is not None})
        told = [f"{number(n_real)} real images"] if finite(n_real) is not None else []
        told += [f"{' to '.join(f'{n:g}' for n in dict.fromkeys([seeds[0], seeds[-1]]))} seeds"] if seeds else []
        found.append((", ".join(told), here))
    return found


def _score_panel(result: Result) -> str:
    scores = dict.fromkeys(score for _, _, line in _arms(result) for score in mapping(line.get("scores")))
    tables = [
        table(
            title or "All arms",
            ["arm", *map(score_name, scores)],
            [
                [text_cell(arm.name, head=True), *(figure_cell(mapping(line.get("scores")).get(s)) for s in scores)]
                for arm, line in arms
            ],
        )
        for title, arms in _by_size(result)
    ]
    note = "Mean over seeds, 95 % interval, n test images. Less is better for calibration error."
    return panel("Scores of all arms", *tables, note=note if scores else "", wide=True) if scores else ""


def _group_panel(result: Result, key: str, title: str, name: Callable[[Any], str]) -> str:
    """One table for each score and number of real images: arms down, groups across; the first score is unfolded."""
    figures = [mapping(line.get(key)) for _, _, line in _arms(result)]
    groups = in_order(group for one in figures for group in one)
    each = [mapping(scores) for one in figures for scores in one.values()]
    scores = [*dict.fromkeys(score for one in each for score, figure in one.items() if mapping(figure))]
    shown = [_group_tables(result, key, score, groups, name) for score in scores]
    return panel(title, *shown[:1], folded("Other scores", *shown[1:]), wide=True)


def _group_tables(result: Result, key: str, score: str, groups: Sequence[Any], name: Callable[[Any], str]) -> str:
    return "".join(
        table(
            ", ".join([score_name(score), *([title] if title else [])]),
            ["arm", *map(name, groups)],
            [
                [text_cell(arm.name, head=True), *(figure_cell(_cell(line.get(key), group, score)) for group in groups)]
                for arm, line in arms
            ],
        )
        for title, arms in _by_size(result)
    )


def _cell(groups: Any, group: Any, score: str) -> Any:
    return mapping(mapping(groups).get(group)).get(score)


def _long_tables(result: Result, found: Sequence[Difference]) -> str:
    differences_table, runs_table = _difference_table(found), _runs_table(result.rows("runs"))
    return panel(
        "Every difference, every run",
        folded(f"{len(found)} differences", differences_table),
        folded(f"{len(result.rows('runs'))} runs", runs_table),
        wide=True,
    )


def _difference_table(found: Sequence[Difference]) -> str:
    lines = [
        [
            text_cell(one.arm.name, head=True),
            text_cell(one.against.kind_name),
            count_cell(one.n_real),
            text_cell("all images" if one.fst is None else tone_name(one.fst)),
            text_cell(score_name(one.score)),
            figure_cell(one.figure, signed=True),
            text_cell(_SIDES[one.side]),
        ]
        for one in sorted(found, key=lambda one: (one.fst is not None, one.score, *_place(one)))
    ]
    head = ["arm", "less", "real images", "images", "score", "difference", "95 % interval"]
    return table("Differences between arms, paired over test groups and seeds", head, lines)


def _runs_table(runs: Sequence[Mapping[str, Any]]) -> str:
    flat = [{key: value for key, value in run.items() if not isinstance(value, (dict, list))} for run in runs]
    names = list(dict.fromkeys(key for run in flat for key in run))
    lines = [[_run_cell(run.get(key)) for key in names] for run in flat]
    return table("Every training run", [name.replace("_", " ") for name in names], lines)


def _run_cell(value: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return count_cell(value) if is_number else text_cell(value)
