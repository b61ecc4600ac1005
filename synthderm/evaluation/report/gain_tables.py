"""Tables of the training experiment: scores of all arms over all images and by group, differences, runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .arms import Arm, arm_of
from .differences import Difference, level_text, place
from .gain_answers import sized
from .layout import folded, panel
from .names import class_name, in_order, score_name, short_class_name, tone_name
from .read import Result, mapping
from .tables import count_cell, facts, figure_cell, table, text_cell
from .text import finite, plain

_SIDES = {"better": "better side", "worse": "worse side", "even": "holds zero"}


def _by_size(result: Result) -> list[tuple[str, list[tuple[Arm, Mapping[str, Any]]]]]:
    """For each number of real images what to call it, and the arms in the order of the page."""
    arms = [(line.get("n_real"), arm_of(line), line) for line in result.rows("arms")]
    arms.sort(key=lambda each: (finite(each[0]) or 0, each[1].rank))
    found = []
    for n_real in dict.fromkeys(n for n, _, _ in arms):
        here = [(arm, line) for n, arm, line in arms if n == n_real]
        seeds = sorted({n for _, line in here if (n := finite(line.get("n_seeds"))) is not None})
        told = [sized(n_real)] if sized(n_real) else []
        told += [f"{' to '.join(f'{n:g}' for n in dict.fromkeys([seeds[0], seeds[-1]]))} seeds"] if seeds else []
        found.append((", ".join(told), here))
    return found


def score_panel(result: Result) -> str:
    """Every score over all test images, with what each arm was trained on."""
    lines = result.rows("arms")
    scores = dict.fromkeys(score for line in lines for score in mapping(line.get("scores")))
    counts = {
        key: name
        for key, name in {"n_train": "real, for training", "n_added": "added", "n_pool": "with the dose"}.items()
        if any(key in line for line in lines)
    }
    tables = [
        table(
            title or "All arms",
            ["arm", *counts.values(), *map(score_name, scores)],
            [
                [
                    text_cell(arm.name, head=True),
                    *(count_cell(line.get(key)) for key in counts),
                    *(figure_cell(mapping(line.get("scores")).get(score)) for score in scores),
                ]
                for arm, line in arms
            ],
        )
        for title, arms in _by_size(result)
    ]
    note = f"Mean over seeds, {level_text(result)} interval, n test images. Less is better for errors and ranges."
    return panel("Scores of all arms", *tables, note=note, wide=True) if scores else ""


def group_panel(result: Result, key: str, title: str, name: Callable[[Any], str]) -> str:
    """One table for each score and number of real images: arms down, groups across; the first score is unfolded."""
    figures = [mapping(line.get(key)) for line in result.rows("arms")]
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


def tone_class_panel(result: Result) -> str:
    """Scores of each class within each skin type: arms x types down, classes across, all folded."""
    tones = [mapping(line.get("per_tone_class")) for line in result.rows("arms")]
    each = [mapping(classes) for one in tones for classes in one.values()]
    classes = in_order(name for one in each for name in one)
    scores = dict.fromkeys(score for one in each for figures in one.values() for score in mapping(figures))
    tables = [
        table(
            ", ".join([score_name(score), *([title] if title else [])]),
            ["arm", "skin type", *map(short_class_name, classes)],
            [
                [
                    text_cell(arm.name, head=True),
                    text_cell(tone_name(tone)),
                    *(figure_cell(_cell(figures, name, score)) for name in classes),
                ]
                for arm, line in arms
                for tone, figures in mapping(line.get("per_tone_class")).items()
            ],
        )
        for score in scores
        for title, arms in _by_size(result)
    ]
    return panel("Scores by skin type and class", folded("All scores", *tables), wide=True)


def test_panel(test: Mapping[str, Any]) -> str:
    """What the test images are."""
    known = {"classes": class_name, "fst": tone_name}
    shown = [
        facts({name(key): count for key in in_order(mapping(test.get(part))) for count in [test[part][key]]})
        for part, name in known.items()
    ]
    return panel("Test images by class and skin type", *shown, wide=True)


def long_tables(result: Result, found: Sequence[Difference]) -> str:
    """Every difference and every run, folded."""
    runs = result.rows("runs")
    return panel(
        "Every difference, every run",
        folded(f"{len(found)} differences", _difference_table(found)),
        folded(f"{len(runs)} runs", _runs_table(runs)),
        note="The intervals of the differences are not corrected for their number." if found else "",
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
            text_cell(one.verdict or _SIDES.get(one.side)),
        ]
        for one in sorted(found, key=lambda one: (one.fst is not None, one.score, *place(one)))
    ]
    head = ["arm", "less", "real images", "images", "score", "difference", "verdict"]
    return table("Differences between arms, paired over test groups and seeds", head, lines)


def _runs_table(runs: Sequence[Mapping[str, Any]]) -> str:
    flat = [{key: value for key, value in run.items() if not isinstance(value, (dict, list))} for run in runs]
    names = list(dict.fromkeys(key for run in flat for key in run))
    lines = [[_run_cell(run.get(key)) for key in names] for run in flat]
    return table("Every training run", [plain(name).replace("_", " ") for name in names], lines)


def _run_cell(value: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return count_cell(value) if is_number else text_cell(value)
