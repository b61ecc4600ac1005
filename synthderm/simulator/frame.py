"""The frame of one scene: its parameters, random streams, pixel grid and lesion outline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from synthderm.core import ParameterValue, stream
from synthderm.functional.filters import smoothstep
from synthderm.functional.lesion import HARMONICS, star_distance
from synthderm.functional.texture import cells, noise


@lru_cache(maxsize=8)
def _pixel_grid(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    at = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    return x.contiguous(), y.contiguous()


@dataclass(frozen=True)
class Frame:
    """Everything that the layers of a scene share.

    Attributes:
        seed: the image's seed; every pattern has a stream of its own.
        size: side of the image, px.
        values: scene parameters by dotted name.
        skin_melanin: melanosome fraction of the healthy epidermis.
    """

    seed: int
    size: int
    values: Mapping[str, ParameterValue]
    skin_melanin: float = 0.02

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def stream(self, name: str) -> np.random.Generator:
        """The random stream of one pattern."""
        return stream(self.seed, name)

    @property
    def tone_gain(self) -> float:
        """Factor of the lesion's epidermal pigment on this skin: melanocytes of dark skin make more melanin.

        ``1 + lesion.tone_scaling * max(0, melanin - 0.03) / 0.03``: 1 on light skin. Without it (scaling 0) a lesion
        adds the same melanin on every tone, which leaves most nevi invisible on dark skin, as they are not. A modelling
        choice without a measured source.
        """
        return 1 + self["lesion.tone_scaling"] * max(0.0, self.skin_melanin - 0.03) / 0.03

    @property
    def mm_per_px(self) -> float:
        """Size of a pixel on the skin, mm."""
        return self["camera.field_mm"] / self.size

    @property
    def grid(self) -> tuple[torch.Tensor, torch.Tensor]:
        """x and y of the pixel centres, in image widths from the middle; (H, W) each."""
        return _pixel_grid(self.size)

    def mm(self, cell_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
        """x and y of the pixel centres in units of ``cell_mm``."""
        x, y = self.grid
        scale = self["camera.field_mm"] / cell_mm
        return x * scale, y * scale

    def noise(self, name: str, low: float, high: float, slope: float = 1.0) -> torch.Tensor:
        """Noise in cycles per image width (see :func:`~synthderm.functional.texture.noise`)."""
        return noise(self.stream(name), self.size, low, high, slope)

    def noise_mm(self, name: str, low: float, high: float, slope: float = 1.0) -> torch.Tensor:
        """Noise in cycles per mm, cut off at the pixel grid's own limit."""
        field_mm = self["camera.field_mm"]
        top = min(high * field_mm, self.size / 2, 80.0)
        return noise(self.stream(name), self.size, min(low * field_mm, top / 2), top, slope)

    def lesion_noise(self, name: str, low: float, high: float, slope: float = 1.0) -> torch.Tensor:
        """Noise in cycles per lesion diameter, fixed to the lesion: it moves and grows with it."""
        unit = 2 * self["lesion.radius"]
        centre = (self["lesion.offset_x"], self["lesion.offset_y"])
        return noise(self.stream(name), self.size, low, high, slope, unit, centre)

    def cells(
        self, name: str, cell_mm: float, warp: float = 0.0, sharp_id: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cells of ``cell_mm`` (see :func:`~synthderm.functional.texture.cells`), warped by ``warp`` cells."""
        x, y = self.mm(cell_mm)
        if warp:
            x = x + warp * self.noise(f"{name} warp x", 2, 9)
            y = y + warp * self.noise(f"{name} warp y", 2, 9)
        return cells(self.stream(name), x, y, sharp_id)

    # ---- the lesion's outline -------------------------------------------------------------------------

    @cached_property
    def _outline(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng = self.stream("outline")
        x, y = self.grid
        radius = self["lesion.radius"]
        asymmetry, border = self["lesion.asymmetry"], self["lesion.border"]
        u = (x - self["lesion.offset_x"]) / radius
        v = (y - self["lesion.offset_y"]) / radius
        if asymmetry:
            u = u + 0.24 * asymmetry * self.lesion_noise("outline x", 0.5, 3, 1.5)
            v = v + 0.24 * asymmetry * self.lesion_noise("outline y", 0.5, 3, 1.5)
        if border:
            u = u + 0.085 * border * self.lesion_noise("border x", 2.5, 14, 1.2)
            v = v + 0.085 * border * self.lesion_noise("border y", 2.5, 14, 1.2)
        return star_distance(
            u,
            v,
            angle=float(rng.uniform(0, math.pi)),
            elongation=self["lesion.elongation"],
            amplitudes=torch.from_numpy(rng.random(len(HARMONICS))) * torch.tensor(HARMONICS) * (0.3 + asymmetry),
            phases=torch.from_numpy(rng.uniform(0, 2 * math.pi, len(HARMONICS))),
        )

    @property
    def distance(self) -> torch.Tensor:
        """Relative distance to the outline: -1 in the centre, 0 on it; (H, W)."""
        return self._outline[0]

    @property
    def theta(self) -> torch.Tensor:
        """Angle about the lesion's centre, rad; (H, W)."""
        return self._outline[1]

    @cached_property
    def lesion_mask(self) -> torch.Tensor:
        """(H, W) bool: inside the outline, as a clinician would draw it."""
        return self.distance < 0

    @cached_property
    def inside(self) -> torch.Tensor:
        """Occupancy: 1 well inside, falling to 0 over the edge's width across the outline; (H, W)."""
        edge = self["lesion.edge"]
        return 1 - smoothstep(-edge, 0.35 * edge, self.distance)

    @cached_property
    def coarse(self) -> torch.Tensor:
        """Coarse noise of the lesion's colours, fixed to the lesion; (H, W)."""
        return self.lesion_noise("coarse", 0.6, 5, 1.2)

    @cached_property
    def fine(self) -> torch.Tensor:
        """Fine noise of the lesion's colours, fixed to the lesion; (H, W)."""
        return self.lesion_noise("fine", 4, 22, 0.8)
