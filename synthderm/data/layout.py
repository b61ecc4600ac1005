"""Which images of a set are shown together, and in what order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

from synthderm.core import DIAGNOSES
from synthderm.provenance.figures import diagnosis_of, measured_ita, requested_fst

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """Images in lines.

    Attributes:
        lines: a label and the images of each line; None where a place stays empty.
        columns: labels of the columns, empty if they have no common meaning.
        varied: the scene parameter that differs within a family of images, if it is exactly one.
    """

    lines: list[tuple[str, list[Row | None]]]
    columns: tuple[str, ...] = ()
    varied: str | None = None


def _grouped(rows: Iterable[Row], key: Any) -> dict[Hashable, list[Row]]:
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _families(rows: Iterable[Row]) -> list[list[Row]]:
    """The images of each lesion that was drawn more than once (on several tones, or in a sweep)."""
    groups = _grouped((row for row in rows if row.get("lesion_id")), lambda row: row["lesion_id"])
    return [group for group in groups.values() if len(group) > 1]


def _varied(family: Sequence[Row]) -> str | None:
    """The one scene parameter that differs within a family; None if there is none, or several."""
    first = dict(family[0])
    names = {name for row in family for name, value in row.items() if "." in name and value != first.get(name, value)}
    return names.pop() if len(names) == 1 else None


def _class_order(row: Row) -> int:
    code = diagnosis_of(row)
    return list(DIAGNOSES).index(code) if code in DIAGNOSES else len(DIAGNOSES)


def _tone_order(row: Row) -> int:
    return requested_fst(row) or 7


def class_label(row: Row) -> str:
    """The plain name of a row's class."""
    code = diagnosis_of(row)
    return DIAGNOSES[code].name if code in DIAGNOSES else code or "no class"


def tone_label(row: Row) -> str:
    """The requested type of a row."""
    fst = requested_fst(row)
    return f"FST {fst}" if fst else "no tone"


def caption(row: Row, varied: str | None = None) -> tuple[str, str]:
    """Two short lines: class with measured tone, and the image's name or the value that is varied."""
    ita, fst = measured_ita(row), row.get("fst_proxy")
    tone = "" if ita is None else f"ITA {ita:.0f}\N{DEGREE SIGN}" + (f" (type {fst})" if fst else "")
    name = str(row.get("isic_id") or row.get("index", ""))
    if varied:
        value = row[varied]
        name = f"{varied} {value:.3g}" if isinstance(value, float) else f"{varied} {value}"
    return f"{diagnosis_of(row)}  {tone}".strip(), name


def spread(rows: Iterable[Row], limit: int) -> list[Row]:
    """At most ``limit`` rows, evenly over class x tone, in the order of their index; families stay whole."""
    rows = list(rows)
    if len(rows) <= limit:
        return rows
    units = _grouped(rows, lambda row: row.get("lesion_id") or row.get("index"))
    cells = _grouped(units.values(), lambda unit: (diagnosis_of(unit[0]), requested_fst(unit[0])))
    chosen: list[Row] = []
    for turn in zip_longest(*cells.values()):
        for unit in turn:
            if unit is not None and len(chosen) + len(unit) <= limit:
                chosen += unit
    return sorted(chosen or rows[:limit], key=lambda row: row.get("index", 0))


def _wrapped(label: str, rows: Sequence[Row], columns: int) -> list[tuple[str, list[Row | None]]]:
    return [(label if i == 0 else "", list(rows[i : i + columns])) for i in range(0, len(rows), columns)]


def _family_layout(families: list[list[Row]], columns: int, limit: int) -> Layout:
    tones = sorted({_tone_order(row) for family in families for row in family})
    paired = len(tones) > 1
    lines, shown = [], 0
    for family in families:
        if lines and shown + len(family) > limit:
            break
        ordered = sorted(family, key=_tone_order) if paired else family
        lines += _wrapped(class_label(family[0]), ordered[:limit], columns)
        shown += len(family)
    labels = tuple(f"FST {fst}" for fst in tones) if paired and len(tones) == len(families[0]) else ()
    return Layout(lines, labels if len(labels) <= columns else (), None if paired else _varied(families[0]))


def _cross_layout(rows: Sequence[Row], limit: int) -> Layout:
    """Classes down, tones across; as many lines for each class as ``limit`` allows."""
    by_class = _grouped(sorted(rows, key=_class_order), class_label)
    tones = {_tone_order(row): tone_label(row) for row in sorted(rows, key=_tone_order)}
    repeats = max(1, limit // (len(by_class) * len(tones)))
    lines: list[tuple[str, list[Row | None]]] = []
    for label, members in by_class.items():
        cells = _grouped(members, _tone_order)
        full = list(zip_longest(*(cells.get(tone, []) for tone in tones)))
        lines += [(label if i == 0 else "", list(line)) for i, line in enumerate(islice(full, repeats))]
    return Layout(lines, tuple(tones.values()))


def _group_layout(rows: Sequence[Row], key: Any, columns: int, limit: int) -> Layout:
    groups = _grouped(rows, key)
    each = max(1, limit // len(groups))
    return Layout([line for label, group in groups.items() for line in _wrapped(label, group[:each], columns)])


def arrange(rows: Iterable[Row], columns: int = 8, limit: int = 64) -> Layout:
    """Put images where they can be compared.

    Images of one lesion (paired tones, or a sweep) fill a line each; several classes on several tones give a
    grid of class x tone; several classes, or several tones, give lines of one each; all else is in order.

    Args:
        rows: manifest rows in the order of their index.
        columns: most images in a line; a grid of class x tone has one column for each tone.
        limit: most images in all.
    """
    rows = list(rows)
    if families := _families(rows):
        return _family_layout(families, columns, limit)
    classes, tones = {diagnosis_of(row) for row in rows}, {_tone_order(row) for row in rows}
    if len(classes) > 1 and len(tones) > 1:
        return _cross_layout(rows, limit)
    if len(tones) > 1:
        return _group_layout(sorted(rows, key=_tone_order), tone_label, columns, limit)
    return _group_layout(sorted(rows, key=_class_order), class_label, columns, limit) if rows else Layout([])
