"""Light in a stack of turbid layers: discrete ordinates in closed form, joined by the adding method.

Radiance in N directions of a hemisphere is a vector; a layer is a pair of matrices that say what it reflects
and what it lets through. Everything is batched over leading dimensions (wavelengths, mixtures) and is float64
numpy. The layers have no end sideways: light that spreads from one place to another is not in this model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from synthderm.core import InputError

from .optics import Array, Quadrature, fresnel_reflectance, quadrature, specular_reflectance

Illumination = Literal["collimated", "diffuse"]


class Slab(NamedTuple):
    """What a slab does to radiance, (..., N, N) each; the surface of the tissue is not part of it."""

    reflection: Array
    """Light from above, sent back up."""
    transmission: Array
    """Light from above, sent on down."""
    reflection_below: Array
    """Light from below, sent back down."""
    transmission_up: Array
    """Light from below, sent on up."""


def _transpose(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def _right_divide(numerator: Array, denominator: Array) -> Array:
    """Matrix product of the numerator and the inverse of the denominator."""
    return _transpose(np.linalg.solve(_transpose(denominator), _transpose(numerator)))


def layer_operators(
    absorption: Array, scattering: Array, anisotropy: Array, thickness: Array, directions: Quadrature
) -> tuple[Array, Array]:
    """Reflection and transmission of one homogeneous layer with Henyey-Greenstein scattering.

    The discrete-ordinate equations dI+/dt = -A I+ + B I-, -dI-/dt = -A I- + B I+ (Prahl et al. 1993, Appl
    Opt 32:559) read s' = -(A + B) d, d' = -(A - B) s for the sum s and the difference d of the two. Both sides
    made symmetric, with A + B = M M^T and the eigenvalues k^2 of M^T (A - B) M, the matrices come in closed form
    for any thickness (as Nakajima & Tanaka 1986, JQSRT 35:13, do for atmospheres), also without absorption,
    where one k is 0. The phase function's forward peak counts as not scattered: delta-M, Wiscombe 1977,
    J Atmos Sci 34:1408.

    Args:
        absorption: absorption coefficient, 1/cm, natural logarithm.
        scattering: scattering coefficient (not reduced), 1/cm.
        anisotropy: mean cosine g of the scattering angle, in [0, 1).
        thickness: in cm; may be infinite. All four broadcast to (...).
        directions: from :func:`~synthderm.functional.optics.quadrature`.

    Returns:
        Reflection and transmission, (..., N, N) each: they act on radiance.

    Raises:
        InputError: if a coefficient is negative or the layer neither absorbs nor scatters.
    """
    mu, w, n = directions.cosines, directions.weights, directions.streams
    absorption, scattering, g, thickness = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (absorption, scattering, anisotropy, thickness))
    )
    peak = g**n
    scattering = scattering * (1 - peak)
    extinction = absorption + scattering
    if (absorption < 0).any() or (scattering < 0).any() or (extinction <= 0).any():
        raise InputError("a layer needs absorption >= 0, scattering >= 0 and at least one of them above 0")
    depth = np.minimum(extinction * thickness, 1e9)
    order = np.arange(n)
    moments = (g[..., None] ** order - peak[..., None]) / (1 - peak[..., None])
    moments = (2 * order + 1) * moments * (scattering / extinction)[..., None]
    rows = directions.polynomials * np.sqrt(w)

    def angular(parity: int) -> Array:  # (I - a/2 (H+ +- H-) W) / M, made symmetric
        part = rows[parity::2]
        kernel = (_transpose(part) * moments[..., None, parity::2]) @ part
        return (np.eye(n) - kernel) / np.sqrt(mu[:, None] * mu)

    m = np.linalg.cholesky(angular(1))
    k_squared, u = np.linalg.eigh(_transpose(m) @ angular(0) @ m)
    k = np.sqrt(np.maximum(k_squared, 0))[..., None, :]
    half = 0.5 * depth[..., None, None]
    tanh = np.tanh(k * half)
    tanh_by_k = np.where(k * half > 1e-6, tanh / np.maximum(k, 1e-300), half)
    p, v = m @ u, np.linalg.solve(_transpose(m), u)
    even = _right_divide(p - v * (k * tanh), p + v * (k * tanh))  # R + T
    odd = _right_divide(p * tanh_by_k - v, p * tanh_by_k + v)  # R - T
    scale = np.sqrt(mu * w) / np.sqrt(mu * w)[:, None]
    return 0.5 * (even + odd) * scale, 0.5 * (even - odd) * scale


def add_below(reflection: Array, transmission: Array, base: Array) -> Array:
    """Reflection of a homogeneous layer that lies on something of reflection ``base``, all (..., N, N).

    R + T (1 - Rb R)^-1 Rb T (Plass, Kattawar & Catchings 1973, Appl Opt 12:314).
    """
    identity = np.eye(reflection.shape[-1])
    return reflection + transmission @ np.linalg.solve(identity - base @ reflection, base @ transmission)


def add(upper: Slab, lower: Slab) -> Slab:
    """Two slabs as one, ``upper`` on ``lower`` (Plass, Kattawar & Catchings 1973, Appl Opt 12:314)."""
    identity = np.eye(upper.reflection.shape[-1])
    down = np.linalg.solve(identity - upper.reflection_below @ lower.reflection, upper.transmission)
    up = np.linalg.solve(identity - lower.reflection @ upper.reflection_below, lower.transmission_up)
    return Slab(
        upper.reflection + upper.transmission_up @ lower.reflection @ down,
        lower.transmission @ down,
        lower.reflection_below + lower.transmission @ upper.reflection_below @ up,
        upper.transmission_up @ up,
    )


def _source(directions: Quadrature, illumination: Illumination) -> tuple[Array, Array, Array]:
    """Internal reflectance (N,), radiance (N,) just below the lit surface, weights (N,) of the leaving flux."""
    mu, w = directions.cosines, directions.weights
    n_in, n_out = directions.n_inside, directions.n_outside
    r = fresnel_reflectance(mu, n_in, n_out)
    if illumination == "collimated":
        q = np.zeros_like(mu)
        q[-1] = (1 - specular_reflectance(n_in, n_out)) / (2 * mu[-1] * w[-1])
    elif illumination == "diffuse":
        q = (n_in / n_out) ** 2 * (1 - r)
    else:
        raise InputError(f"illumination must be 'collimated' or 'diffuse', but got {illumination!r}")
    return r, q, 2 * mu * w * (1 - r)


def surface_reflectance(base: Array, directions: Quadrature, illumination: Illumination = "collimated") -> Array:
    """Diffuse reflectance of tissue with its surface; the reflection off the outside (specular) is left out.

    Args:
        base: (..., N, N) reflection of the tissue below the surface.
        directions: the quadrature of ``base``.
        illumination: "collimated" (along the normal) or "diffuse" (a uniform sky), of unit irradiance.

    Returns:
        (...) reflectance in [0, 1], specular component excluded (SCE).
    """
    r, q, leaving = _source(directions, illumination)
    identity = np.eye(directions.streams)
    up = np.linalg.solve(identity - base * r, (base @ q)[..., None])[..., 0]
    return up @ leaving


class Cover(NamedTuple):
    """The surface and the top layer, ready to lie on anything: made by :func:`cover`."""

    own: Array  # (...) reflectance with nothing below
    entering: Array  # (..., N) radiance that reaches the underside
    returned: Array  # (..., N, N) light from below, sent back down
    leaving: Array  # (..., N) flux out of the surface per radiance from below


def cover(
    reflection: Array, transmission: Array, directions: Quadrature, illumination: Illumination = "collimated"
) -> Cover:
    """Join the surface and a homogeneous top layer; cheap to put on many bases."""
    r, q, out = _source(directions, illumination)
    identity = np.eye(directions.streams)
    at_top = np.linalg.solve(identity - reflection * r, np.concatenate([reflection, transmission], -1))
    from_above, from_below = np.split(at_top, 2, -1)  # upward radiance below the surface
    entering = (transmission @ q[:, None] + (transmission * r) @ (from_above @ q[:, None]))[..., 0]
    return Cover((from_above @ q) @ out, entering, reflection + (transmission * r) @ from_below, out @ from_below)


def cover_reflectance(top: Cover, base: Array) -> Array:
    """Diffuse reflectance (...) of a :class:`Cover` on tissue of reflection ``base`` (..., N, N)."""
    identity = np.eye(base.shape[-1])
    down = np.linalg.solve(identity - top.returned @ base, top.entering[..., None])
    up = (base @ down)[..., 0]
    return top.own + (top.leaving * up).sum(-1)


def slab_reflectance_transmittance(
    slab: Slab, directions: Quadrature, illumination: Illumination = "collimated"
) -> tuple[Array, Array]:
    """Diffuse reflectance and total transmittance, (...), of a slab with both surfaces; specular left out."""
    r, q, leaving = _source(directions, illumination)
    identity = np.eye(directions.streams)
    # the lower surface is a mirror of reflection r below the slab
    below = np.linalg.solve(identity - r[:, None] * slab.reflection_below, r[:, None] * slab.transmission)
    base = slab.reflection + slab.transmission_up @ below
    up = np.linalg.solve(identity - base * r, (base @ q)[..., None])[..., 0]
    down_top = q + r * up
    down_bottom = (slab.transmission + slab.reflection_below @ below) @ down_top[..., None]
    return up @ leaving, down_bottom[..., 0] @ leaving


def stack_slab(
    absorption: Sequence[Array],
    scattering: Sequence[Array],
    anisotropy: Array,
    thickness: Sequence[float],
    directions: Quadrature,
) -> Slab:
    """Layers from the top down as one slab without its surfaces."""
    result: Slab | None = None
    for a, s, d in zip(absorption, scattering, thickness, strict=True):
        reflection, transmission = layer_operators(a, s, anisotropy, d, directions)
        layer = Slab(reflection, transmission, reflection, transmission)
        result = layer if result is None else add(result, layer)
    if result is None:
        raise InputError("a stack needs at least one layer, but got none")
    return result


def stack_reflectance(
    absorption: Sequence[Array],
    scattering: Sequence[Array],
    anisotropy: Array,
    thickness: Sequence[float],
    *,
    streams: int = 8,
    n_inside: float = 1.4,
    n_outside: float = 1.0,
    illumination: Illumination = "collimated",
    specular: bool = False,
) -> Array:
    """Reflectance of a stack of layers on black, lit from above.

    Args:
        absorption: one array per layer from the top down, 1/cm; the arrays of all layers broadcast to (...).
        scattering: likewise, 1/cm, not reduced.
        anisotropy: mean cosine of the scattering angle, (...).
        thickness: of each layer, cm; the last may be infinite.
        streams: directions in a hemisphere: 8 for colours (0.1 dE00), 16 for reference.
        n_inside: refractive index of every layer.
        n_outside: of the medium above.
        illumination: "collimated" or "diffuse".
        specular: add the light reflected off the surface (SCI), as a spectrophotometer sees it.

    Returns:
        (...) reflectance in [0, 1].

    Raises:
        InputError: if the layers cannot be used.
    """
    directions = quadrature(streams, n_inside, n_outside)
    base: Array | None = None
    for a, s, d in reversed(list(zip(absorption, scattering, thickness, strict=True))):
        reflection, transmission = layer_operators(a, s, anisotropy, d, directions)
        base = reflection if base is None else add_below(reflection, transmission, base)
    if base is None:
        raise InputError("a stack needs at least one layer, but got none")
    diffuse = surface_reflectance(base, directions, illumination)
    return diffuse + specular_reflectance(n_inside, n_outside) if specular else diffuse
