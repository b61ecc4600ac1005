"""Optics of a surface (Fresnel reflection), with the directions in which the layer solver follows light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from synthderm.core import InputError

Array = np.ndarray


def specular_reflectance(n_inside: float = 1.4, n_outside: float = 1.0) -> float:
    """Fresnel reflectance at normal incidence, ((n1 - n2) / (n1 + n2))^2; 0.0278 for skin in air."""
    return ((n_inside - n_outside) / (n_inside + n_outside)) ** 2


def fresnel_reflectance(cosine: Array, n_from: float, n_to: float) -> Array:
    """Reflectance of unpolarised light that meets a surface (Fresnel; Born & Wolf 1999, 1.5.2).

    Args:
        cosine: cosine of the angle of incidence in the medium ``n_from``, any shape, in [0, 1].
        n_from: refractive index of the medium the light comes from.
        n_to: refractive index of the medium beyond.

    Returns:
        Reflectance in [0, 1] of the same shape; 1 beyond the critical angle.
    """
    cosine = np.asarray(cosine, float)
    sine_squared = (n_from / n_to) ** 2 * (1 - cosine**2)
    beyond = np.sqrt(np.clip(1 - sine_squared, 0, None))
    with np.errstate(invalid="ignore"):
        perpendicular = (n_from * cosine - n_to * beyond) / (n_from * cosine + n_to * beyond)
        parallel = (n_from * beyond - n_to * cosine) / (n_from * beyond + n_to * cosine)
    return np.where(sine_squared < 1, 0.5 * (perpendicular**2 + parallel**2), 1.0)


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Directions in which the solver follows the light, for each hemisphere.

    Attributes:
        cosines: (N,) cosines with the surface normal in (0, 1], ascending; the last is 1.
        weights: (N,) weights; they sum to 1.
        polynomials: (N, N) Legendre polynomials, order by direction.
        n_inside, n_outside: refractive indices of the tissue and of what surrounds it.
    """

    cosines: Array
    weights: Array
    polynomials: Array
    n_inside: float
    n_outside: float

    @property
    def streams(self) -> int:
        """Number of directions in a hemisphere."""
        return len(self.cosines)


def _gauss(n: int, low: float, high: float) -> tuple[Array, Array]:
    x, w = legendre.leggauss(n)
    return 0.5 * (high - low) * x + 0.5 * (high + low), 0.5 * (high - low) * w


def _radau_right(n: int, low: float, high: float) -> tuple[Array, Array]:
    """Gauss-Radau on (low, high], ``high`` a node: nodes and weights (Abramowitz & Stegun 25.4.31, mirrored)."""
    unit = np.eye(n + 1)
    x = np.sort(np.real(legendre.legroots(unit[n - 1] + unit[n])))  # the first is -1
    w = (1 - x) / (n * legendre.legval(x, unit[n - 1])) ** 2
    x[0], w[0] = -1, 2 / n**2
    x, w = -x[::-1], w[::-1]
    return 0.5 * (high - low) * x + 0.5 * (high + low), 0.5 * (high - low) * w


@lru_cache(maxsize=32)
def quadrature(streams: int = 8, n_inside: float = 1.4, n_outside: float = 1.0) -> Quadrature:
    """The directions of the solver (Prahl, van Gemert & Welch 1993, Appl Opt 32:559, section 2.B).

    Gauss nodes between the surface and the critical angle, right Gauss-Radau nodes from there to the normal:
    no interval holds the kink of total reflection, and normal incidence is a node.

    Args:
        streams: directions in a hemisphere; an even number of at least 4.
        n_inside: refractive index of the tissue, at least ``n_outside``.
        n_outside: refractive index of what surrounds it.

    Raises:
        InputError: if ``streams`` or the indices cannot be used.
    """
    if streams < 4 or streams % 2:
        raise InputError(f"streams must be an even number of at least 4, but got {streams}")
    if not n_inside >= n_outside >= 1:
        raise InputError(f"n_inside >= n_outside >= 1 is needed, but got {n_inside:g} and {n_outside:g}")
    if n_inside > n_outside:
        critical = math.sqrt(1 - (n_outside / n_inside) ** 2)
        flat, steep = _gauss(streams // 2, 0.0, critical), _radau_right(streams // 2, critical, 1.0)
        cosines, weights = (np.concatenate(pair) for pair in zip(flat, steep, strict=True))
    else:
        cosines, weights = _radau_right(streams, 0.0, 1.0)
    polynomials = np.stack([legendre.legval(cosines, unit) for unit in np.eye(streams)])
    return Quadrature(cosines, weights, polynomials, n_inside, n_outside)
