"""From scene parameters to an image with its masks and maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from synthderm.core import HEALTHY_SKIN, LESION, ParameterValue
from synthderm.functional.camera import sensor_noise, shoulder, tone_curve, unsharp
from synthderm.functional.color import delta_e_2000, linear_to_lab, linear_to_srgb
from synthderm.functional.filters import gaussian_blur

from . import surface as on_skin
from .colour_table import colour_table
from .frame import Frame
from .look import draw_cast, skin_target
from .maps import Layer, Tissue, compose
from .pools import pool_colour
from .relief import defocus, height_mm, light_skin
from .skin import Surface, healthy_skin, skin_surface
from .structures import STRUCTURE_MASKS, lesion_layers
from .tissue import ita_to_melanin
from .transport import lateral_transport

VISIBLE_DELTA_E = 2.0
"""Least CIEDE2000 between a structure's pixels with and without it for the structure to count as visible."""

MASK_NAMES: tuple[str, ...] = (LESION, HEALTHY_SKIN, "hair", "artefact", *STRUCTURE_MASKS)
"""Every mask that the simulator can write."""

KERATIN_REFLECTANCE = (0.82, 0.78, 0.70)
"""Red, green and blue diffuse reflectance of a thick layer of keratin: white, a little yellow."""

FIBROSIS_REFLECTANCE = (0.74, 0.67, 0.60)
"""Diffuse reflectance of thick collagen, seen through bloodless tissue."""

EPIDERMIS_DOUBLE_PATH = (8.5, 13.0, 22.0)
"""Absorbance of light that crosses an epidermis of melanosome fraction 1 (80 um) twice, per channel.

``2 * 1.6 * mu_a * d`` with mu_a = 6.6e11 l^-3.33 / cm (Jacques 1998) at 620, 545 and 465 nm and the mean path of
diffuse light, 1.6 times the thickness.
"""


@dataclass(frozen=True)
class Scene:
    """One rendered scene.

    Attributes:
        image: (3, H, W) float32 encoded sRGB in [0, 1].
        masks: name -> (H, W) bool; structures hold their visible part only.
        placed: name -> (H, W) bool, every structure as placed, visible or not.
        delta_e: name -> mean CIEDE2000 inside the structure, with and without it; also of the lesion.
        tissue: the chromophore maps.
        height_mm: (H, W), height of the surface.
        skin_linear: (3,) linear sRGB of the healthy skin under white light, before the camera.
    """

    image: torch.Tensor
    masks: dict[str, torch.Tensor]
    placed: dict[str, torch.Tensor]
    delta_e: dict[str, float]
    tissue: Tissue
    height_mm: torch.Tensor
    skin_linear: tuple[float, float, float]


def skin_colour(tissue: Tissue, values: Mapping[str, ParameterValue], mm_per_px: float) -> torch.Tensor:
    """Linear sRGB (3, H, W) of tissue under cross-polarised white light: no surface reflection.

    Layered optics per pixel, white fibrous tissue below the epidermis, light spread sideways, then keratin on top.
    """
    table = colour_table()
    light = values["camera.light"]
    maps = (tissue.epidermal, tissue.papillary, tissue.deep, tissue.blood)
    rgb = table.for_light(light, round(values["skin.oxygenation"], 2))(*maps)
    if bool((tissue.fibrosis > 0).any()):
        path = torch.tensor(EPIDERMIS_DOUBLE_PATH).view(3, 1, 1)
        white = torch.tensor(FIBROSIS_REFLECTANCE).view(3, 1, 1) * torch.exp(-path * tissue.epidermal)
        rgb = torch.lerp(rgb, torch.maximum(rgb, white), tissue.fibrosis)
    where = tissue.pool > 0.01
    if bool(where.any()):
        of_blood = "structure.lagoon_oxygenation" if values["structure.lagoons"] else "skin.oxygenation"
        lakes = pool_colour(maps[0][where], tissue.pool_mm[where], light, values[of_blood])
        rgb[:, where] = torch.lerp(rgb[:, where], lakes, tissue.pool[where])
    rgb = lateral_transport(rgb, mm_per_px)
    if bool((tissue.keratin > 0).any()):
        # a scattering layer over a reflector: R = k + (1 - k)^2 R / (1 - k R) (Kubelka 1948, eq. 26)
        k = tissue.keratin * torch.tensor(KERATIN_REFLECTANCE).view(3, 1, 1)
        rgb = k + (1 - k) ** 2 * rgb / (1 - k * rgb)
    return rgb


def render(
    seed: int,
    size: int,
    values: Mapping[str, ParameterValue],
    ita_deg: float,
    modality: str,
    camera_seed: int | None = None,
) -> Scene:
    """Render one scene.

    Args:
        seed: of the image; every pattern draws from a stream of its own.
        size: side of the square image, px.
        values: every scene parameter (:data:`~synthderm.simulator.parameters.SCENE_PARAMETERS`).
        ita_deg: requested tone of the healthy skin.
        modality: "dermoscopy" (contact, cross-polarised) or "clinical" (a photograph under an oblique lamp).
        camera_seed: stream of the colour cast; the image's own if None.
    """
    melanin = ita_to_melanin(ita_deg)
    frame = Frame(seed, size, values, melanin)
    surface = skin_surface(frame)
    skin = healthy_skin(frame, melanin, surface)
    layers = lesion_layers(frame)
    tissue = compose(skin, layers)
    linear = skin_colour(tissue, values, frame.mm_per_px)
    height = height_mm(frame, surface, tissue.keratin)
    placed = _placed(layers)
    visible, delta_e = _visibility(skin, layers, placed, values, frame.mm_per_px)

    if modality == "clinical":
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
    image, skin_linear = _photograph(
        linear, light, healthy, frame, ita_deg, seed if camera_seed is None else camera_seed
    )
    masks = {LESION: frame.lesion_mask & ~outside, HEALTHY_SKIN: healthy, "hair": hair, "artefact": artefact}
    for name in STRUCTURE_MASKS:
        masks[name] = visible[name] & ~outside if name in visible else torch.zeros_like(hair)
    return Scene(image, masks, placed, delta_e, tissue, height, skin_linear)


def _placed(layers: list[Layer]) -> dict[str, torch.Tensor]:
    """Union of the masks of the layers of each name."""
    placed: dict[str, torch.Tensor] = {}
    for layer in layers:
        placed[layer.name] = placed[layer.name] | layer.mask if layer.name in placed else layer.mask
    return placed


def _visibility(
    skin: Tissue,
    layers: list[Layer],
    placed: dict[str, torch.Tensor],
    values: Mapping[str, ParameterValue],
    mm_per_px: float,
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The visible part of each structure: where leaving it out changes the colour by dE00 2 or more.

    Compared on a grid of about 128 px, without hair or camera. A structure whose largest change nearby stays
    below the limit is left out of the visible mask there; the "nearby" (3 grid px) keeps the holes of a network.
    """
    size = skin.melanin.shape[-1]
    step = max(1, size // 128)

    def colour(skip: str) -> torch.Tensor:
        return skin_colour(compose(skin, layers, step, skip), values, mm_per_px * step)

    whole = colour("")
    visible, means = {}, {}
    for name, mask in placed.items():
        small = mask[::step, ::step]
        around = F.max_pool2d(small.float()[None, None], 3, 1, 1)[0, 0] > 0
        pairs = (linear_to_lab(rgb[:, around].T) for rgb in (whole, colour(name)))
        change = torch.zeros_like(whole[0])
        change[around] = delta_e_2000(*pairs)
        means[name] = float(change[small].mean()) if bool(small.any()) else 0.0
        near = F.max_pool2d(change[None, None], 3, 1, 1)
        big = F.interpolate(near, scale_factor=step, mode="nearest")[0, 0, :size, :size]
        visible[name] = mask & (big >= VISIBLE_DELTA_E)
    return visible, means


def _residual_reflection(frame: Frame, surface: Surface) -> torch.Tensor:
    """Light off the surface that crossed polarisers and gel leave over, linear (H, W)."""
    glare = frame["artefact.glare"]
    return 0.002 + glare * (0.006 + 0.008 * surface.furrow)


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


def _photograph(
    linear: torch.Tensor,
    light: torch.Tensor,
    healthy: torch.Tensor,
    frame: Frame,
    ita_deg: float,
    camera_seed: int,
) -> tuple[torch.Tensor, tuple[float, float, float]]:
    """Exposure, colour cast, tone curve, blur, noise, encoding, sharpening.

    The exposure is set on healthy skin, as a dermoscope's is: its median colour lands on the target of
    :func:`~synthderm.simulator.look.skin_target`.
    """
    where = healthy if bool(healthy.any()) else torch.ones_like(healthy)
    flat = linear[:, where]
    flat = flat[:, :: max(1, flat.shape[1] // 4096)]
    skin = flat.median(dim=1).values
    cast = draw_cast(frame["camera.cast"], Frame(camera_seed, frame.size, frame.values).stream("cast"))
    target = skin_target(
        skin,
        cast=cast,
        ita_deg=ita_deg,
        exposure=frame["camera.exposure"],
        calibrated=bool(frame["camera.calibrated"]),
    )
    x = tone_curve(
        linear * light,
        pivot=skin,
        contrast=frame["camera.contrast"],
        saturation=frame["camera.saturation"],
    )
    x = shoulder(x)
    x = gaussian_blur(x, frame["camera.blur"] * frame.size)
    seen = x[:, where]
    seen = seen[:, :: max(1, seen.shape[1] // 4096)].median(dim=1).values
    x = x * (target / seen.clamp_min(1e-4)).view(3, 1, 1)
    if frame["camera.noise"]:
        normal = frame.stream("sensor").standard_normal((3, frame.size, frame.size), dtype=np.float32)
        x = sensor_noise(x, torch.from_numpy(normal), 2.0 * frame["camera.noise"])
    encoded = linear_to_srgb(shoulder(x, 0.9).clamp(0, 1))
    encoded = unsharp(encoded, frame["camera.sharpening"], max(0.5, frame.size / 256))
    return encoded.clamp(0, 1), tuple(float(v) for v in skin)


def quantise(image: torch.Tensor) -> torch.Tensor:
    """[0, 1] float to uint8, rounded."""
    return (image * 255 + 0.5).to(torch.uint8)
