"""Tables of the page as HTML: every figure with its interval and n."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .text import NONE, count_of, digits_of, finite, interval_of, number, percent, plain, safe, value_of

_LEFT = ' class="text"'


def figure_cell(figure: Any, digits: int | None = 3, *, signed: bool = False, share: bool = False) -> str:
    """A ``<td>`` with value, 95 % interval and n; a figure without a value says why.

    Args:
        figure: ``{"value", "interval", "n", "note"}``, a bare number, or None where nothing was measured.
        digits: decimals; None for about three significant ones.
        signed: the figure is a difference.
        share: print as a percentage.
    """
    if figure is None:
        return f'<td class="none">{NONE}</td>'

    def one(value: float) -> str:
        return percent(value) if share else number(value, decimals, signed=signed)

    decimals = digits_of(figure) if digits is None else digits
    value, ends, n = value_of(figure), interval_of(figure), count_of(figure)
    small = [f"{one(ends[0])} to {one(ends[1])}"] if ends and value is not None else []
    small += [f"n\N{NO-BREAK SPACE}{n:,}"] if n is not None else []
    below = f"<small>{' '.join(f'<span>{part}</span>' for part in small)}</small>" if small else ""
    if value is None:
        note = (figure.get("note") if isinstance(figure, Mapping) else None) or NONE
        return f'<td class="none">{safe(note)}{below}</td>'
    return f"<td>{one(value)}{below}</td>"


def text_cell(value: Any, *, head: bool = False) -> str:
    """A cell with text, on the left; ``head`` makes it the heading of its line."""
    return f'<th scope="row">{safe(value)}</th>' if head else f'<td class="text">{safe(value)}</td>'


def count_cell(value: Any) -> str:
    """A cell with a count or another bare number."""
    return f"<td>{number(value) if finite(value) is not None else safe(value)}</td>"


def table(caption: str, head: Sequence[str], lines: Iterable[Sequence[str]], note: str = "", *, label: str = "") -> str:
    """A table that scrolls inside its own box; "" without lines.

    Args:
        caption: what the table shows, plain text.
        head: names of the columns, plain text.
        lines: cells made by :func:`figure_cell`, :func:`text_cell`, :func:`count_cell`.
        note: a sentence under the table, plain text.
        label: what it shows, for people who do not see it, where there is no caption.
    """
    lines = [list(line) for line in lines]
    if not lines:
        return ""
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    left = [cell.startswith('<td class="text') for cell in lines[0]]
    names = "".join(
        f'<th scope="col"{_LEFT if is_text else ""}>{safe(name)}</th>' for name, is_text in zip(head, left, strict=True)
    )
    below = f'<p class="quiet">{safe(note)}</p>' if note else ""
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(caption or label)}">'
    title = f"<caption><span>{safe(caption)}</span></caption>" if caption else ""
    return f"{box}<table>{title}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>{below}"


def heat_table(caption: str, confusion: Any, across: str, down: str, note: str = "") -> str:
    """A confusion matrix as a table whose cells are the darker the larger their share of the line.

    Args:
        caption: what the table shows.
        confusion: ``{"rows": names, "columns": names, "counts": one list for each row}``.
        across: what a column stands for.
        down: what a row stands for.
        note: a sentence under the table.
    """
    if not isinstance(confusion, Mapping) or not confusion.get("counts"):
        return ""
    columns = [plain(name) for name in confusion.get("columns") or ()]
    rows = [plain(name) for name in confusion.get("rows") or ()]
    lines = [
        [text_cell(name, head=True), *_heat_cells(name, columns, counts)]
        for name, counts in zip(rows, confusion["counts"], strict=False)
    ]
    shown = table(caption, [f"{down} \N{DOWNWARDS ARROW}  {across} \N{RIGHTWARDS ARROW}", *columns, "n"], lines, note)
    return shown.replace("<table>", '<table class="heat">', 1)


def _heat_cells(row: str, columns: Sequence[str], counts: Sequence[Any]) -> Iterable[str]:
    known = [finite(count) or 0 for count in counts]
    total = sum(known)
    for column, count in zip(columns, known, strict=False):
        share = count / total if total else 0.0
        mark = ' class="same"' if column == row else ""
        told = "&lt;1 %" if 0 < share < 0.005 else percent(share, 0)
        below = f"<small>{told}</small>" if count else ""
        yield f'<td{mark} style="--share:{share:.3f}">{number(int(count))}{below}</td>'
    yield count_cell(int(total))


def facts(pairs: Mapping[str, Any]) -> str:
    """Names with their values, side by side; values that are None are left out."""
    items = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
        for name, value in pairs.items()
        if value is not None and value != ""
    )
    return f'<dl class="facts">{items}</dl>' if items else ""


def listing(value: Any) -> str:
    """Any JSON value as nested definition lists, nothing left out."""
    if isinstance(value, Mapping):
        items = "".join(f"<dt>{safe(name)}</dt><dd>{listing(inner)}</dd>" for name, inner in value.items())
        return f'<dl class="listing">{items}</dl>' if items else "none"
    if isinstance(value, (list, tuple)) and any(isinstance(inner, (Mapping, list, tuple)) for inner in value):
        return "<ol>" + "".join(f"<li>{listing(inner)}</li>" for inner in value) + "</ol>"
    return safe(value)
