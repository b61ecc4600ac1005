"""The coordinates of the mark: cosine waves over the whole frame, so that any rescaling reads the same.

A wave (k, l) is cos(pi k y) cos(pi l x) with y and x in [0, 1] from edge to edge of the frame, the basis of the
two-dimensional DCT-II (Ahmed, Natarajan & Rao 1974) on a grid as fine as one likes. Nothing depends on the number of
pixels or on the aspect. A flip changes the sign of the waves that are odd along its axis; a quarter turn also swaps k
and l. So the sums (k, l) + (l, k) of two even numbers are the same in all eight orientations: they carry the presence
of the mark. The waves with an odd number carry the payload, in an orientation that has to be tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIDE = 128  # px of the normalised frame on which images are read
LOWEST, HIGHEST = 8, 56  # of hypot(k, l): below is the picture, above is what small images and JPEG do not keep
LOW_BAND = 36  # waves up to here survive in images of 64 px
_RING = 4  # width of the rings in which waves share one estimate of their energy


@dataclass(frozen=True)
class Waves:
    """A list of waves: row and column number of each, the ring of each, and which belong to the low band."""

    k: np.ndarray
    l: np.ndarray  # noqa: E741 - the literature's name
    ring: np.ndarray
    is_low: np.ndarray

    def __len__(self) -> int:
        return len(self.k)


def _waves(selected: np.ndarray) -> Waves:
    k, l = np.nonzero(selected)  # noqa: E741
    radius = np.hypot(k, l)
    ring = ((radius - LOWEST) / _RING).astype(int)
    return Waves(k, l, ring, radius <= LOW_BAND)


def _in_band() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k, l = np.indices((HIGHEST + 1, HIGHEST + 1))  # noqa: E741
    radius = np.hypot(k, l)
    return k, l, (radius >= LOWEST) & (radius <= HIGHEST)


def _presence_waves() -> Waves:
    k, l, band = _in_band()  # noqa: E741
    return _waves(band & (k % 2 == 0) & (l % 2 == 0) & (k <= l))


def _payload_waves() -> Waves:
    k, l, band = _in_band()  # noqa: E741
    return _waves(band & ((k % 2 == 1) | (l % 2 == 1)))


PRESENCE = _presence_waves()
"""Pairs k <= l of even numbers; each stands for the normalised sum of (k, l) and (l, k)."""

PAYLOAD = _payload_waves()
"""Waves with an odd number along at least one axis."""


def _amplitude() -> np.ndarray:
    radius = np.hypot(*np.indices((HIGHEST + 1, HIGHEST + 1)))
    amplitude = (16 / np.maximum(radius, 16)) ** 0.25
    band = (radius >= LOWEST) & (radius <= HIGHEST)
    return amplitude / np.sqrt((amplitude[band] ** 2).mean())


AMPLITUDE = _amplitude()
"""(HIGHEST + 1, HIGHEST + 1): strength of each wave in luma, falling with the fourth root of frequency from 16 on.

JPEG and halving a small image keep low waves only, crops need many waves: measured as the best of both at 64 px."""


@lru_cache(maxsize=64)
def cosines(size: int, start: float = 0.0, extent: float = 1.0) -> np.ndarray:
    """cos(pi k x) at the centres of ``size`` pixels that cover [start, start + extent] of the frame.

    Scaled so that a full frame of any size gives an orthonormal basis (k = 0 never occurs alone in the band).

    Returns:
        (HIGHEST + 1, size) float64, a row for each k.
    """
    x = start + extent * (np.arange(size) + 0.5) / size
    waves = np.cos(np.pi * np.arange(HIGHEST + 1)[:, None] * x) * np.sqrt(2 / size)
    waves[0] /= np.sqrt(2)
    return waves


def orientations() -> list[tuple[np.ndarray, np.ndarray]]:
    """How :data:`PAYLOAD` coefficients look in the eight orientations: (order, sign), to be used as c[order] * sign.

    The first is the image as it is.
    """
    place = np.zeros((HIGHEST + 1, HIGHEST + 1), int)
    place[PAYLOAD.k, PAYLOAD.l] = np.arange(len(PAYLOAD))
    straight, turned = np.arange(len(PAYLOAD)), place[PAYLOAD.l, PAYLOAD.k]
    signs = [np.where((a * PAYLOAD.k + b * PAYLOAD.l) % 2, -1.0, 1.0) for a in (0, 1) for b in (0, 1)]
    return [(order, sign) for order in (straight, turned) for sign in signs]


ORIENTATIONS = tuple(orientations())
