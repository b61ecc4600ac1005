"""Finding the mark in crops and turned images.

A coarse grid of window sizes or angles; for each, one phase correlation (after Kuglin & Hines 1975)
with the presence pattern gives the best place; the best few are refined by coordinate descent on the exact statistic.
What may be visited, and what each visit costs the p-value, stands in ``lattice.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from .lattice import ANGLE_STEP, MAX_ANGLE, SHIFT_STEP, SIZE_STEP, SIZES, log10_weight, on_lattice
from .matching import Matcher
from .pattern import Pattern
from .statistic import Window, presence_features, presence_log10_p
from .view import Views

_COARSE_SIZES, _COARSE_ANGLE = (6, 3), 4  # coarse steps, in steps of the lattice; sizes first coarser, then finer
_ASPECT = 1.8  # largest ratio of height to width, as shares of the original's
_CANDIDATES, _REFINED = 16, 6
_ENOUGH = -30.0  # log10 p at which the search stops
_HOPELESS = -2.5  # a candidate whose p-value, before its weight, is not below this after the first pass is left


@dataclass(frozen=True)
class Found:
    """The best window of a family and log10 of its p-value, corrected for the whole family."""

    log10_p: float
    window: Window
    frame: np.ndarray


def search_crops(views: Views, pattern: Pattern, enough: float) -> Found:
    """The best crop; a second pass on a finer grid of sizes follows if the first is not below ``enough`` (log10 p)."""
    passes = (_search(views, pattern, _sizes(step)) for step in _COARSE_SIZES)
    best = next(passes)
    return best if best.log10_p <= enough else min(best, *passes, key=lambda found: found.log10_p)


def _sizes(step: int) -> list[Window]:
    sides = 1 - np.arange(0, SIZES, step) * SIZE_STEP
    return [Window(float(h), float(w)) for h in sides for w in sides if 1 / _ASPECT < h / w < _ASPECT]


def search_turns(views: Views, pattern: Pattern) -> Found:
    """The best small turn."""
    n = round(MAX_ANGLE / ANGLE_STEP)
    angles = [ANGLE_STEP * i for i in range(-n, n + 1, _COARSE_ANGLE) if i]
    windows = [Window(angle_deg=angle) for angle in angles]
    for angle in angles:
        enlarged = math.cos(math.radians(angle)) + math.sin(math.radians(abs(angle)))
        windows.append(on_lattice(Window(enlarged, enlarged, (1 - enlarged) / 2, (1 - enlarged) / 2, angle)))
    return _search(views, pattern, windows)


def _height(place: tuple[float, Window]) -> float:
    return -place[0]


def _p(result: tuple[float, Window]) -> float:
    return result[0]


def _search(views: Views, pattern: Pattern, windows: Iterable[Window]) -> Found:
    matcher = Matcher(views, pattern)
    places = [matcher.best_places(window) for window in windows]
    placed = [window for kind in zip(*places, strict=True) for _, window in sorted(kind, key=_height)[:_CANDIDATES]]

    def log10_p(window: Window) -> float:
        features = presence_features(views.of(window), window)
        return presence_log10_p(features, pattern) - log10_weight(window)

    first = sorted(((log10_p(w), w) for w in placed), key=_p)
    best = first[0]
    for p, window in first[:_REFINED]:
        best = min(best, _descended(log10_p, p, window), key=_p)
        if best[0] < _ENOUGH:
            break
    return Found(min(0.0, best[0]), best[1], views.of(best[1]))


_MOVES = ("height", "width", "top", "left", "angle_deg")


def _descended(log10_p: Callable[[Window], float], p: float, window: Window) -> tuple[float, Window]:
    """Coordinate descent on the lattice, with steps of 4, 2 and 1 of its units."""
    seen = {window: p}
    for steps in (4, 2, 1):
        improved = True
        while improved:
            improved = False
            for name in _MOVES if window.angle_deg else _MOVES[:4]:
                for sign in (1, -1):
                    other = _moved(window, name, sign * steps)
                    if other not in seen:
                        seen[other] = log10_p(other)
                    if seen[other] < p - 0.01:
                        p, window, improved = seen[other], other, True
        if steps == 4 and p + log10_weight(window) > _HOPELESS:
            break
    return p, window


def _moved(window: Window, name: str, steps: int) -> Window:
    """One coordinate changed; a window that grows keeps its centre."""
    unit = {"height": SIZE_STEP, "width": SIZE_STEP, "angle_deg": ANGLE_STEP}.get(name, SHIFT_STEP)
    changes = {name: getattr(window, name) + steps * unit}
    if name in ("height", "width"):
        place = "top" if name == "height" else "left"
        changes[place] = getattr(window, place) - steps * unit / 2
    other = replace(window, **changes)
    if window.angle_deg and not other.angle_deg:
        return window
    return on_lattice(other)
