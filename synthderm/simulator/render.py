"""From scene parameters to an image with its masks and maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from synthderm.core import HEALTHY_SKIN, LESION, ParameterValue
from synthderm.functional.filters import gaussian_blur

from . import surface as on_skin
from .appearance import skin_colour
from .frame import Frame
from .maps import Layer, Tissue, compose
from .photo import photograph
from .relief import defocus, height_mm, light_skin
from .skin import Surface, healthy_skin, skin_surface
from .structures import STRUCTURE_MASKS, lesion_layers
from .tissue import ita_to_melanin
from .visibility import visible_structures

MASK_NAMES: tuple[str, ...] = (LESION, HEALTHY_SKIN, "hair", "artefact", *STRUCTURE_MASKS)
"""Every mask that the simulator can write."""


@dataclass(frozen=True)
class Scene:
    """One rendered scene.

    Attributes:
        image: (3, H, W) float32 encoded sRGB in [0, 1].
        masks: name -> (H, W) bool; structures hold their visible part only.
        placed: name -> (H, W) bool, every structure as placed, visible or not.
        delta_e: name -> mean CIEDE2000 inside the structure, with and without it; also of the lesion.
        tissue: the chromophore maps.
        frame, surface: what the height of the surface is computed from, where it is asked for.
        skin_linear: (3,) linear sRGB of the healthy skin under white light, before the camera.
        cast_gains: (3,) gains of red, green and blue over a calibrated exposure; 1 where it is calibrated.
    """

    image: torch.Tensor
    masks: dict[str, torch.Tensor]
    placed: dict[str, torch.Tensor]
    delta_e: dict[str, float]
    tissue: Tissue
    frame: Frame
    surface: Surface
    skin_linear: tuple[float, float, float]
    cast_gains: tuple[float, float, float]

    @cached_property
    def height_mm(self) -> torch.Tensor:
        """Height of the surface, mm, (H, W)."""
        return height_mm(self.frame, self.surface, self.tissue.keratin)


def render(
    seed: int,
    size: int,
    values: Mapping[str, ParameterValue],
    ita_deg: float,
    modality: str,
) -> Scene:
    """Render one scene.

    Args:
        seed: of the image; every pattern draws from a stream of its own.
        size: side of the square image, px.
        values: every scene parameter (:data:`~synthderm.simulator.parameters.SCENE_PARAMETERS`).
        ita_deg: requested tone of the healthy skin.
        modality: "dermoscopy" (contact, cross-polarised) or "clinical" (a photograph under an oblique lamp).
    """
    melanin = ita_to_melanin(ita_deg)
    frame = Frame(seed, size, values, melanin)
    surface = skin_surface(frame)
    skin = healthy_skin(frame, melanin, surface)
    layers = lesion_layers(frame)
    tissue = compose(skin, layers)
    linear = skin_colour(tissue, values, frame.mm_per_px)
    placed = _placed(layers)
    visible, delta_e = visible_structures(skin, layers, placed, values, frame.mm_per_px)

    if modality == "clinical":
        height = height_mm(frame, surface, tissue.keratin)
        linear = light_skin(linear, height, frame)
    else:
        linear = linear + _residual_reflection(frame, surface)
    coverage, shine = on_skin.hair_coverage(frame)
    if frame["artefact.hairs"]:
        linear = on_skin.add_hairs(linear, coverage, shine, frame["artefact.hair_melanin"])
    linear, bubbles = on_skin.add_bubbles(linear, frame)
    linear, ruler = on_skin.add_ruler(linear, frame)
    linear, ink = on_skin.add_ink(linear, frame)
    if modality == "clinical":
        linear = defocus(linear, height, frame)
    light, outside = on_skin.field_of_view(frame)

    artefact = bubbles | ruler | ink | outside
    hair = coverage > 0.35
    healthy = _healthy(frame, hair, artefact)
    image, skin_linear, cast_gains = photograph(linear, light, healthy, frame, ita_deg)
    masks = {LESION: frame.lesion_mask & ~outside, HEALTHY_SKIN: healthy, "hair": hair, "artefact": artefact}
    for name in STRUCTURE_MASKS:
        masks[name] = visible[name] & ~outside if name in visible else torch.zeros_like(hair)
    return Scene(image, masks, placed, delta_e, tissue, frame, surface, skin_linear, cast_gains)


def _placed(layers: list[Layer]) -> dict[str, torch.Tensor]:
    """Union of the masks of the layers of each name."""
    placed: dict[str, torch.Tensor] = {}
    for layer in layers:
        placed[layer.name] = placed[layer.name] | layer.mask if layer.name in placed else layer.mask
    return placed


def _residual_reflection(frame: Frame, surface: Surface) -> torch.Tensor:
    """Light off the surface that crossed polarisers and gel leave over, linear (H, W)."""
    glare = frame["artefact.glare"]
    return 0.001 + glare * (0.004 + 0.006 * surface.furrow)


def _healthy(frame: Frame, hair: torch.Tensor, artefact: torch.Tensor) -> torch.Tensor:
    """Skin without lesion, hair or artefact; what the tone is measured on.

    A margin of a tenth of the radius and the pigment's soft edge are left out. Where the lesion fills the field,
    what is left is the twentieth of the image farthest from its centre (and outside the lesion).
    """
    reach = max(0.10, 0.4 * frame["lesion.edge"])
    clear = ~(gaussian_blur(hair.float(), 1.0) > 0.1) & ~artefact
    skin = (frame.distance > reach) & clear
    least = frame.size**2 // 20
    if int(skin.sum()) >= least:
        return skin
    outside = (frame.distance > 0.02) & clear
    if int(outside.sum()) <= least:
        return outside
    farthest = torch.where(outside, frame.distance, -torch.ones_like(frame.distance)).flatten()
    limit = farthest.kthvalue(farthest.numel() - least).values
    return outside & (frame.distance > limit)
