"""Panels that any section may need: whatever a result holds beside its known parts, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .layout import panel
from .pictures import picture
from .read import Result
from .tables import figure_cell, listing, table, text_cell
from .text import plain, safe


def figure_listing(values: Mapping[str, Any], caption: str = "Value, 95 % interval, n") -> str:
    """Any mapping of results: its figures as a table, nested ones by their path, the rest as a list.

    Args:
        values: JSON values; those that are None are left out.
        caption: of the table.
    """
    lines: list[list[str]] = []
    rest: dict[str, Any] = {}
    _collect(values, "", lines, rest)
    return table(caption, ["", "value"], lines) + (listing(rest) if rest else "")


def _collect(values: Mapping[str, Any], before: str, lines: list[list[str]], rest: dict[str, Any]) -> None:
    for name, value in values.items():
        path = f"{before}{plain(name).replace('_', ' ')}"
        if isinstance(value, Mapping) and "value" in value:
            lines.append([text_cell(path, head=True), figure_cell(value, None)])
        elif isinstance(value, Mapping) and value:
            _collect(value, f"{path}, ", lines, rest)
        elif value is not None and value != {}:
            rest[path] = value


def other_panels(result: Result, known: Sequence[str]) -> list[str]:
    """What a result holds beside the parts that have a panel of their own."""
    return [
        panel(
            _title(name),
            figure_listing(value if isinstance(value, Mapping) and "value" not in value else {name: value}),
        )
        for name, value in result.figures().items()
        if name not in known and value not in (None, {}, [])
    ]


def picture_panel(result: Result, left_out: Sequence[str] = ()) -> str:
    """The pictures that the result names, but those already shown."""
    pictures = result.part("pictures")
    named = pictures.items() if isinstance(pictures, Mapping) else enumerate(pictures or ())
    shown = [
        picture(result.folder, path, safe(_title(name)), _title(name))
        for name, path in named
        if str(path) not in left_out
    ]
    return panel("Pictures", *shown, wide=True)


def _title(name: Any) -> str:
    text = plain(name).replace("_", " ")
    return f"picture {name + 1}" if isinstance(name, int) else text[:1].upper() + text[1:]
