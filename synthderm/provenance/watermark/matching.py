"""Where a window of a given size fits best: phase correlation with the presence pattern (Kuglin & Hines 1975)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from .coordinates import HIGHEST, LOWEST, PRESENCE, SIDE
from .lattice import TURN_SHIFT, on_lattice
from .pattern import Pattern
from .statistic import Window
from .view import Views

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


class Matcher:
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
    return float(allowed[row, column]) / (float(match.std()) + 1e-12), on_lattice(place)
