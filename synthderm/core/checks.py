"""Errors that say what was expected, what was got and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthdermError(Exception):
    """Base of every error that a user can cause; the command line prints it as one line."""


class InputError(SynthdermError, ValueError):
    """A value, file or option that cannot be used."""


class MissingExtraError(SynthdermError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}: pip install 'synthderm[{extra}]'")


def near_matches(word: str, options: Iterable[str], n: int = 3) -> list[str]:
    """Options that look like ``word``, best first (case is ignored)."""
    by_lower = {option.lower(): option for option in options}
    return [by_lower[m] for m in difflib.get_close_matches(word.lower(), by_lower, n=n, cutoff=0.5)]


def unknown(kind: str, got: str, options: Iterable[str], names: str | None = None) -> InputError:
    """An error for a name that is not among ``options``, with near matches.

    Args:
        kind: what the name stands for ("class", "parameter").
        got: the name as given.
        options: every accepted spelling; near matches are taken from it.
        names: the short list to print when nothing is near; the options themselves if None.
    """
    options = list(options)
    near = near_matches(got, options)
    hint = f"did you mean {' or '.join(repr(m) for m in near)}?" if near else ""
    listed = names or ", ".join(sorted(set(options)))
    return InputError(f"unknown {kind} {got!r}; {hint or f'expected one of: {listed}'}")


def check_range(name: str, value: float, low: float, high: float, unit: str = "", hint: str = "") -> float:
    """Return ``value`` if ``low <= value <= high``; raise :class:`InputError` otherwise."""
    if not (low <= value <= high):
        unit = f" {unit}" if unit else ""
        hint = f"; {hint}" if hint else ""
        raise InputError(f"{name} must be between {low:g} and {high:g}{unit}, but got {value:g}{hint}")
    return value
