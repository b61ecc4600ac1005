"""Skin colour per pixel: the layer solver baked into a table of spectra and read back by interpolation.

The table holds the reflectance spectrum, specular component excluded (SCE: what a camera sees through crossed
polarisers), of every node of a grid of mixtures. For one lamp and oxygenation it shrinks to XYZ on four axes,
and maps of melanin and blood become colour by linear interpolation of the cube root (close to lightness, so that
the error is close to even in dE).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.core.checks import check_range
from synthderm.functional.adding import add_below, cover, cover_reflectance, layer_operators
from synthderm.functional.color import XYZ_TO_LINEAR_SRGB
from synthderm.functional.optics import quadrature

from . import tissue
from .spectra import spectrum_to_xyz_matrix, standard_spectra
from .table_file import cache_folder, read_table, write_table

_VERSION = "1"  # of the solver and of the file; a new one makes new files
_DARKEST = 1e-4  # least linear sRGB handed out: blood lakes leave the gamut, and logarithms follow


def _log_axis(low: float, high: float, n: int) -> np.ndarray:
    return np.exp(np.linspace(math.log(low), math.log(high), n))


def _zero_and_log_axis(low: float, high: float, n: int) -> np.ndarray:
    return np.concatenate([[0.0], _log_axis(low, high, n - 1)])


@dataclass(frozen=True, eq=False)
class Axes:
    """Nodes of the table.

    Attributes:
        melanin: melanosome fraction of the epidermis, evenly spaced in the logarithm.
        papillary_melanin, deep_melanin: of the two dermal layers; 0, then evenly spaced in the logarithm.
        blood: mean blood fraction of the dermis, evenly spaced in the logarithm.
        oxygenation: any ascending values.
    """

    melanin: np.ndarray
    papillary_melanin: np.ndarray
    deep_melanin: np.ndarray
    blood: np.ndarray
    oxygenation: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes on each axis, in the order of the attributes."""
        return tuple(len(getattr(self, f.name)) for f in fields(self))


AXES = Axes(
    melanin=_log_axis(0.002, 0.6, 22),
    papillary_melanin=_zero_and_log_axis(4e-4, 0.15, 10),
    deep_melanin=_zero_and_log_axis(4e-4, 0.15, 8),
    blood=_log_axis(5e-4, 0.9, 16),
    oxygenation=np.array([0.25, 0.55, 0.8, 0.95]),
)


def bake(axes: Axes = AXES, streams: int = 8) -> np.ndarray:
    """Reflectance (melanin, papillary, deep, blood, oxygenation, 31), float32, of every node.

    Layers are independent, so that each is solved once per own content; only joining the top layer to what
    lies below runs over the whole grid.
    """
    spectra = standard_spectra()
    directions = quadrature(streams, tissue.REFRACTIVE_INDEX)
    g = tissue.anisotropy(spectra.wavelength_nm)
    scattering = tissue.scattering_coefficients()
    blood, oxygenation = axes.blood[:, None], axes.oxygenation

    def solve(index: int, absorption: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return layer_operators(absorption, scattering[index], g, tissue.THICKNESS_CM[index], directions)

    def dermis(index: int, melanin: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        return solve(index, tissue.dermis_absorption(index, blood, oxygenation, melanin))

    base, _ = dermis(4)  # (blood, oxygenation, 31, N, N)
    base = add_below(*dermis(3), base)
    base = add_below(*dermis(2, axes.deep_melanin[:, None, None]), base)
    papillary = dermis(1, axes.papillary_melanin[:, None, None])
    epidermis = solve(0, tissue.epidermis_absorption(axes.melanin))
    table = np.empty((*axes.shape, len(spectra.wavelength_nm)), np.float32)
    tops = [cover(r, t, directions) for r, t in zip(*epidermis, strict=True)]
    for j, (reflection, transmission) in enumerate(zip(*papillary, strict=True)):
        below = add_below(reflection, transmission, base)
        for i, top in enumerate(tops):
            table[i, j] = cover_reflectance(top, below)
    return table


def physics_hash(axes: Axes = AXES, streams: int = 8) -> str:
    """Sixteen hexadecimal digits that change with anything the table is computed from."""
    digest = hashlib.sha256(f"{_VERSION} {streams} {tissue.REFRACTIVE_INDEX} {tissue.THICKNESS_CM}".encode())
    spectra = standard_spectra()
    inputs = [getattr(axes, f.name) for f in fields(axes)]
    inputs += [spectra.wavelength_nm, tissue.anisotropy(spectra.wavelength_nm)]
    inputs += tissue.scattering_coefficients()
    inputs += tissue.layer_absorption(0.1, 0.05, 0.7, papillary_melanin=0.02, deep_melanin=0.01)
    for values in inputs:
        digest.update(np.round(values, 9).astype("<f8").tobytes())
    return digest.hexdigest()[:16]


def _coordinate(values: torch.Tensor, axis: np.ndarray) -> torch.Tensor:
    """Position on an axis in nodes, clamped to its ends; below its first node above 0 an axis is linear."""
    start = int(axis[0] == 0)
    low, step = float(axis[start]), math.log(axis[-1] / axis[start]) / (len(axis) - 1 - start)
    position = (values.clamp_min(1e-9).log() - math.log(low)) / step + start
    if start:
        position = torch.where(values < low, values / low, position)
    return position.clamp(0, len(axis) - 1)


class SkinColour:
    """Colour of skin under one lamp at one oxygenation; made by :meth:`ColourTable.for_light`.

    Two-dimensional ``grid_sample`` is several times quicker than the three-dimensional one. So blood and papillary
    melanin are the sides of small pictures, one for each node of the other axes, stacked into a tall one; the
    neighbours along the other axes are further channels, to be mixed afterwards.
    """

    def __init__(self, roots: torch.Tensor, axes: Axes) -> None:
        """Take ``roots`` (xyz, deep, melanin, papillary, blood), the cube roots of XYZ at the nodes of ``axes``."""
        self._axes = axes
        by_melanin = torch.cat([roots[:, :, :-1], roots[:, :, 1:]])  # [2 xyz, deep, melanin, papillary, blood]
        by_both = torch.cat([by_melanin[:, :-1], by_melanin[:, 1:]])
        self._shallow = by_melanin[:, 0].flatten(1, 2)[None].contiguous()
        self._deep = by_both.flatten(1, 3)[None].contiguous()

    def _sample(
        self, picture: torch.Tensor, cell: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        """Channels (C, n) of a tall picture at (row, column) of its part number ``cell``."""
        height, width = picture.shape[-2:]
        grid = torch.empty(1, 1, len(row), 2)
        torch.add(column * (2 / (width - 1)), -1, out=grid[0, 0, :, 0])
        row = torch.add(row, cell, alpha=len(self._axes.papillary_melanin))
        torch.add(row * (2 / (height - 1)), -1, out=grid[0, 0, :, 1])
        return torch.nn.functional.grid_sample(picture, grid, align_corners=True)[0, :, 0]

    def _roots(
        self, depth: torch.Tensor, row: torch.Tensor, column: torch.Tensor, level: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cube roots of XYZ (3, n); ``level`` is the position on the axis of deep melanin, None for none of it."""
        steps = len(self._axes.melanin) - 1
        cell = depth.floor().clamp_max_(steps - 1)
        if level is None:
            near, far = self._sample(self._shallow, cell, row, column).chunk(2)
            return torch.lerp(near, far, depth - cell)
        lower = level.floor().clamp_max_(len(self._axes.deep_melanin) - 2)
        both = self._sample(self._deep, torch.add(cell, lower, alpha=steps), row, column)
        near, far = torch.lerp(*both.chunk(2), level - lower).chunk(2)
        return torch.lerp(near, far, depth - cell)

    def __call__(
        self,
        melanin: torch.Tensor,
        papillary_melanin: torch.Tensor,
        deep_melanin: torch.Tensor,
        blood: torch.Tensor,
    ) -> torch.Tensor:
        """Linear sRGB (3, H, W) of the maps, white-balanced; light is not yet spread sideways.

        Args:
            melanin: (H, W) float32, melanosome fraction of the epidermis, 0.002-0.6.
            papillary_melanin: (H, W) of the papillary dermis, 0-0.15.
            deep_melanin: (H, W) of the mid dermis, 0-0.15.
            blood: (H, W) mean blood fraction of the dermis, 0.0005-0.9. Values beyond a range count as its end.

        Returns:
            Values of at least 1e-4 (colours outside sRGB are clipped there); at most about 0.8.

        Raises:
            InputError: if the maps differ in shape.
        """
        maps = (melanin, papillary_melanin, deep_melanin, blood)
        if melanin.ndim != 2 or any(m.shape != melanin.shape for m in maps):
            raise InputError(f"the four maps must have one shape (H, W), but got {[tuple(m.shape) for m in maps]}")
        axes, shape = self._axes, melanin.shape
        melanin, papillary, deep, blood = (m.reshape(-1).float() for m in maps)
        depth, column = _coordinate(melanin, axes.melanin), _coordinate(blood, axes.blood)
        row = _coordinate(papillary, axes.papillary_melanin)
        where = (deep > 0).nonzero()[:, 0]
        if len(where) < 0.7 * len(deep):
            roots = self._roots(depth, row, column)
            if len(where):
                level = _coordinate(deep[where], axes.deep_melanin)
                roots[:, where] = self._roots(depth[where], row[where], column[where], level)
        else:
            roots = self._roots(depth, row, column, _coordinate(deep, axes.deep_melanin))
        x, y, z = roots * roots * roots
        rgb = [x * to_x + y * to_y + z * to_z for to_x, to_y, to_z in XYZ_TO_LINEAR_SRGB]
        return torch.stack(rgb).clamp_min_(_DARKEST).view(3, *shape)


class ColourTable:
    """The table of spectra; :func:`colour_table` gives the one that all scenes share."""

    def __init__(self, reflectance: np.ndarray, axes: Axes = AXES) -> None:
        """Take the spectra of :func:`bake` on ``axes``."""
        if reflectance.shape[:-1] != axes.shape:
            raise InputError(f"the table must have shape {axes.shape} + (31,), but got {reflectance.shape}")
        self.reflectance = reflectance
        self.axes = axes
        self._roots = lru_cache(maxsize=8)(self._reduce)
        self._light = lru_cache(maxsize=32)(self._make_light)

    @classmethod
    def load(cls) -> ColourTable:
        """Read the table from :func:`cache_folder`; make it (seconds) and keep it there if there is none.

        Where the folder is not writable the table lives in memory only, with a warning.
        """
        path = cache_folder() / f"colour_table-{physics_hash()}.safetensors"
        table = read_table(path, (*AXES.shape, 31))
        if table is None:
            table = bake()
            write_table(path, table)
        return cls(table)

    def _reduce(self, illuminant: str) -> torch.Tensor:
        """Cube roots of white-balanced XYZ, (melanin, papillary, deep, blood, oxygenation, 3)."""
        matrix = spectrum_to_xyz_matrix(illuminant).astype(np.float32)
        return torch.from_numpy(np.cbrt(np.maximum(self.reflectance @ matrix, 0)))

    def _make_light(self, illuminant: str, oxygenation: float) -> SkinColour:
        nodes = self.axes.oxygenation
        i = int(np.clip(np.searchsorted(nodes, oxygenation) - 1, 0, len(nodes) - 2))
        share = (oxygenation - nodes[i]) / (nodes[i + 1] - nodes[i])
        roots = self._roots(illuminant)
        roots = torch.lerp(roots[..., i, :], roots[..., i + 1, :], float(share))
        return SkinColour(roots.permute(4, 2, 0, 1, 3), self.axes)  # => [xyz, deep, melanin, papillary, blood]

    def for_light(self, illuminant: str = "D65", oxygenation: float = 0.75) -> SkinColour:
        """Colour of skin under one lamp.

        Args:
            illuminant: one of :data:`~synthderm.simulator.spectra.ILLUMINANTS`.
            oxygenation: of the blood, 0.25-0.95.

        Raises:
            InputError: for an unknown lamp or an oxygenation outside the table.
        """
        nodes = self.axes.oxygenation
        check_range("oxygenation", oxygenation, float(nodes[0]), float(nodes[-1]))
        return self._light(illuminant, float(oxygenation))


@lru_cache(maxsize=1)
def colour_table() -> ColourTable:
    """The shared table: read or made once in a process."""
    return ColourTable.load()
