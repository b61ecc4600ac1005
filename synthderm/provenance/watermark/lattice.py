"""The windows that a search may try, and the weight of each.

Two families of windows are searched, each a finite set written down here, before any image:

* crops: height and width in steps of 1/160 from 0.24 to 1 of the original's, top and left in steps of 1/320, no turn;
* turns: angles in steps of 1/4 degree up to 12 either way, height and width from 0.9 to 1.2 (a turned image may have
  been enlarged to keep its corners), top and left from -0.1 to 0.05, in the same steps.

Every window of the lattice has a fixed weight (:func:`log10_weight`); the weights of a family sum to at most 1.
Whatever part of the lattice a search visits, and however image and key decide which, the smallest p-value over weight
of the visited windows is at least the smallest of the whole lattice, which is a valid p-value by Bonferroni's
inequality (``statistic.py``, 3). So a search may be as clever as it likes; it only has to stay on the lattice.
"""

from __future__ import annotations

import math

from .statistic import Window

SIZE_STEP, SHIFT_STEP, ANGLE_STEP = 1 / 160, 1 / 320, 0.25
SMALLEST, MAX_ANGLE = 0.24, 12.0
TURN_SIZE, TURN_SHIFT = (0.9, 1.2), (-0.1, 0.05)  # ranges of the turned family


def _shifts(size: float) -> int:
    return max(0, round((1 - size) / SHIFT_STEP)) + 1


SIZES = round((1 - SMALLEST) / SIZE_STEP) + 1
"""Heights, and widths, of the crops."""

_TURNS = (2 * round(MAX_ANGLE / ANGLE_STEP) + 1) * (round((TURN_SIZE[1] - TURN_SIZE[0]) / SIZE_STEP) + 1) ** 2
_TURN_SHIFTS = round((TURN_SHIFT[1] - TURN_SHIFT[0]) / SHIFT_STEP) + 1


def log10_weight(window: Window) -> float:
    """log10 of the weight of a window in its family: crops share by size, then by place; turns all have the same."""
    if window.angle_deg:
        return -math.log10(_TURNS * _TURN_SHIFTS**2)
    return -math.log10(SIZES**2 * _shifts(window.height) * _shifts(window.width))


def on_lattice(window: Window) -> Window:
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
