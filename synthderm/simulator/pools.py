"""Colour of blood that lies in spaces: lagoons and dilated vessels under a thin epidermis.

The chromophore table mixes blood evenly into the dermis, as capillaries do. A lake of blood is another thing: no
packaging, no collagen, and close to the surface. Its colour comes from a stack of its own: thin epidermis, whole
blood, dermis.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from synthderm.functional.adding import add_below, cover, cover_reflectance, layer_operators
from synthderm.functional.color import XYZ_TO_LINEAR_SRGB
from synthderm.functional.optics import quadrature

from . import tissue
from .spectra import spectrum_to_xyz_matrix, standard_spectra

EPIDERMIS_UM = 40.0
"""Thickness of the epidermis over a lake; that of the table is 80 um, so its melanin load is halved."""

MELANIN = np.geomspace(0.002, 0.6, 12)
DEPTH_MM = np.array([0.03, 0.1, 0.3, 1.0])
OXYGENATION = np.array([0.25, 0.6, 0.95])
_STREAMS = 8


def blood_scattering(wavelength_nm: np.ndarray) -> np.ndarray:
    """Reduced scattering of whole blood, 22 (l/500)^-0.66 per cm (Jacques 2013, table 2)."""
    return 22.0 * (wavelength_nm / 500) ** -0.66


@lru_cache(maxsize=1)
def pool_spectra() -> np.ndarray:
    """Diffuse reflectance (melanin, depth, oxygenation, 31) of a lake of whole blood."""
    spectra = standard_spectra()
    wavelength = spectra.wavelength_nm
    g = tissue.anisotropy(wavelength)
    directions = quadrature(_STREAMS, tissue.REFRACTIVE_INDEX)
    scattering = tissue.scattering_coefficients()
    share = OXYGENATION[:, None]
    extinction = share * spectra.oxyhaemoglobin + (1 - share) * spectra.deoxyhaemoglobin
    whole = 2.303 * 150 / 64500 * extinction  # Prahl, OMLC: 150 g/l
    below, _ = layer_operators(
        tissue.dermis_absorption(3, np.array(0.02), np.array(0.75)),
        scattering[3],
        g,
        tissue.THICKNESS_CM[3],
        directions,
    )
    lakes = layer_operators(whole, blood_scattering(wavelength) / (1 - g), g, DEPTH_MM[:, None, None] / 10, directions)
    base = add_below(*lakes, below)  # (depth, oxygenation, 31, N, N)
    epidermis = layer_operators(tissue.epidermis_absorption(MELANIN), scattering[0], g, EPIDERMIS_UM * 1e-4, directions)
    return np.stack([cover_reflectance(cover(r, t, directions), base) for r, t in zip(*epidermis, strict=True)])


@lru_cache(maxsize=64)
def _roots(illuminant: str, oxygenation: float) -> torch.Tensor:
    """Cube roots of XYZ, (1, 3, melanin, depth)."""
    xyz = np.cbrt(np.maximum(pool_spectra() @ spectrum_to_xyz_matrix(illuminant), 0))
    position = float(np.interp(oxygenation, OXYGENATION, np.arange(len(OXYGENATION))))
    low = min(int(position), len(OXYGENATION) - 2)
    mixed = xyz[:, :, low] + (position - low) * (xyz[:, :, low + 1] - xyz[:, :, low])
    return torch.from_numpy(mixed).float().permute(2, 0, 1)[None].contiguous()


def pool_colour(melanin: torch.Tensor, depth_mm: torch.Tensor, illuminant: str, oxygenation: float) -> torch.Tensor:
    """Linear sRGB (3, P) of lakes of blood, white-balanced, surface reflection excluded.

    Args:
        melanin: (P,) melanosome fraction of the epidermis above, 0.002-0.6.
        depth_mm: (P,) thickness of the lake, 0.03-1 mm.
        illuminant: one of :data:`~synthderm.simulator.spectra.ILLUMINANTS`.
        oxygenation: 0.25-0.95; high is red, low is purple.
    """
    low, high = float(np.log(MELANIN[0])), float(np.log(MELANIN[-1]))
    row = (melanin.log() - low) / (high - low)
    # depths are all but evenly spaced in the logarithm
    column = (depth_mm.log() - float(np.log(DEPTH_MM[0]))) / float(np.log(DEPTH_MM[-1] / DEPTH_MM[0]))
    grid = torch.stack([column * 2 - 1, row * 2 - 1], -1)[None, None]
    roots = torch.nn.functional.grid_sample(
        _roots(illuminant, round(oxygenation, 2)), grid, padding_mode="border", align_corners=True
    )[0, :, 0]
    return (torch.tensor(XYZ_TO_LINEAR_SRGB) @ roots**3).clamp_min(1e-4)
