"""Finding the mark in crops and turned images.

**The lattice.** Two families of windows are searched, each a finite set written down here, before any image:

* crops: height and width in steps of 1/160 from 0.24 to 1 of the original's, top and left in steps of 1/320, no turn;
* turns: angles in steps of 1/4 degree up to 12 either way, height and width from 0.9 to 1.2 (a turned image may have
  been enlarged to keep its corners), top and left from -0.1 to 0.05, in the same steps.

Every window of the lattice has a fixed weight (:func:`log10_weight`); the weights of a family sum to at most 1.
Whatever part of the lattice a search visits, and however image and key decide which, the smallest p-value over weight
of the visited windows is at least the smallest of the whole lattice, which is a valid p-value by Bonferroni's
inequality (``statistic.py``, 3). So the search below may be as clever as it likes; it only has to stay on the lattice.

**The search.** A coarse grid of window sizes or angles; for each, one phase correlation (after Kuglin & Hines 1975)
with the presence pattern gives the best place; the best few are refined by coordinate descent on the exact statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from .coordinates import HIGHEST, LOWEST, PRESENCE, SIDE
from .pattern import Pattern
from .statistic import Window, presence_features, presence_log10_p
from .view import normalised, reduced, turned, whitened

SIZE_STEP, SHIFT_STEP, ANGLE_STEP = 1 / 160, 1 / 320, 0.25
SMALLEST, MAX_ANGLE = 0.24, 12.0
TURN_SIZE, TURN_SHIFT = (0.9, 1.2), (-0.1, 0.05)  # ranges of the turned family
_TIERS = (1.0, 0.8, 0.63, 0.5, 0.4, 0.31)  # extents for which a whitened frame is made
_COARSE_SIZES, _COARSE_ANGLE = (6, 3), 4  # coarse steps, in steps of the lattice; sizes first coarser, then finer
_ASPECT = 1.8  # largest ratio of height to width, as shares of the original's
_CANDIDATES, _REFINED = 16, 6
_ENOUGH = -30.0  # log10 p at which the search stops
_HOPELESS = -2.5  # a candidate that is not below this after the first pass is left


@dataclass(frozen=True)
class Found:
    """The best window of a family and log10 of its p-value, corrected for the whole family."""

    log10_p: float
    window: Window
    frame: np.ndarray


class Views:
    """The whitened frames of one image, made when they are asked for."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._planes: dict[float, np.ndarray] = {}
        self._frames: dict[tuple[float, float], np.ndarray] = {}

    @cached_property
    def _reduced(self) -> Image.Image:
        return reduced(self._image)

    def planes(self, angle_deg: float = 0.0) -> np.ndarray:
        """(3, SIDE, SIDE): Y, Cb, Cr of the image turned by the angle."""
        if angle_deg not in self._planes:
            image = turned(self._reduced, angle_deg) if angle_deg else self._image
            self._planes[angle_deg] = normalised(image)
        return self._planes[angle_deg]

    def frame(self, angle_deg: float = 0.0, extent: float = 1.0) -> np.ndarray:
        """(3, SIDE, SIDE): turned by the angle, whitened as suits a window of this extent."""
        tier = min(_TIERS, key=lambda t: abs(math.log(t / extent)))
        if (angle_deg, tier) not in self._frames:
            self._frames[angle_deg, tier] = whitened(self.planes(angle_deg), tier)
        return self._frames[angle_deg, tier]

    def of(self, window: Window) -> np.ndarray:
        """The frame on which a window is read."""
        return self.frame(window.angle_deg, math.sqrt(window.height * window.width))


def _shifts(size: float) -> int:
    return max(0, round((1 - size) / SHIFT_STEP)) + 1


_SIZES = round((1 - SMALLEST) / SIZE_STEP) + 1
_TURNS = (2 * round(MAX_ANGLE / ANGLE_STEP) + 1) * (round((TURN_SIZE[1] - TURN_SIZE[0]) / SIZE_STEP) + 1) ** 2
_TURN_SHIFTS = round((TURN_SHIFT[1] - TURN_SHIFT[0]) / SHIFT_STEP) + 1


def log10_weight(window: Window) -> float:
    """log10 of the weight of a window in its family: crops share by size, then by place; turns all have the same."""
    if window.angle_deg:
        return -math.log10(_TURNS * _TURN_SHIFTS**2)
    return -math.log10(_SIZES**2 * _shifts(window.height) * _shifts(window.width))


def _on_lattice(window: Window) -> Window:
    """The nearest window of the lattice; the extremes of each family are the limits."""
    angle = round(max(-MAX_ANGLE, min(MAX_ANGLE, window.angle_deg)) / ANGLE_STEP) * ANGLE_STEP
    low, high = TURN_SIZE if angle else (SMALLEST, 1.0)
    sizes = [1 - round((1 - max(low, min(high, s))) / SIZE_STEP) * SIZE_STEP for s in (window.height, window.width)]
    limits = [TURN_SHIFT if angle else (0.0, (_shifts(s) - 1) * SHIFT_STEP) for s in sizes]
    places = [
        round(max(a, min(b, p)) / SHIFT_STEP) * SHIFT_STEP
        for p, (a, b) in zip((window.top, window.left), limits, strict=True)
    ]
    return Window(*sizes, *places, angle)


def search_crops(views: Views, pattern: Pattern, enough: float) -> Found:
    """The best crop; a second pass on a finer grid of sizes follows if the first is not below ``enough`` (log10 p)."""
    passes = (_search(views, pattern, _sizes(step)) for step in _COARSE_SIZES)
    best = next(passes)
    return best if best.log10_p <= enough else min(best, *passes, key=lambda found: found.log10_p)


def _sizes(step: int) -> list[Window]:
    sides = 1 - np.arange(0, _SIZES, step) * SIZE_STEP
    return [Window(float(h), float(w)) for h in sides for w in sides if 1 / _ASPECT < h / w < _ASPECT]


def search_turns(views: Views, pattern: Pattern) -> Found:
    """The best small turn."""
    n = round(MAX_ANGLE / ANGLE_STEP)
    angles = [ANGLE_STEP * i for i in range(-n, n + 1, _COARSE_ANGLE) if i]
    windows = [Window(angle_deg=angle) for angle in angles]
    for angle in angles:
        enlarged = math.cos(math.radians(angle)) + math.sin(math.radians(abs(angle)))
        windows.append(_on_lattice(Window(enlarged, enlarged, (1 - enlarged) / 2, (1 - enlarged) / 2, angle)))
    return _search(views, pattern, windows)


def _height(place: tuple[float, Window]) -> float:
    return -place[0]


def _p(result: tuple[float, Window]) -> float:
    return result[0]


def _search(views: Views, pattern: Pattern, windows: Iterable[Window]) -> Found:
    matcher = _Matcher(views, pattern)
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


_GRID = 96  # places along each axis at which a window is tried
_Q = HIGHEST // 2  # periods across the frame of the highest wave: a wave of even k makes k/2
_PERIODS = np.hypot(np.arange(-_Q, _Q + 1)[:, None], np.arange(_Q + 1)[None])
_IN_BAND = (_PERIODS >= LOWEST / 2) & (_PERIODS <= _Q)
_RINGS = np.where(_IN_BAND, (_PERIODS - LOWEST / 2) / 2 + 1, 0).astype(int)


@lru_cache(maxsize=256)
def _waves_across(extent: float) -> np.ndarray:
    """(2 Q + 1, SIDE) complex64: exp(2 pi i q x) on the pixels of a window of this extent that starts at 0."""
    x = extent * (np.arange(SIDE) + 0.5) / SIDE
    return np.exp(2j * np.pi * np.arange(-_Q, _Q + 1)[:, None] * x).astype(np.complex64)


def _pattern_spectrum(pattern: Pattern) -> np.ndarray:
    """(3, 2 Q + 1, Q + 1): Fourier coefficients of the presence pattern, which has period 1 and is even."""
    square = np.zeros((3, _Q + 1, _Q + 1), np.float32)
    square[:, PRESENCE.k // 2, PRESENCE.l // 2] = pattern.presence * np.where(PRESENCE.k == PRESENCE.l, 0.5, 0.5**0.5)
    square += square.transpose(0, 2, 1)
    both_signs = np.where(np.arange(_Q + 1) > 0, 0.5**0.5, 1.0).astype(np.float32)
    square *= both_signs[:, None] * both_signs
    return square[:, np.abs(np.arange(-_Q, _Q + 1))]


class _Matcher:
    """Phase correlation of windows with the presence pattern, in luma and in all channels.

    The transforms are taken at the pattern's frequencies only, as two matrix products; the coefficients are evened
    over rings as those of the statistic are.
    """

    def __init__(self, views: Views, pattern: Pattern) -> None:
        self._views = views
        self._spectrum = _pattern_spectrum(pattern)
        self._down: dict[tuple[int, float], np.ndarray] = {}

    def best_places(self, window: Window) -> list[tuple[float, Window]]:
        """Where a window of this size fits best in luma and in all channels, and by how many standard deviations."""
        products = self._evened(window) * self._spectrum
        half = np.zeros((2, _GRID, _GRID // 2 + 1), np.complex64)
        rows = np.arange(-_Q, _Q + 1)
        half[0, rows, : _Q + 1], half[1, rows, : _Q + 1] = products[0], products.sum(0)
        return [_peak(match, window) for match in np.fft.irfft2(half, (_GRID, _GRID))]

    def _evened(self, window: Window) -> np.ndarray:
        """(3, 2 Q + 1, Q + 1) complex64: the conjugate transform of the window's pixels."""
        frame = self._views.of(window)
        key = (id(frame), window.height)
        if key not in self._down:
            self._down[key] = _waves_across(window.height) @ frame
        transform = self._down[key] @ _waves_across(window.width)[_Q:].T
        energy = (transform.real**2 + transform.imag**2) * _IN_BAND
        rings = np.stack([np.bincount(_RINGS.ravel(), channel.ravel()) for channel in energy])
        scale = np.sqrt(rings / np.bincount(_RINGS.ravel())) + 1e-6
        return transform * (_IN_BAND / scale[:, _RINGS]).astype(np.float32)


def _peak(match: np.ndarray, window: Window) -> tuple[float, Window]:
    """The highest place at which the window lies in the frame (or near it, for a turn), over the deviation of all."""
    reach = math.ceil(-TURN_SHIFT[0] * _GRID) if window.angle_deg else 0
    rows = np.arange(-reach, int((1 - window.height) * _GRID + 1) + reach + 1)
    columns = np.arange(-reach, int((1 - window.width) * _GRID + 1) + reach + 1)
    allowed = match[np.ix_(rows % _GRID, columns % _GRID)]
    row, column = np.unravel_index(int(allowed.argmax()), allowed.shape)
    place = replace(window, top=rows[row] / _GRID, left=columns[column] / _GRID)
    return float(allowed[row, column]) / (float(match.std()) + 1e-12), _on_lattice(place)


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
    return _on_lattice(other)
