"""Random textures that look the same at every resolution: band-limited noise and a bank of cells."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

PERIOD = 1.37
"""Period of the noise in units; above 1, so that opposite edges of an image do not repeat."""

CELLS = 48
"""Cells along one side of the periodic cell bank."""

_PX_PER_CELL = 20


@lru_cache(maxsize=32)
def _waves(
    size: int, top: int, unit: float, centre: tuple[float, float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """exp(2 pi i f y) for f = -top..top, then the real and imaginary parts for f = 0..top, at pixel centres."""
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
    x, y = ((at - c) / unit / PERIOD * (2 * math.pi) for c in centre)
    phase = (y[:, None] * torch.arange(-top, top + 1, dtype=torch.float64)).float()
    half = (x[:, None] * torch.arange(0, top + 1, dtype=torch.float64)).float()
    return torch.complex(phase.cos(), phase.sin()), half.cos().T.contiguous(), half.sin().T.contiguous()


@lru_cache(maxsize=256)
def _amplitudes(low: float, high: float, slope: float) -> torch.Tensor:
    """Amplitude of each wave so that the field has variance 1; (2 top + 1, top + 1)."""
    top = max(1, math.ceil(high * PERIOD))
    fy = torch.arange(-top, top + 1)[:, None] / PERIOD
    fx = torch.arange(0, top + 1)[None] / PERIOD
    f = (fy**2 + fx**2).sqrt()
    amplitude = torch.where((f >= low) & (f <= high), f.clamp_min(1e-6) ** -slope, torch.zeros_like(f))
    # a wave with complex normal coefficient of unit variance per part has variance 1 (real part kept)
    return amplitude / amplitude.pow(2).sum().sqrt()


def noise(
    rng: np.random.Generator,
    size: int,
    low: float,
    high: float,
    slope: float = 1.0,
    unit: float = 1.0,
    centre: tuple[float, float] = (0.0, 0.0),
) -> torch.Tensor:
    """A Gaussian random field of zero mean and unit variance, (size, size) float32.

    A sum of plane waves with normal coefficients, evaluated at the pixel centres by two matrix products
    (spectral representation: Shinozuka & Deodatis 1991, Appl Mech Rev 44:191). The draws depend on the
    band alone, so one stream gives the same pattern at every ``size``.

    Args:
        rng: the stream to draw from; ``(2 top + 1)(top + 1)`` pairs with ``top = ceil(high * PERIOD)``.
        size: side in px.
        low, high: band in cycles per unit, 0 < low < high.
        slope: amplitudes fall as f**-slope (1 is "pink" in two dimensions, 0 is white).
        unit: length of the unit in image widths; a field that belongs to a lesion takes its diameter.
        centre: x and y of the point that the pattern is fixed to, in image widths from the middle.
    """
    amplitude = _amplitudes(low, high, slope)
    draws = torch.from_numpy(rng.standard_normal((2, *amplitude.shape), dtype=np.float32))
    top = amplitude.shape[1] - 1
    whole = max(8, 1 << (top - 1).bit_length())  # one table serves all bands of a pattern
    y, x_cos, x_sin = _waves(size, whole, unit, centre)
    rows = y[:, whole - top : whole + top + 1] @ torch.complex(draws[0] * amplitude, draws[1] * amplitude)
    return rows.real @ x_cos[: top + 1] - rows.imag @ x_sin[: top + 1]


@lru_cache(maxsize=2)
def _cell_bank(honeycomb: bool) -> torch.Tensor:
    """Worley noise (Worley 1996) on a torus of CELLS x CELLS cells: (3, S, S) = F1, F2 - F1, random id.

    Distances are in cells. One fixed table: an image takes its own window, angle, scale and warp of it. A honeycomb
    has every second row shifted by half a cell and its points strewn over less than half of their cell.
    """
    jitter, shift = (0.45, 0.5) if honeycomb else (0.9, 0.0)
    rng = np.random.Generator(np.random.Philox(key=1996))
    points = torch.from_numpy(rng.random((3, CELLS, CELLS), dtype=np.float32))
    side = CELLS * _PX_PER_CELL
    at = (torch.arange(side) + 0.5) / _PX_PER_CELL
    cell = at.floor().long()
    first = torch.full((side, side), 9.0)
    second = first.clone()
    name = torch.zeros(side, side)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            iy, ix = (cell + dy) % CELLS, (cell + dx) % CELLS
            py = (points[0][iy][:, ix] - 0.5) * jitter + 0.5 + (cell + dy)[:, None] - at[:, None]
            px = (points[1][iy][:, ix] - 0.5) * jitter + 0.5 + (cell + dx)[None] - at[None]
            px = px + (shift * (iy % 2))[:, None]
            distance = py * py + px * px
            name = torch.where(distance < first, points[2][iy][:, ix], name)
            second = torch.minimum(second, torch.maximum(first, distance))
            first = torch.minimum(first, distance)
    first, second = first.sqrt(), second.sqrt()
    return torch.stack([first, second - first, name])


@lru_cache(maxsize=2)
def _padded_bank(honeycomb: bool) -> torch.Tensor:
    return F.pad(_cell_bank(honeycomb)[None], (1, 1, 1, 1), mode="circular")[0]


def cells(
    rng: np.random.Generator, x: torch.Tensor, y: torch.Tensor, sharp_id: bool = True, honeycomb: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cellular noise at coordinates in cell units: each call takes a window and an angle of its own.

    Args:
        rng: draws the window and the angle (3 numbers).
        x, y: (H, W) coordinates, in cells (one point per unit square on average).
        sharp_id: give the id of the nearest cell; False skips the look-up and returns the distances twice
            cheaper, with an id of zeros.
        honeycomb: cells of nearly equal size in staggered rows.

    Returns:
        F1 (distance to the nearest point), F2 - F1 (0 on the walls between cells), id in [0, 1) of the nearest
        point; each (H, W), distances in cells.
    """
    angle, shift_x, shift_y = rng.random(3) * (2 * math.pi, CELLS, CELLS)
    cos, sin = math.cos(angle), math.sin(angle)
    u = (cos * x - sin * y + shift_x) % CELLS
    v = (sin * x + cos * y + shift_y) % CELLS
    bank = _padded_bank(honeycomb)
    side = bank.shape[-1]
    # pixel centre i of the bank lies at (i - 1 + 0.5) / _PX_PER_CELL cells (one px of circular padding)
    px = u * _PX_PER_CELL + 0.5
    py = v * _PX_PER_CELL + 0.5
    grid = torch.stack([px, py], -1)[None] * (2 / (side - 1)) - 1
    channels = bank[:2]
    distances = F.grid_sample(channels[None], grid, align_corners=True, mode="bilinear")[0]
    if not sharp_id:
        return distances[0], distances[1], torch.zeros_like(x)
    flat = (py.round().long() * side + px.round().long()).reshape(-1)
    return distances[0], distances[1], bank[2].reshape(-1)[flat].view_as(x)
