"""Numbers and names as they stand on the page: short, honest about what is missing, safe in HTML."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from html import escape
from typing import Any

Figure = Mapping[str, Any]

NONE = "\N{EN DASH}"
"""Stands where there is no number."""

_MINUS = "\N{MINUS SIGN}"


def safe(value: Any) -> str:
    """Any value as text for HTML: escaped, control characters shown as U+FFFD."""
    return escape(plain(value), quote=True)


def plain(value: Any) -> str:
    """Any value as one line of text, control characters shown as U+FFFD."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(name)}: {plain(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(inner) for inner in value) or "none"
    text = " ".join(str(value).split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def shortened(text: str, most: int = 24) -> str:
    """``text`` with its middle left out where it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (most - most // 2 - 1) :]}"


def finite(value: Any) -> float | None:
    """``value`` as a float; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: Any, digits: int | None = None, *, signed: bool = False) -> str:
    """A number to read: ``digits`` decimals, or by default about three significant ones.

    Args:
        value: any number; None, NaN and infinities become a dash.
        digits: decimals.
        signed: put a plus before what is above zero.
    """
    found = finite(value)
    if found is None:
        return NONE
    if isinstance(value, int) and digits is None:
        text = f"{value:,}"
    else:
        text = f"{found:,.{_digits(found) if digits is None else digits}f}"
    if not text.strip("-0.,"):
        return text.lstrip("-")
    return text.replace("-", _MINUS) if found < 0 else f"+{text}" if signed else text


def _digits(*values: float) -> int:
    """Decimals that show about three significant digits of the largest value, and never more than seven."""
    size = max(map(abs, values))
    if size >= 10:
        return 1
    if size >= 1:
        return 2
    return 3 if size >= 0.1 or size == 0 else min(7, 2 - math.floor(math.log10(size)))


def digits_of(figure: Any) -> int:
    """Decimals for a figure of which the size is not known: the same for its value and its interval."""
    value, ends = value_of(figure), interval_of(figure)
    return _digits(*([] if value is None else [value]), *(ends or ()), 0.0)


def percent(value: Any, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage."""
    found = finite(value)
    return NONE if found is None else f"{number(100 * found, digits)} %"


def value_of(figure: Any) -> float | None:
    """The value of a figure, or of a bare number; None where there is none."""
    return finite(figure.get("value") if isinstance(figure, Mapping) else figure)


def interval_of(figure: Any) -> tuple[float, float] | None:
    """The ends of a figure's 95 % interval; None where there is none."""
    ends = figure.get("interval") if isinstance(figure, Mapping) else None
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        return None
    low, high = finite(ends[0]), finite(ends[1])
    return None if low is None or high is None else (low, high)


def count_of(figure: Any) -> int | None:
    """The n of a figure."""
    n = figure.get("n") if isinstance(figure, Mapping) else None
    return n if isinstance(n, int) and not isinstance(n, bool) else None


def spoken(figure: Any, digits: int | None = 3, *, signed: bool = False, share: bool = False) -> str:
    """A figure in a sentence: ``+0.031 (95 % interval +0.012 to +0.050, n 900)``."""

    def one(value: Any) -> str:
        return percent(value) if share else number(value, digits, signed=signed)

    digits = digits_of(figure) if digits is None else digits
    ends, n = interval_of(figure), count_of(figure)
    behind = [f"95 % interval {one(ends[0])} to {one(ends[1])}"] if ends else []
    behind += [f"n {n:,}"] if n is not None else []
    return one(value_of(figure)) + (f" ({', '.join(behind)})" if behind else "")
