"""The section on realism and diversity: distances beside their floors, classes, tones, masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .asked_for import confusion_panel, fidelity_panel, mask_panel, tone_panel
from .drawing import MIXED, REAL
from .layout import folded, panel, panels, row
from .names import (
    scope_name,
)
from .panels import other_panels, picture_panel
from .plots import Series, dot_rows
from .read import Result
from .tables import count_cell, figure_cell, table, text_cell
from .text import number, plain, spoken, value_of
from .verdict import Answer

QUESTION = "Does it look real, is it diverse?"
LEAD = (
    "Distances between synthetic and real images in the feature space of one network. The floor is the same distance "
    "between two sets of real images of the same size: no synthetic set can be expected below it."
)
MISSING = "No quality result (quality.json) was found in the folders."

_DISTANCES = {"fid": "FID", "fid_infinity": "FID, infinite n", "kid": "KID"}
_SHARES = {"precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage"}
_MEANINGS = {
    "precision": "precision: share of synthetic images that lie among real ones",
    "recall": "recall: share of real images that lie among synthetic ones",
    "density": "density: how densely real images surround a synthetic one",
    "coverage": "coverage: share of real images with a synthetic one close by",
}


def quality_part(result: Result) -> str:
    """All panels of one quality result."""
    distances = result.rows("distances")
    return panels(
        [
            _distance_panel(distances),
            _share_panel(distances),
            _distance_tables(distances),
            fidelity_panel(result.figures("class_fidelity")),
            tone_panel(result.figures("tone")),
            confusion_panel(result.figures("class_fidelity")),
            mask_panel(result.figures("masks")),
            *other_panels(result, ("distances", "class_fidelity", "tone", "masks")),
            picture_panel(result),
        ]
    )


def _is_cell(line: Mapping[str, Any]) -> bool:
    """Whether a line is about the images of one class and one skin type."""
    return line.get("diagnosis") is not None and line.get("fst") is not None


def _drawn(distances: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines to draw: the set, its classes and its types, as far as anything was measured."""
    keys = [*_DISTANCES, *_SHARES]
    return [
        line for line in distances if not _is_cell(line) and any(value_of(line.get(key)) is not None for key in keys)
    ]


def _not_drawn(distances: Sequence[Mapping[str, Any]]) -> str:
    """Names of the classes and types that are not drawn, as a sentence."""
    drawn = _drawn(distances)
    names = [scope_name(line, short=True) for line in distances if not _is_cell(line) and line not in drawn]
    return f" Insufficient: {', '.join(names)}." if names else ""


def _distance_panel(distances: Sequence[Mapping[str, Any]]) -> str:
    drawn = _drawn(distances)
    names = [scope_name(line, short=True) for line in drawn]
    parts = []
    for key, title in _DISTANCES.items():
        series = [
            Series("synthetic to real", [line.get(key) for line in drawn], MIXED, "o"),
            Series("floor: real to real", [line.get(f"{key}_floor") for line in drawn], REAL, "s", hollow=True),
        ]
        kept = [one for one in series if any(value_of(figure) is not None for figure in one.figures)]
        if kept and key != "fid_infinity":
            parts.append(
                dot_rows(
                    names, kept, f"{title} of {', '.join(names)}, beside its floor", x=f"{title} (lower is closer)"
                )
            )
    return panel(
        "Distance to the real images", row(parts), note=f"Bars: 95 % interval.{_not_drawn(distances)}", wide=True
    )


def _share_panel(distances: Sequence[Mapping[str, Any]]) -> str:
    drawn = _drawn(distances)
    names = [scope_name(line, short=True) for line in drawn]
    parts = []
    for key, title in _SHARES.items():
        series = [
            Series("synthetic", [line.get(key) for line in drawn], MIXED, "o"),
            Series("floor: real", [line.get(f"{key}_floor") for line in drawn], REAL, "s", hollow=True),
        ]
        kept = [one for one in series if any(value_of(figure) is not None for figure in one.figures)]
        limits = (-0.03, 1.03) if key != "density" else None
        parts.append(dot_rows(names, kept, f"{title} of {', '.join(names)}", x=title, limits=limits) if kept else "")
    note = f"{'; '.join(_MEANINGS.values())}.{_not_drawn(distances)}"
    return panel("Fidelity and diversity", row(parts[:2]), row(parts[2:]), note=note[0].upper() + note[1:], wide=True)


def _distance_tables(distances: Sequence[Mapping[str, Any]]) -> str:
    """Every figure of every line; those of a class within a type folded."""
    shown = [
        (key, name)
        for stem, title in {**_DISTANCES, **_SHARES}.items()
        for key, name in ((stem, title), (f"{stem}_floor", f"floor of {title}"))
        if any(line.get(key) is not None for line in distances)
    ]
    cells = [line for line in distances if _is_cell(line)]
    return panel(
        "All distances",
        _distance_table([line for line in distances if not _is_cell(line)], shown),
        folded(f"{len(cells)} cells of class and skin type", _distance_table(cells, shown)),
        wide=True,
    )


def _distance_table(lines: Sequence[Mapping[str, Any]], shown: Sequence[tuple[str, str]]) -> str:
    rows = [
        [
            text_cell(scope_name(line), head=True),
            count_cell(line.get("n")),
            count_cell(line.get("n_real")),
            *(figure_cell(line.get(key), None if key.startswith(("fid", "kid")) else 3) for key, _ in shown),
        ]
        for line in lines
    ]
    head = ["images", "n synthetic", "n real", *(name for _, name in shown)]
    return table("Value, 95 % interval, n", head, rows)


def quality_answers(results: Sequence[Result]) -> list[Answer]:
    """What the quality results say in short."""
    if not results:
        return [Answer("Does it look real?", "Not measured", "open", [MISSING], "quality")]
    return [_answer(result, result.name if len(results) > 1 else "") for result in results]


def _answer(result: Result, name: str) -> Answer:
    whole = next((line for line in result.rows("distances") if scope_name(line) == "all images"), {})
    extractor = result.part("context", "extractor")
    label = extractor.get("name") if isinstance(extractor, Mapping) else extractor
    lines = []
    if value_of(whole.get("fid")) is not None:
        floor = value_of(whole.get("fid_floor"))
        beside = (
            f"; real against real at the same n: {number(floor)}" if floor is not None else "; no floor was measured"
        )
        lines.append(f"FID {spoken(whole['fid'], None)}{beside}. Features: {plain(label)}.")
    if value_of(whole.get("coverage")) is not None:
        lines.append(f"Precision {spoken(whole.get('precision'))}, coverage {spoken(whole['coverage'])}.")
    macro = result.figures("class_fidelity", "macro")
    if value_of(macro.get("synthetic")) is not None:
        lines.append(
            f"The requested class is recognised in {spoken(macro['synthetic'], share=True)} of the synthetic images, "
            f"in {spoken(macro.get('real'), share=True)} of real images."
        )
    inside = result.figures("tone").get("share_inside")
    if value_of(inside) is not None:
        lines.append(f"Skin tone is measured inside the requested band in {spoken(inside, share=True)}.")
    return Answer(f"Does it look real? {name}".strip(), _word(whole), "told" if lines else "open", lines, "quality")


def _word(whole: Mapping[str, Any]) -> str:
    value, floor = value_of(whole.get("fid")), value_of(whole.get("fid_floor"))
    if value is None:
        return "See the figures"
    if not floor or floor <= 0:
        return f"FID {number(value)}, without a floor"
    return f"FID {number(value)}, {number(value / floor, 1)} times its floor"
