"""The lesion and its dermoscopic structures, each one layer that edits the chromophore maps.

Amplitudes run from 0 to 1 and widen the structure as well as deepening it, so that its mask grows with its
amplitude. What a structure does to the tissue follows the depth of its pigment: the epidermis looks brown to
black, the papillary dermis grey-brown, the mid dermis grey-blue (Massi et al. 2006, Arch Dermatol 142:1250),
which the layered optics turn into colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from synthderm.functional.filters import gaussian_blur, smoothstep
from synthderm.functional.strokes import branching_walk, splat
from synthderm.functional.texture import cells

from .frame import Frame
from .maps import Fields, Layer, Tissue


def lesion_layers(frame: Frame) -> list[Layer]:
    """Every layer of the lesion whose amplitude is above 0, in the order in which they are applied."""
    layers = [lesion_body(frame)]
    for name, build in _STRUCTURES.items():
        amplitude = float(frame[f"structure.{name}"])
        if amplitude > 0:
            layers.append(build(frame, amplitude))
    for layer in layers:
        for name in layer.maps.keys() & {"pigment", "lines"}:
            layer.maps[name] = layer.maps[name] * frame.tone_gain
    return layers


# ---- body ---------------------------------------------------------------------------------------------


def lesion_body(frame: Frame) -> Layer:
    """Pigment, blood and lost melanin of the lesion as a whole."""
    inside, coarse, fine = frame.inside, frame.coarse, frame.fine
    variation, asymmetry = frame["lesion.pigment_variation"], frame["lesion.asymmetry"]
    centre = smoothstep(0.15, -0.9, frame.distance)
    # an asymmetric lesion is darker on one side: the lowest wave of the coarse field is scaled up
    tilt = asymmetry * frame.lesion_noise("tilt", 0.3, 1.0)
    log_pigment = variation * (0.55 * coarse + 0.30 * fine) + 0.35 * tilt
    pigment = inside * (0.55 + 0.7 * centre) * torch.exp(log_pigment)
    lost = frame["lesion.patchiness"]
    if lost:
        field = 0.7 * frame.lesion_noise("patches", 1, 9, 0.9) + 0.3 * fine
        pigment = pigment * smoothstep(-2.6 + 2.4 * lost, -1.0 + 2.4 * lost, field).clamp_min(0.04)
    if frame["lesion.verrucous"]:
        pigment = pigment * (1 + frame["lesion.verrucous"] * _cerebriform(frame))
    red = inside * torch.exp(0.45 * frame.lesion_noise("red", 0.8, 7, 0.9) + 0.18 * fine)
    maps = {
        "pigment": frame["lesion.pigment"] * pigment,
        "papillary": frame["lesion.dermal_pigment"] * inside * torch.exp(0.5 * coarse),
        "deep": frame["lesion.deep_pigment"] * inside * torch.exp(0.4 * coarse),
        "blood": 0.008 * frame["lesion.erythema"] * red,
        "kept": 1 - frame["lesion.hypopigmentation"] * inside,
    }
    return Layer("lesion", frame.lesion_mask, _edit_body, maps)


def _edit_body(t: Tissue, m: Fields) -> None:
    t.pigment += m["pigment"]
    t.papillary += m["papillary"]
    t.deep += m["deep"]
    t.blood += m["blood"]
    t.melanin *= m["kept"]


def _cerebriform(frame: Frame) -> torch.Tensor:
    """Gyri and sulci of a seborrheic keratosis: about -0.5 (gyrus) to 0.9 (sulcus)."""
    nearest, wall, name = frame.cells("gyri", 0.75, warp=0.35)
    sulcus = torch.exp(-((wall / 0.22) ** 2))
    return 0.9 * sulcus - 0.45 * (1 - nearest).clamp_min(0) + 0.35 * (name - 0.5)


# ---- brown structures ---------------------------------------------------------------------------------


def pigment_network(frame: Frame, amplitude: float) -> Layer:
    """Rete ridges as the walls of cells whose size, direction and contrast drift across the lesion."""
    atypia = frame["structure.network_atypia"]
    lines = _network_lines(frame, "network", 0.26 * (1 + 0.35 * atypia), atypia)
    where = 0.75 * frame.lesion_noise("network where", 0.6, 3.5) + 0.9 - 0.6 * frame.distance.clamp(-1, 0.5)
    # lines run out towards the border and thin out where the pigment is confluent (the centre)
    region = smoothstep(1.2 - 1.5 * amplitude, 2.0 - 1.5 * amplitude, where)
    region = region * smoothstep(0.12, -0.22, frame.distance)
    contrast = torch.exp((0.25 + 0.55 * atypia) * frame.coarse - 0.1)
    strength = (0.35 + 0.65 * amplitude) * (0.35 + 2.2 * frame["lesion.pigment"])
    maps = {
        "lines": 0.20 * strength * region * lines * contrast,
        "holes": 1 - 0.45 * region * (1 - lines),
    }
    return Layer("pigment_network", region > 0.35, _edit_network, maps)


def _network_lines(frame: Frame, name: str, cell_mm: float, atypia: float) -> torch.Tensor:
    """Line profile in [0, 1]: 1 on the walls between cells."""
    x, y = frame.mm(cell_mm)
    swell = (0.08 + 0.35 * atypia) * frame.lesion_noise(f"{name} swell", 0.5, 3)
    bend = 0.12 + 0.70 * atypia
    x = x + 0.6 * swell * x.abs().clamp_max(3) + bend * frame.lesion_noise(f"{name} bend x", 2, 12, 0.7)
    y = y + 0.6 * swell * y.abs().clamp_max(3) + bend * frame.lesion_noise(f"{name} bend y", 2, 12, 0.7)

    _, wall, _ = cells(frame.stream(name), x, y, sharp_id=False, honeycomb=atypia < 0.5)
    width = 0.17 * torch.exp((0.20 + 0.40 * atypia) * frame.lesion_noise(f"{name} width", 1.5, 12, 0.6))
    broken = smoothstep(-1.6, -0.4 + 0.5 * atypia, frame.lesion_noise(f"{name} broken", 3, 16, 0.4) + 0.6)
    lines = torch.exp(-((wall / width.clamp(0.07, 0.42)) ** 2)) * (0.35 + 0.65 * broken)
    # finer than two pixels a cell the lines are averaged by the grid itself
    resolved = min(1.0, max(0.15, (cell_mm / frame.mm_per_px - 1.2) / 2.5))
    return lines * resolved + 0.33 * (1 - resolved)


def _edit_network(t: Tissue, m: Fields) -> None:
    t.pigment *= m["holes"]
    t.pigment += m["lines"]


def negative_network(frame: Frame, amplitude: float) -> Layer:
    """Lighter serpiginous lines around elongated darker islands."""
    lines = _network_lines(frame, "negative network", 0.42, 0.8)
    where = frame.lesion_noise("negative network where", 0.5, 3)
    region = smoothstep(1.2 - 1.8 * amplitude, 1.9 - 1.8 * amplitude, where)
    region = region * smoothstep(0.0, -0.2, frame.distance)
    maps = {"kept": 1 - 0.85 * region * lines, "pale": 0.18 * region * lines}
    return Layer("negative_network", region > 0.35, _edit_negative_network, maps)


def _edit_negative_network(t: Tissue, m: Fields) -> None:
    t.pigment *= m["kept"]
    t.fibrosis += m["pale"]


def _bodies(
    frame: Frame,
    name: str,
    *,
    cell_mm: float,
    radius: float,
    density: float,
    limit: float,
    warp: float = 0.35,
) -> torch.Tensor:
    """Round bodies, one at most per cell, inside ``distance < limit``; soft-edged, in [0, 1]."""
    nearest, _, ids = frame.cells(name, cell_mm, warp)
    size = radius * (0.55 + 0.9 * (ids * 7.31 % 1))
    body = 1 - smoothstep(0.72, 1.2, nearest / size)
    return body * (ids < density).float() * (frame.distance < limit).float()


def globules(frame: Frame, amplitude: float) -> Layer:
    """Nests of melanocytes at the junction and in the papillary dermis, in clusters."""
    where = frame.lesion_noise("globules where", 0.5, 3) + 0.3 * frame.distance
    region = smoothstep(1.0 - 1.9 * amplitude, 1.6 - 1.9 * amplitude, where)
    body = _bodies(frame, "globules", cell_mm=0.5, radius=0.30, density=0.35 + 0.5 * amplitude, limit=0.0)
    body = body * region
    strength = (0.4 + 0.6 * amplitude) * (0.3 + 2.5 * frame["lesion.pigment"])
    maps = {"pigment": 0.20 * strength * body, "papillary": 0.010 * amplitude * body}
    return Layer("globules", body > 0.3, _edit_pigment, maps)


def dots(frame: Frame, amplitude: float) -> Layer:
    """Small dark points of pigment in the upper epidermis; they belong to the mask "globules"."""
    where = frame.lesion_noise("dots where", 0.5, 4)
    region = smoothstep(1.2 - 1.9 * amplitude, 1.8 - 1.9 * amplitude, where)
    body = _bodies(frame, "dots", cell_mm=0.32, radius=0.18, density=0.2 + 0.4 * amplitude, limit=0.0)
    body = body * region
    maps = {"pigment": 0.24 * body * (0.4 + 0.6 * amplitude), "papillary": torch.zeros_like(body)}
    return Layer("globules", body > 0.3, _edit_pigment, maps)


def _edit_pigment(t: Tissue, m: Fields) -> None:
    t.pigment += m["pigment"]
    t.papillary += m["papillary"]


def streaks(frame: Frame, amplitude: float) -> Layer:
    """Radial streaming and pseudopods: dark fingers across the outline, on part of the circumference."""
    rng = frame.stream("streaks")
    count = int(rng.integers(14, 34))
    wobble = 1.6 * frame.lesion_noise("streaks wobble", 0.8, 5)
    ray = torch.cos(count * frame.theta + float(rng.uniform(0, 6.28)) + wobble)
    reach = 0.10 + 0.12 * frame.lesion_noise("streaks reach", 1.5, 8, 0.5)
    band = smoothstep(-0.42, -0.16, frame.distance) * smoothstep(reach + 0.05, reach - 0.08, frame.distance)
    where = frame.lesion_noise("streaks where", 0.3, 1.4)
    on = smoothstep(0.9 - 1.8 * amplitude, 1.4 - 1.8 * amplitude, where)
    finger = smoothstep(0.35, 0.9, ray) * band * on
    maps = {
        "pigment": (0.4 + 0.6 * amplitude) * (0.05 + 1.1 * frame["lesion.pigment"]) * finger,
        "papillary": 0.006 * finger,
    }
    return Layer("streaks", finger > 0.3, _edit_pigment, maps)


def comedo_like_openings(frame: Frame, amplitude: float) -> Layer:
    """Keratin plugs: brown-black craters."""
    body = _bodies(frame, "comedo", cell_mm=1.1, radius=0.22, density=0.06 + 0.3 * amplitude, limit=-0.05, warp=0.25)
    maps = {"pigment": 0.34 * body * (0.5 + 0.5 * amplitude), "papillary": torch.zeros_like(body)}
    return Layer("comedo_like_openings", body > 0.3, _edit_pigment, maps)


# ---- white and blue structures ------------------------------------------------------------------------


def milia_like_cyst(frame: Frame, amplitude: float) -> Layer:
    """Intraepidermal keratin cysts: white to yellowish bright discs."""
    body = _bodies(frame, "milia", cell_mm=0.9, radius=0.14, density=0.06 + 0.3 * amplitude, limit=-0.08, warp=0.12)
    body = gaussian_blur(body, 0.03 / frame.mm_per_px)
    maps = {"keratin": 0.28 * (0.3 + 0.7 * amplitude) * body, "kept": 1 - 0.8 * body}
    return Layer("milia_like_cyst", body > 0.3, _edit_keratin, maps)


def _edit_keratin(t: Tissue, m: Fields) -> None:
    t.keratin += m["keratin"]
    t.pigment *= m["kept"]


def scale(frame: Frame, amplitude: float) -> Layer:
    """Surface scale: white flakes with ragged edges."""
    field = frame.lesion_noise("scale", 1, 8, 0.8) + 0.8 * frame.lesion_noise("scale fine", 8, 30, 0.3)
    flakes = smoothstep(1.4 - 1.5 * amplitude, 3.2 - 1.3 * amplitude, field) * frame.inside
    maps = {"keratin": (0.06 + 0.22 * amplitude) * flakes, "kept": 1 - 0.2 * flakes}
    return Layer("scale", flakes > 0.3, _edit_keratin, maps)


def blue_whitish_veil(frame: Frame, amplitude: float) -> Layer:
    """Melanophages and melanocytes in the dermis under a thickened, whitish epidermis."""
    field = frame.lesion_noise("veil", 0.5, 6, 1.1) - 0.9 * (frame.distance + 0.6).clamp_min(0)
    veil = smoothstep(0.6 - 1.6 * amplitude, 2.3 - 1.4 * amplitude, field)
    veil = veil * smoothstep(0.0, -0.25, frame.distance)
    uneven = torch.exp(0.35 * frame.coarse)
    maps = {
        "kept": 1 - 0.75 * veil,
        "papillary": 0.010 * veil * uneven,
        "deep": 0.06 * veil * uneven,
        "blood": 1 - 0.45 * veil,
        "film": 0.055 * veil * torch.exp(0.25 * frame.coarse),
    }
    return Layer("blue_whitish_veil", veil > 0.3, _edit_veil, maps)


def _edit_veil(t: Tissue, m: Fields) -> None:
    t.pigment *= m["kept"]
    t.papillary += m["papillary"]
    t.deep += m["deep"]
    t.blood *= m["blood"]
    t.keratin += m["film"]


def regression_structures(frame: Frame, amplitude: float) -> Layer:
    """Scar-like white areas that lost their pigment, with blue-grey peppering."""
    field = frame.lesion_noise("regression", 0.6, 5, 1.0)
    lost = smoothstep(1.1 - 1.7 * amplitude, 2.3 - 1.5 * amplitude, field) * frame.inside
    pepper = _bodies(frame, "peppering", cell_mm=0.15, radius=0.26, density=0.4, limit=0.0, warp=0.2)
    maps = {
        "kept": 1 - 0.92 * lost,
        "skin": 1 - 0.30 * lost,
        "papillary": 0.035 * pepper * lost,
        "blood": 1 - 0.4 * lost,
        "fibrosis": 0.30 * lost,
    }
    return Layer("regression_structures", lost > 0.4, _edit_scarred, maps)


def _edit_scarred(t: Tissue, m: Fields) -> None:
    t.pigment *= m["kept"]
    t.melanin *= m["skin"]
    t.papillary += m["papillary"]
    t.blood *= m["blood"]
    t.fibrosis += m["fibrosis"]


def scar(frame: Frame, amplitude: float) -> Layer:
    """Fibrous centre of a dermatofibroma, white to pink, with a soft ragged rim."""
    reach = frame.distance + 1 + 0.10 * frame.lesion_noise("scar", 1, 6, 1.0)
    lost = 1 - smoothstep(0.05 + 0.15 * amplitude, 0.55 + 0.40 * amplitude, reach)
    uneven = (1 + 0.30 * frame.lesion_noise("scar tone", 1, 14, 0.7)).clamp(0.2, 1.6)
    maps = {
        "kept": 1 - 0.85 * lost,
        "skin": 1 - 0.25 * lost,
        "papillary": torch.zeros_like(lost),
        "blood": 1 - 0.25 * lost,
        "fibrosis": 0.38 * amplitude * lost * uneven,
    }
    return Layer("scar", lost > 0.4, _edit_scarred, maps)


def blue_grey_ovoid_nests(frame: Frame, amplitude: float) -> Layer:
    """Tumour islands with pigment in the dermis."""
    body = _bodies(frame, "nests", cell_mm=1.3, radius=0.36, density=0.2 + 0.5 * amplitude, limit=-0.03, warp=0.75)
    body = gaussian_blur(body, 0.08 / frame.mm_per_px)
    uneven = torch.exp(0.5 * frame.fine)
    maps = {"papillary": 0.022 * amplitude * body * uneven, "deep": 0.07 * body, "pigment": 0.02 * body}
    return Layer("blue_grey_ovoid_nests", body > 0.3, _edit_nests, maps)


def _edit_nests(t: Tissue, m: Fields) -> None:
    t.papillary += m["papillary"]
    t.deep += m["deep"]
    t.pigment += m["pigment"]


# ---- blood --------------------------------------------------------------------------------------------


def lagoons(frame: Frame, amplitude: float) -> Layer:
    """Dilated vessels packed against each other, with pale septa between them."""
    nearest, wall, ids = frame.cells("lagoons", 0.95, warp=0.22)
    edge = smoothstep(0.05, -0.12, frame.distance)
    region = smoothstep(1.2 - 3.2 * amplitude, 1.7 - 3.2 * amplitude, frame.lesion_noise("lagoons where", 0.5, 3))
    # septa are thin and mostly lie under the blood; a tenth of the spaces is nearly empty
    septa = 0.45 + 0.55 * smoothstep(0.03, 0.20, wall)
    pool = septa * edge * region * (0.45 + 0.55 * (ids < 0.9).float())
    depth = (0.6 + 0.8 * (ids * 3.7 % 1)) * torch.exp(0.25 * frame.fine)
    maps = {
        "pool": (0.45 + 0.5 * amplitude) * pool,
        "depth": 0.02 + 0.35 * amplitude**2 * depth**3 * (1.15 - 0.6 * nearest.clamp(0, 1)),
        "halo": edge * region,
    }
    return Layer("lagoons", pool > 0.3, _edit_lagoons, maps)


def _edit_lagoons(t: Tissue, m: Fields) -> None:
    t.blood = torch.maximum(t.blood, 0.10 * m["halo"])
    t.pigment *= 1 - 0.8 * m["pool"]
    _fill(t, m["pool"], m["depth"])


def _fill(t: Tissue, pool: torch.Tensor, depth_mm: torch.Tensor) -> None:
    """Add a lake; where two meet, the one that covers more gives the thickness."""
    t.pool_mm = torch.where(pool > t.pool, depth_mm, t.pool_mm)
    t.pool = torch.maximum(t.pool, pool)


def _edit_vessels(t: Tissue, m: Fields) -> None:
    t.pigment *= 1 - 0.5 * m["strokes"]
    _fill(t, m["strokes"], m["depth"])


def arborising_vessels(frame: Frame, amplitude: float) -> Layer:
    """Superficial branching vessels that enter from the border and cross the tumour."""
    rng = frame.stream("arborising vessels")
    step_mm = 0.05
    reach = frame["lesion.radius"] * frame["camera.field_mm"]
    origin = np.array([frame["lesion.offset_x"], frame["lesion.offset_y"]]) * frame["camera.field_mm"]
    points, widths = [], []
    trunks = [(rng.uniform(0, 2 * math.pi), rng.uniform(0.04, 0.11), rng.normal(0, 0.7)) for _ in range(5)]
    for angle, width, turn in trunks[: 1 + round(4 * amplitude)]:
        start = origin / step_mm + 0.95 * reach / step_mm * np.array([math.cos(angle), math.sin(angle)])
        walk = branching_walk(
            rng, tuple(start), angle + math.pi + turn, reach / step_mm, width, 2, wander=0.14, branch=0.05
        )
        points.append(walk[0] * step_mm)
        widths.append(walk[1])
    density = _strokes(frame, np.concatenate(points), np.concatenate(widths), step_mm)
    strokes = density * smoothstep(0.35, 0.0, frame.distance) * (0.45 + 0.55 * amplitude)
    maps = {"strokes": 0.8 * strokes, "depth": torch.full_like(strokes, 0.06)}
    return Layer("vessels", strokes > 0.25, _edit_vessels, maps)


def _strokes(frame: Frame, points_mm: np.ndarray, width_mm: np.ndarray, step_mm: float) -> torch.Tensor:
    """Coverage in [0, 1] of strokes given by points ``step_mm`` apart; thinner than a pixel they fade."""
    px = points_mm / frame.mm_per_px + frame.size / 2
    sigma = width_mm / 2 / frame.mm_per_px
    drawn = np.maximum(sigma, 0.45)
    step_px = step_mm / frame.mm_per_px
    # a row of Gaussians step_px apart adds up to sqrt(2 pi) sigma / step at the middle of the stroke
    value = step_px / (math.sqrt(2 * math.pi) * drawn) * np.minimum(1.0, sigma / drawn) * 1.6
    return 1 - torch.exp(-1.8 * splat(px, drawn, value, frame.size))


def dotted_vessels(frame: Frame, amplitude: float) -> Layer:
    """Vessel loops seen end-on: red points."""
    body = _bodies(frame, "dotted vessels", cell_mm=0.30, radius=0.20, density=0.6, limit=-0.02, warp=0.3)
    where = frame.lesion_noise("dotted vessels where", 0.5, 3)
    body = body * smoothstep(1.0 - 2.2 * amplitude, 1.6 - 2.2 * amplitude, where)
    maps = {"strokes": 0.8 * body * (0.4 + 0.6 * amplitude), "depth": torch.full_like(body, 0.05)}
    return Layer("vessels", body > 0.3, _edit_vessels, maps)


def ulceration(frame: Frame, amplitude: float) -> Layer:
    """Lost epidermis covered by a blood crust: red in the middle, black-brown where it dried."""
    field = frame.lesion_noise("ulcer", 0.7, 6, 1.0) - 1.1 * (frame.distance + 0.6).clamp_min(0)
    ulcer = smoothstep(1.7 - 1.6 * amplitude, 2.1 - 1.5 * amplitude, field) * frame.inside
    crust = ulcer * smoothstep(-0.3, 1.2, frame.lesion_noise("crust", 2, 10, 0.8))
    maps = {"ulcer": ulcer, "crust": 0.22 * crust}
    return Layer("ulceration", ulcer > 0.4, _edit_ulcer, maps)


def _edit_ulcer(t: Tissue, m: Fields) -> None:
    ulcer = m["ulcer"]
    t.melanin *= 1 - 0.6 * ulcer
    t.pigment = t.pigment * (1 - 0.7 * ulcer) + m["crust"]
    t.blood = torch.lerp(t.blood, torch.full_like(ulcer, 0.15), 0.9 * ulcer)
    _fill(t, 0.75 * ulcer * (m["crust"] < 0.15), torch.full_like(ulcer, 0.12))


Builder = Callable[[Frame, float], Layer]

_STRUCTURES: dict[str, Builder] = {
    f.__name__: f
    for f in (
        pigment_network,
        negative_network,
        globules,
        dots,
        streaks,
        blue_whitish_veil,
        regression_structures,
        scar,
        blue_grey_ovoid_nests,
        lagoons,
        arborising_vessels,
        dotted_vessels,
        ulceration,
        comedo_like_openings,
        milia_like_cyst,
        scale,
    )
}
"""Builders by parameter name ("structure." + key), in the order in which they are applied."""

STRUCTURE_MASKS: tuple[str, ...] = (
    "pigment_network",
    "negative_network",
    "globules",
    "streaks",
    "blue_whitish_veil",
    "regression_structures",
    "scar",
    "blue_grey_ovoid_nests",
    "lagoons",
    "vessels",
    "ulceration",
    "comedo_like_openings",
    "milia_like_cyst",
    "scale",
)
"""Names of the masks of dermoscopic structures (dots belong to "globules")."""
