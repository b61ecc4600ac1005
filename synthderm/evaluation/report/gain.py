"""The section on the training experiment: differences between arms, doses, sizes, scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arms import REPLAYS
from .differences import Difference, differences, has_replay, headline_scores, level_text, place
from .gain_answers import sized
from .gain_curves import curve_panels, prediction_panels, typical_arms
from .gain_tables import group_panel, long_tables, score_panel, test_panel, tone_class_panel
from .layout import panel, panels, row, rows
from .names import LOWER_IS_BETTER, score_name, short_class_name, tone_name
from .panels import other_panels, picture_panel
from .plots import Series, dot_rows
from .read import Result
from .text import finite, interval_of, value_of

QUESTION = "Does it help?"
LEAD = (
    "The same network, trained for the same number of steps with and without synthetic images, scored on the same real "
    "test images. Replay is the control: the same dose, filled with repeated real images."
)
MISSING = "No training experiment was found in the folders."

_KNOWN = ("arms", "differences", "curves", "runs", "test", "judged", "comparisons")
_NO_REPLAY = (
    "No arm repeats real images in the same dose (replay): what follows cannot show that synthetic images help."
)


def gain_part(result: Result) -> str:
    """All panels of one training experiment."""
    found = differences(result)
    others = {
        "real": (
            "Difference to real images only",
            "Not an equal dose: added images take steps from real ones.",
        ),
        "real+heavy-aug": ("Difference to stronger augmentation of real images", "Not an equal dose."),
    }
    forests = [
        _forest_panel(title, result, [one for one in found if one.against.kind == kind], note)
        for kind, (title, note) in others.items()
    ]
    return panels(
        [
            _replay_panel(result, found),
            *forests,
            *curve_panels(result),
            *prediction_panels(result),
            score_panel(result),
            group_panel(result, "per_tone", "Scores by skin type", tone_name),
            group_panel(result, "per_class", "Scores by class", short_class_name),
            tone_class_panel(result),
            test_panel(result.figures("test")),
            *other_panels(result, _KNOWN),
            picture_panel(result),
            long_tables(result, found),
        ]
    )


def _replay_panel(result: Result, found: Sequence[Difference]) -> str:
    if not has_replay(result):
        return f'<p class="missing wide">{_NO_REPLAY}</p>'
    title = "Difference to an equal dose of repeated real images (replay)"
    chosen = [one for one in found if one.against.kind in REPLAYS]
    return _forest_panel(title, result, chosen, "Right of zero: more than replay.")


def _forest_panel(title: str, result: Result, found: Sequence[Difference], note: str) -> str:
    """Drawings of the headline scores over all images, and of the first by skin type; one for each training size."""
    scores = headline_scores(result)
    whole = [_forests([one for one in found if one.score == score and one.fst is None]) for score in scores]
    typical = typical_arms(one.arm for one in found)
    toned = [one for one in found if one.score in scores[:1] and one.fst is not None and one.arm in typical]
    dose = next((f" of {arm.ratio:g}:1" for arm in typical if arm.ratio), "")
    told = f"<h4>By skin type, at the dose{dose}</h4>{row(_forests(toned))}" if toned else ""
    return panel(title, *rows(whole), told, note=f"{note} Bars: {level_text(result)} interval.", wide=True)


def _forests(found: Sequence[Difference]) -> list[str]:
    """One drawing for each number of real images, on the same axis."""
    sizes = sorted({one.n_real for one in found}, key=lambda n: finite(n) or 0)
    limits = _limits([one.figure for one in found])
    return [_forest([one for one in found if one.n_real == n], limits) for n in sizes]


def _limits(figures: Sequence[Any]) -> tuple[float, float] | None:
    """Zero, and every value and interval."""
    ends = [end for figure in figures for end in (value_of(figure), *(interval_of(figure) or ())) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    edge = 0.04 * (high - low)
    return (low - edge, high + edge) if edge else None


def _forest(found: Sequence[Difference], limits: tuple[float, float] | None) -> str:
    found = sorted(found, key=place)
    one = found[0]
    names = [_row_name(one) for one in found]
    return dot_rows(
        names,
        [Series("difference", [one.figure for one in found], one.arm.colour)],
        f"differences in {score_name(one.score)} {sized(one.n_real)}: {'; '.join(names)}",
        x=f"difference in {score_name(one.score)}{' (less is better)' if one.score in LOWER_IS_BETTER else ''}",
        title=sized(one.n_real),
        line=0,
        limits=limits,
        looks=[(one.arm.colour, one.arm.marker) for one in found],
    )


def _row_name(one: Difference) -> str:
    parts = [tone_name(one.fst) if one.fst is not None else "", one.arm.short]
    parts += ["matched" if one.against.kind == REPLAYS[1] else ""]
    return ", ".join(part for part in parts if part)
