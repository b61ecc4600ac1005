"""The statistic, and why its p-value holds for every image.

**Claim.** Let x be any image, chosen before and without the key. If the key is drawn at random, the probability that
:func:`presence_p_value` (or any other p-value of this package) comes out at or below alpha is at most alpha.

**Proof.** 1. The features f of x are computed without the key: (n,) numbers that are fixed once x is. The key draws
u, n independent standard normal numbers. Their direction u/|u| is uniform on the unit sphere of R^n (the density of u
depends on |u| alone). So the cosine T = <f, u> / (|f| |u|) has, for every f other than zero, the distribution of the
first coordinate of a uniform point on the sphere (Muller 1959; Cai, Fan & Jiang 2013, section 2): density proportional
to (1 - s^2)^((n-3)/2). No property of x enters: not its spectrum, not its noise, not whether it is skin.

2. For t > 0, with a = (n-1)/2 and the normalising constant B(1/2, a):

    P(T >= t) = int_t^1 (1 - s^2)^(a-1) ds / B(1/2, a)
             <= int_t^1 (s/t) (1 - s^2)^(a-1) ds / B(1/2, a) = (1 - t^2)^a / (2 a t B(1/2, a)).

:func:`log10_tail` returns the smaller of this bound and 1 (for t <= 0: 1). It is above the exact tail by a factor below
1 + 1/(n t^2), 4 % at p = 1e-6. For f = 0 (a flat image) T is defined as 0, so p = 1.

3. The bound is a decreasing function g of T with P(g(T) <= alpha) <= alpha, hence a valid p-value. Of several readings
with p-values p_i, each valid by itself and however they depend on each other, min_i p_i / w_i is valid for fixed
weights w_i > 0 with sum at most 1 (Bonferroni; Holm 1979, section 2): P(some p_i <= alpha w_i) <= sum alpha w_i.
The readings are the four of :data:`READINGS`, the payload's words in eight
orientations, and every window and angle that the search *may* try. The search looks at few of them and lets what it
sees decide which, which is allowed as all of them, seen or not, have their share of the weight (``lattice.py``).

**What it does not say.** "Random key" is the condition. For one fixed key and images that resemble each other, alarms
come together: the rate over many keys and images is as stated, that of a single key scatters about it. The published
key was chosen accordingly and the scatter is measured (``eval/watermark_null.py``). And someone who knows the key can
choose the image: see the threats in the documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .coordinates import AMPLITUDE, HIGHEST, PRESENCE, SIDE, Waves, cosines
from .pattern import Pattern

READINGS = ("luma", "luma, low band", "colour", "all channels")
_EVEN = np.arange(0, HIGHEST + 1, 2)
_TINY = 1e-12
_ROUNDING = 1e-6  # energy of a coefficient, grey steps squared


def log10_tail(cosine: float, n: int) -> float:
    """log10 of an upper bound of P(T >= cosine) for a uniform direction in n >= 3 dimensions (module docstring, 2)."""
    if cosine <= 0:
        return 0.0
    a = (n - 1) / 2
    log_beta = math.lgamma(0.5) + math.lgamma(a) - math.lgamma(a + 0.5)
    log_p = a * math.log(max(1 - cosine * cosine, 1e-300)) - math.log(2 * a * cosine) - log_beta
    return min(0.0, log_p / math.log(10))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors; 0 if one of them is zero."""
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / length if length > _TINY else 0.0


def evened(coefficients: np.ndarray, waves: Waves) -> np.ndarray:
    """Each coefficient over the root mean square of its ring: the picture's spectrum is flattened.

    Args:
        coefficients: (channels, waves).

    Returns:
        (channels, waves); zero in rings that hold nothing but the rounding of 32-bit numbers.
    """
    count = np.bincount(waves.ring)
    energy = np.stack([np.bincount(waves.ring, channel * channel) for channel in coefficients]) / np.maximum(count, 1)
    scale = np.where(energy > _ROUNDING, 1 / np.sqrt(np.maximum(energy, _ROUNDING)), 0)
    return coefficients * scale[:, waves.ring]


@dataclass(frozen=True)
class Window:
    """Where in the original frame the pixels lie: shares of its height and width.

    The original frame is [0, 1] x [0, 1]; the image shows [top, top + height] x [left, left + width] of it, after a
    turn by ``angle_deg``.
    """

    height: float = 1.0
    width: float = 1.0
    top: float = 0.0
    left: float = 0.0
    angle_deg: float = 0.0


FULL = Window()


def presence_features(frame: np.ndarray, window: Window = FULL) -> np.ndarray:
    """The evened coefficients of the waves that no flip or quarter turn changes; those of luma as strong as the mark's.

    Args:
        frame: (channels, SIDE, SIDE), whitened.

    Returns:
        (channels, waves) float64.
    """
    down = cosines_of(window.top, window.height)[_EVEN]
    across = cosines_of(window.left, window.width)[_EVEN]
    square = down @ frame @ across.T
    row, column = PRESENCE.k // 2, PRESENCE.l // 2
    features = evened((square[:, row, column] + square[:, column, row]).astype(np.float64), PRESENCE)
    features[0] *= AMPLITUDE[PRESENCE.k, PRESENCE.l]
    return features


def cosines_of(start: float, extent: float) -> np.ndarray:
    """The waves on the pixels of a normalised frame that shows a part of the original."""
    return cosines(SIDE, start, extent).astype(np.float32)


def reading_parts(coefficients: np.ndarray) -> list[np.ndarray]:
    """The coefficients that each of :data:`READINGS` uses: (..., 3, waves) to four arrays (..., n)."""
    luma, whole = coefficients[..., 0, :], coefficients.shape[:-2]
    colour = coefficients[..., 1:, :].reshape(*whole, -1)
    return [luma, luma[..., PRESENCE.is_low], colour, coefficients.reshape(*whole, -1)]


def presence_log10_p(features: np.ndarray, pattern: Pattern) -> float:
    """log10 of the p-value of the four readings together.

    Args:
        features: (3, waves), of :func:`presence_features`.
        pattern: of the key.
    """
    pairs = zip(reading_parts(features), reading_parts(pattern.presence), strict=True)
    log10_p = min(log10_tail(cosine(feature, direction), feature.size) for feature, direction in pairs)
    return min(0.0, log10_p + math.log10(len(READINGS)))
