"""Monte Carlo light transport in skin: the oracle that the quick models are tested against.

Two programs: plane layers, where photons remember their path through each layer so that one run serves any
absorption (:func:`white_monte_carlo`), and columns of different content side by side, where light crosses from
one to the next (:func:`column_monte_carlo`). Photons start along the normal, scatter by Henyey-Greenstein, meet
one refractive index everywhere in the tissue and leave through its surface (Wang, Jacques & Zheng 1995, Comput
Methods Programs Biomed 47:131). All photons of a batch take a step at a time; lengths are in cm, coefficients
in 1/cm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from synthderm.core import InputError

from .optics import specular_reflectance

_BATCH = 200_000  # photons in flight


class Paths(NamedTuple):
    """Photons that left the tissue.

    Attributes:
        length_cm: (n, L) float32, way of each through each layer.
        below: (n,) bool, whether it left at the bottom.
        launched: photons launched.
        entered: share of the incident light that enters through the surface, 1 - specular reflectance.
    """

    length_cm: torch.Tensor
    below: torch.Tensor
    launched: int
    entered: float


def _fresnel(cosine: torch.Tensor, n_inside: float, n_outside: float) -> torch.Tensor:
    """Reflectance from inside, as :func:`~synthderm.functional.optics.fresnel_reflectance`, for tensors."""
    beyond = (1 - (n_inside / n_outside) ** 2 * (1 - cosine**2)).clamp_min(0).sqrt()
    perpendicular = (n_inside * cosine - n_outside * beyond) / (n_inside * cosine + n_outside * beyond)
    parallel = (n_inside * beyond - n_outside * cosine) / (n_inside * beyond + n_outside * cosine)
    return torch.where(beyond > 0, 0.5 * (perpendicular**2 + parallel**2), torch.ones_like(cosine))


def _to_edge(height: torch.Tensor, uz: torch.Tensor) -> torch.Tensor:
    """Way to an edge ``height`` above or below; infinite for light that runs along it."""
    along = uz.abs() < 1e-7
    return torch.where(along, torch.full_like(uz, math.inf), height / torch.where(along, torch.ones_like(uz), uz))


def _scattering_cosine(g: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Cosine of a Henyey-Greenstein deflection (Wang, Jacques & Zheng 1995)."""
    small = g.abs() < 1e-3
    g = torch.where(small, torch.full_like(g, 1e-3), g)
    cosine = (1 + g**2 - ((1 - g**2) / (1 - g + 2 * g * uniform)) ** 2) / (2 * g)
    return torch.where(small, 2 * uniform - 1, cosine).clamp(-1, 1)


def _check_layers(*lengths: int) -> None:
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise InputError(f"every layer needs a scattering coefficient and a thickness, but got {lengths} of them")


def white_monte_carlo(
    scattering: Sequence[float],
    anisotropy: float,
    thickness: Sequence[float],
    photons: int,
    generator: torch.Generator,
    *,
    n_inside: float = 1.4,
    n_outside: float = 1.0,
    surface_below: bool = True,
    longest_cm: float = 15.0,
) -> Paths:
    """Follow photons through plane layers that do not absorb.

    Args:
        scattering: of each layer from the top down, 1/cm, not reduced.
        anisotropy: mean cosine g of the scattering angle, in (-1, 1).
        thickness: of each layer; the last may be infinite.
        photons: how many are launched.
        generator: of the random numbers.
        n_inside: refractive index of the tissue.
        n_outside: of what surrounds it.
        surface_below: the lowest layer ends at a surface like the upper one; otherwise it lies on matched black.
        longest_cm: photons that have come further are dropped, as if absorbed.

    Raises:
        InputError: if the layers do not match.
    """
    _check_layers(len(scattering), len(thickness))
    layers = len(scattering)
    edges = torch.tensor([0.0, *thickness]).cumsum(0)
    mus, g = torch.tensor(scattering, dtype=torch.float32), torch.tensor(float(anisotropy))
    lengths, sides = [], []

    def uniform(n: int) -> torch.Tensor:
        return torch.rand(n, generator=generator)

    for start in range(0, photons, _BATCH):
        n = min(_BATCH, photons - start)
        z, uz, layer = torch.zeros(n), torch.ones(n), torch.zeros(n, dtype=torch.long)
        path, alive = torch.zeros(n, layers), torch.ones(n, dtype=torch.bool)
        while alive.any():
            if alive.sum() < 0.7 * len(alive):
                z, uz, layer, path = z[alive], uz[alive], layer[alive], path[alive]
                alive = torch.ones(len(z), dtype=torch.bool)
            step = -(1 - uniform(len(z))).log() / mus[layer]
            down = uz > 0
            edge = edges[layer + down]
            to_edge = _to_edge(edge - z, uz)
            hit = to_edge <= step
            step = torch.where(hit, to_edge, step)
            path.scatter_add_(1, layer[:, None], step[:, None])
            z = torch.where(hit, edge, z + uz * step)
            # edges: the surface reflects, a border between layers lets through (the next step is drawn anew)
            beyond = layer + torch.where(down, 1, -1)
            top, bottom = hit & (beyond < 0), hit & (beyond >= layers)
            mirror = (top | bottom) if surface_below else top
            mirror = mirror & (uniform(len(z)) < _fresnel(uz.abs(), n_inside, n_outside))
            left = alive & (top | bottom) & ~mirror
            if left.any():
                lengths.append(path[left])
                sides.append(bottom[left])
            layer = torch.where(hit & ~top & ~bottom, beyond, layer)
            # scattering: only the cosine with the normal matters between plane layers
            cosine = _scattering_cosine(g, uniform(len(z)))
            sine = (1 - cosine**2).sqrt() * (1 - uz**2).clamp_min(0).sqrt()
            turned = uz * cosine - sine * torch.cos(2 * math.pi * uniform(len(z)))
            uz = torch.where(hit, torch.where(mirror, -uz, uz), turned.clamp(-1, 1))
            alive = alive & ~left & (path.sum(1) < longest_cm)
            z, layer = (
                torch.where(left, torch.zeros_like(z), z),
                torch.where(left, torch.zeros_like(layer), layer),
            )
    none = torch.zeros(0, layers)
    return Paths(
        torch.cat([none, *lengths]),
        torch.cat([torch.zeros(0, dtype=torch.bool), *sides]),
        photons,
        1 - specular_reflectance(n_inside, n_outside),
    )


def absorb_paths(paths: Paths, absorption: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reflectance and transmittance for layers that absorb: the mean of exp(-sum mua x path), specular left out.

    Args:
        paths: of :func:`white_monte_carlo`.
        absorption: (..., L), 1/cm.

    Returns:
        Reflectance (...), transmittance (...) and the standard error (...) of the reflectance, float64.
    """
    absorption = absorption.double()
    weights = torch.exp(-(absorption @ paths.length_cm.T.double()))  # (..., n)
    reflected = weights * ~paths.below
    mean = reflected.sum(-1) / paths.launched
    variance = (reflected**2).sum(-1) / paths.launched - mean**2
    transmitted = (weights * paths.below).sum(-1) / paths.launched
    error = (variance / paths.launched).sqrt()
    return paths.entered * mean, paths.entered * transmitted, paths.entered * error


def _turn(direction: torch.Tensor, cosine: torch.Tensor, azimuth: torch.Tensor) -> torch.Tensor:
    """Directions (3, n) after a deflection (Wang, Jacques & Zheng 1995)."""
    ux, uy, uz = direction
    sine = (1 - cosine**2).clamp_min(0).sqrt()
    across, along = sine * torch.cos(azimuth), sine * torch.sin(azimuth)
    flat = (1 - uz**2).clamp_min(1e-8).sqrt()
    upright = uz.abs() > 0.9999
    turned = torch.stack([
        torch.where(upright, across, (across * ux * uz - along * uy) / flat + ux * cosine),
        torch.where(upright, along, (across * uy * uz + along * ux) / flat + uy * cosine),
        torch.where(upright, cosine * uz.sign(), uz * cosine - across * flat),
    ])  # fmt: skip
    return turned / turned.norm(dim=0)


def column_monte_carlo(
    columns: torch.Tensor,
    absorption: torch.Tensor,
    scattering: torch.Tensor,
    anisotropy: torch.Tensor,
    thickness: Sequence[float],
    pixel_cm: float,
    photons: int,
    generator: torch.Generator,
    *,
    n_inside: float = 1.4,
    n_outside: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Light in a tile of skin whose pixels stand on columns of different content; the tile repeats for ever.

    Absorption differs from column to column and layer to layer, scattering from layer to layer. Steps are drawn
    from the largest extinction of a layer (Woodcock et al. 1965), which is exact for columns with sharp sides.
    The tile is lit evenly along the normal and seen from above; what reaches the bottom is lost.

    Args:
        columns: (H, W) int64, the kind of column under each pixel.
        absorption: (C, K, L), 1/cm, for C wavelengths, K kinds of column and L layers.
        scattering: (C, L), 1/cm, not reduced.
        anisotropy: (C,).
        thickness: (L,) finite.
        pixel_cm: side of a pixel.
        photons: how many are launched, spread evenly over wavelengths.
        generator: of the random numbers.
        n_inside: refractive index of the tissue.
        n_outside: of what lies above.

    Returns:
        Diffuse reflectance (C, H, W), specular left out, and its standard error, float64.

    Raises:
        InputError: if shapes do not match.
    """
    channels, kinds, layers = absorption.shape
    _check_layers(layers, scattering.shape[1], len(thickness))
    if scattering.shape[0] != channels or anisotropy.shape != (channels,) or int(columns.max()) >= kinds:
        raise InputError(
            f"absorption {tuple(absorption.shape)}, scattering {tuple(scattering.shape)}, anisotropy "
            f"{tuple(anisotropy.shape)} and columns up to {int(columns.max())} do not belong together"
        )
    height, width = columns.shape
    extinction = scattering + absorption.amax(1)  # (C, L)
    absorbed = (absorption.transpose(1, 2) / extinction[..., None]).float().flatten()  # per tentative collision
    real = (scattering[:, :, None] / (extinction[..., None] - absorption.transpose(1, 2))).float().flatten()
    extinction, anisotropy = extinction.float().flatten(), anisotropy.float()
    edges = torch.tensor([0.0, *thickness]).cumsum(0)
    kind_of = columns.flatten()
    total = torch.zeros(channels * height * width, dtype=torch.float64)
    squares = torch.zeros_like(total)
    entered = 1 - specular_reflectance(n_inside, n_outside)

    def uniform(n: int) -> torch.Tensor:
        return torch.rand(n, generator=generator)

    for start in range(0, photons, _BATCH):
        n = min(_BATCH, photons - start)
        position = torch.stack([uniform(n) * width, uniform(n) * height, torch.zeros(n)])  # pixels, pixels, cm
        direction = torch.tensor([0.0, 0.0, 1.0])[:, None].repeat(1, n)
        weight = torch.full((n,), entered)
        channel = (start + torch.arange(n)) % channels
        layer = torch.zeros(n, dtype=torch.long)
        while len(weight):
            n, uz = len(weight), direction[2]
            spot = channel * layers + layer
            step = -(1 - uniform(n)).log() / extinction[spot]
            down = uz > 0
            edge = edges[layer + down]
            to_edge = _to_edge(edge - position[2], uz)
            hit = to_edge <= step
            step = torch.where(hit, to_edge, step)
            x = torch.remainder(position[0] + direction[0] * step / pixel_cm, width)
            y = torch.remainder(position[1] + direction[1] * step / pixel_cm, height)
            position = torch.stack([x, y, torch.where(hit, edge, position[2] + uz * step)])
            pixel = y.long().clamp_max(height - 1) * width + x.long().clamp_max(width - 1)
            # edges
            beyond = layer + torch.where(down, 1, -1)
            top, bottom = hit & (beyond < 0), hit & (beyond >= layers)
            mirror = top & (uniform(n) < _fresnel(uz.abs(), n_inside, n_outside))
            left = top & ~mirror
            at = (channel * height * width + pixel)[left]
            total.index_add_(0, at, weight[left].double())
            squares.index_add_(0, at, weight[left].double() ** 2)
            layer = torch.where(hit & ~top & ~bottom, beyond, layer)
            # collisions: part of the weight is absorbed, the rest scatters or, where the column is clear, goes on
            entry = spot * kinds + kind_of[pixel]
            weight = torch.where(hit, weight, weight * (1 - absorbed[entry]))
            scatters = ~hit & (uniform(n) < real[entry])
            cosine = _scattering_cosine(anisotropy[channel], uniform(n))
            turned = _turn(direction, cosine, 2 * math.pi * uniform(n))
            direction = torch.where(scatters, turned, direction)
            direction[2] = torch.where(mirror, -uz, direction[2])
            # roulette
            faint = weight < 1e-2
            saved = faint & (uniform(n) < 0.1)
            weight = torch.where(saved, weight * 10, weight)
            keep = ~left & ~bottom & (~faint | saved)
            if not keep.all():
                position, direction = position[:, keep], direction[:, keep]
                weight, channel, layer = weight[keep], channel[keep], layer[keep]
    launched = photons / channels / (height * width)  # per bin
    mean = total / launched
    error = (squares / launched**2 - mean**2 * channels / photons).clamp_min(0).sqrt()
    return mean.view(channels, height, width), error.view(channels, height, width)
