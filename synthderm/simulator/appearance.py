"""Colour of tissue under white light: layered optics, fibrosis, lakes of blood, spread of light, keratin."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from synthderm.core import ParameterValue

from .colour_table import colour_table
from .maps import Tissue
from .pools import pool_colour
from .transport import lateral_transport, spread_dermis

KERATIN_REFLECTANCE = (0.82, 0.78, 0.70)
"""Red, green and blue diffuse reflectance of a thick layer of keratin: white, a little yellow."""

FIBROSIS_REFLECTANCE = (0.74, 0.67, 0.60)
"""Diffuse reflectance of thick collagen, seen through bloodless tissue."""

EPIDERMIS_DOUBLE_PATH = (8.5, 13.0, 22.0)
"""Absorbance of light that crosses an epidermis of melanosome fraction 1 (80 um) twice, per channel.

``2 * 1.6 * mu_a * d`` with mu_a = 6.6e11 l^-3.33 / cm (Jacques 1998) at 620, 545 and 465 nm and the mean path of
diffuse light, 1.6 times the thickness.
"""


def local_colour(
    tissue: Tissue, dermis: tuple[torch.Tensor, torch.Tensor, torch.Tensor], values: Mapping[str, ParameterValue]
) -> torch.Tensor:
    """Linear sRGB (3, H, W) of each pixel by itself.

    Layered optics, then white fibrous tissue below the epidermis, then lakes of blood.

    Args:
        tissue: the maps.
        dermis: papillary melanin, deep melanin and blood as the light meets them (see
            :func:`~synthderm.simulator.transport.spread_dermis`).
        values: scene parameters; the lamp and the oxygenations are used.
    """
    light, melanin = values["camera.light"], tissue.epidermal
    rgb = colour_table().for_light(light, round(values["skin.oxygenation"], 2))(melanin, *dermis)
    if bool((tissue.fibrosis > 0).any()):
        path = torch.tensor(EPIDERMIS_DOUBLE_PATH).view(3, 1, 1)
        white = torch.tensor(FIBROSIS_REFLECTANCE).view(3, 1, 1) * torch.exp(-path * melanin)
        rgb = torch.lerp(rgb, torch.maximum(rgb, white), tissue.fibrosis)
    where = tissue.pool > 0.01
    if bool(where.any()):
        of_blood = "structure.lagoon_oxygenation" if values["structure.lagoons"] else "skin.oxygenation"
        lakes = pool_colour(melanin[where], tissue.pool_mm[where], light, values[of_blood])
        rgb[:, where] = torch.lerp(rgb[:, where], lakes, tissue.pool[where])
    return rgb


def under_keratin(rgb: torch.Tensor, keratin: torch.Tensor) -> torch.Tensor:
    """Colour (3, H, W) seen through a scattering layer: ``k + (1 - k)^2 R / (1 - k R)``.

    Kubelka 1948, J Opt Soc Am 38:448, for a layer without absorption over a reflector.
    """
    if not bool((keratin > 0).any()):
        return rgb
    k = keratin * torch.tensor(KERATIN_REFLECTANCE).view(3, 1, 1)
    return k + (1 - k) ** 2 * rgb / (1 - k * rgb)


def skin_colour(tissue: Tissue, values: Mapping[str, ParameterValue], mm_per_px: float) -> torch.Tensor:
    """Linear sRGB (3, H, W) of tissue under cross-polarised white light: no surface reflection.

    Light spreads in the dermis, meets each pixel's layers, spreads on its way through the epidermis, then passes
    the keratin on top.
    """
    dermis = spread_dermis(tissue.papillary, tissue.deep, tissue.blood, mm_per_px)
    rgb = lateral_transport(local_colour(tissue, dermis, values), mm_per_px)
    return under_keratin(rgb, tissue.keratin)
