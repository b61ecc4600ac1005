"""Which structures of a scene can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
import torch.nn.functional as F

from synthderm.core import LESION, ParameterValue
from synthderm.functional.color import delta_e_2000, linear_to_lab

from .appearance import local_colour, under_keratin
from .maps import Layer, Tissue, compose
from .transport import lateral_transport

VISIBLE_DELTA_E = 2.0
"""Least CIEDE2000 between a structure's pixels with and without it for the structure to count as visible."""

GRID = 128
"""Pixels along the side of the grid on which structures are compared, at most twice this."""


def visible_structures(
    skin: Tissue,
    layers: list[Layer],
    placed: dict[str, torch.Tensor],
    values: Mapping[str, ParameterValue],
    mm_per_px: float,
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The visible part of each structure: where leaving it out changes the colour by dE00 2 or more.

    Compared on a grid of about 128 px, without hair, camera or the spread of light in the dermis. Where the largest
    change nearby (3 x 3 grid pixels, which keeps the holes of a network) stays below the limit, the structure is
    left out of its visible mask.

    Args:
        skin: the skin without the lesion.
        layers: of the lesion.
        placed: name -> (H, W) bool, the masks as placed.
        values: scene parameters.
        mm_per_px: scale of the maps.

    Returns:
        name -> (H, W) bool, the visible part; name -> mean CIEDE2000 over the mask as placed (0 if it is empty).
    """
    size = skin.melanin.shape[-1]
    step = max(1, size // GRID)
    whole = compose(skin, layers, step)
    colours = _pixels(whole, values)
    seen = _seen(colours, whole, mm_per_px * step)
    visible, means = {}, {}
    for name, mask in placed.items():
        small = mask[::step, ::step]
        around = F.max_pool2d(small.float()[None, None], 3, 1, 1)[0, 0] > 0
        # the lesion as a whole is compared with bare skin, a structure with the lesion that lacks it
        without = compose(skin, [] if name == LESION else layers, step, skip=name)
        other = _seen(_changed(colours, whole, without, values), without, mm_per_px * step)
        change = torch.zeros_like(seen[0])
        change[around] = delta_e_2000(*(linear_to_lab(rgb[:, around].T) for rgb in (seen, other)))
        means[name] = float(change[small].mean()) if bool(small.any()) else 0.0
        near = F.max_pool2d(change[None, None], 3, 1, 1)
        big = F.interpolate(near, scale_factor=step, mode="nearest")[0, 0, :size, :size]
        visible[name] = mask & (big >= VISIBLE_DELTA_E)
    return visible, means


def _pixels(tissue: Tissue, values: Mapping[str, ParameterValue]) -> torch.Tensor:
    return local_colour(tissue, (tissue.papillary, tissue.deep, tissue.blood), values)


def _seen(colours: torch.Tensor, tissue: Tissue, mm_per_px: float) -> torch.Tensor:
    return under_keratin(lateral_transport(colours, mm_per_px), tissue.keratin)


def _changed(
    colours: torch.Tensor, whole: Tissue, without: Tissue, values: Mapping[str, ParameterValue]
) -> torch.Tensor:
    """The pixels' colours without one structure: only where the maps differ are they looked up again."""
    differs = torch.zeros_like(whole.melanin, dtype=torch.bool)
    for f in fields(Tissue):
        differs |= getattr(whole, f.name) != getattr(without, f.name)
    part = Tissue(**{f.name: getattr(without, f.name)[differs][None] for f in fields(Tissue)})
    result = colours.clone()
    if part.melanin.numel():
        result[:, differs] = _pixels(part, values)[:, 0]
    return result
