"""Sections and panels of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .read import Result
from .text import safe


def panel(title: str, *parts: str, wide: bool = False, note: str = "") -> str:
    """A card with a heading; "" where all its parts are empty.

    Args:
        title: plain text.
        parts: HTML.
        wide: over all columns.
        note: a sentence under it, plain text.
    """
    body = "".join(parts)
    if not body:
        return ""
    below = f'<p class="quiet">{safe(note)}</p>' if note else ""
    return f'<section class="panel{" wide" if wide else ""}"><h3>{safe(title)}</h3>{body}{below}</section>'


def panels(parts: Iterable[str]) -> str:
    """Cards side by side; "" without any."""
    body = "".join(parts)
    return f'<div class="panels">{body}</div>' if body else ""


def row(parts: Iterable[str], *, narrow: bool = False) -> str:
    """Drawings side by side in columns of one width, ``narrow`` for small ones; "" without any."""
    body = "".join(parts)
    return f'<div class="row{" narrow" if narrow else ""}">{body}</div>' if body else ""


def rows(lines: Iterable[Sequence[str]]) -> list[str]:
    """Rows of drawings, one for each line; lines of a single drawing share one row."""
    lines = [[part for part in line if part] for line in lines]
    if all(len(line) < 2 for line in lines):
        lines = [[part for line in lines for part in line]]
    return [row(line) for line in lines if line]


def side(*parts: str) -> str:
    """Tables and drawings side by side where there is room, under each other where not; "" without any."""
    body = "".join(parts)
    return f'<div class="side">{body}</div>' if body else ""


def folded(summary: str, *parts: str) -> str:
    """What is shown when asked for; "" where all its parts are empty."""
    body = "".join(parts)
    return f"<details><summary>{safe(summary)}</summary>{body}</details>" if body else ""


def section(
    anchor: str, title: str, results: Sequence[Result], show: Callable[[Result], str], lead: str, missing: str
) -> str:
    """A section with one part for each result; ``missing`` is said where there is none."""
    body = "".join(
        (f'<h3 class="run">{safe(result.name)}</h3>' if len(results) > 1 else "") + show(result) for result in results
    )
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{safe(title)}</h2>'
        + (f'<p class="quiet">{safe(lead)}</p>{body}' if results else f'<p class="missing">{safe(missing)}</p>')
        + "</section>"
    )
