"""Healthy skin: melanin and blood with their unevenness, line pattern, pores and freckles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from synthderm.functional.filters import smoothstep
from synthderm.functional.texture import cells

from .frame import Frame
from .maps import Tissue

RELIEF_MM = 0.42
"""Mean width of the plateaus of the skin's line pattern, a typical value for the trunk."""


@dataclass(frozen=True)
class Surface:
    """Geometry of the skin's surface: furrow depth in [0, 1], (H, W)."""

    furrow: torch.Tensor


def skin_surface(frame: Frame) -> Surface:
    """The line pattern: furrows between plateaus, stretched along one direction."""
    stretch = 1.25
    x, y = frame.mm(RELIEF_MM)
    x = x * stretch + 0.5 * frame.noise("relief warp x", 2, 14)
    y = y / stretch + 0.5 * frame.noise("relief warp y", 2, 14)

    _, wall, _ = cells(frame.stream("relief"), x, y, sharp_id=False)
    # below two pixels per plateau the pattern is finer than the grid: fade it out instead of aliasing
    visible = min(1.0, max(0.0, (RELIEF_MM / frame.mm_per_px - 1.5) / 3.0))
    depth = frame["skin.relief"] * visible
    return Surface(depth * torch.exp(-((wall / 0.16) ** 2)))


def healthy_skin(frame: Frame, melanin: float, surface: Surface) -> Tissue:
    """Tissue maps of the skin without a lesion.

    Args:
        frame: the scene.
        melanin: melanosome fraction of the epidermis that gives the requested tone.
        surface: from :func:`skin_surface`.
    """
    # the same relative change of melanin is more to the eye on dark skin, where it dominates the colour
    dark = 1 / (1 + melanin / 0.12)
    mottle, redness = frame["skin.mottle"] * dark, frame["skin.redness"] * dark
    fine = frame.noise_mm("mottle fine", 0.8, 5.0, 0.6)
    log_melanin = mottle * (0.20 * frame.noise("mottle coarse", 1, 8, 1.1) + 0.17 * fine)
    log_blood = redness * (
        0.45 * frame.noise("redness coarse", 1.5, 10, 0.9) + 0.42 * frame.noise_mm("redness fine", 0.7, 4.0, 0.5)
    )
    log_melanin = log_melanin - 0.10 * surface.furrow
    log_blood = log_blood - 0.14 * surface.furrow
    zero = torch.zeros_like(log_melanin)
    tissue = Tissue(
        melanin=melanin * torch.exp(log_melanin),
        pigment=zero,
        papillary=zero.clone(),
        deep=zero.clone(),
        blood=frame["skin.blood"] * torch.exp(log_blood),
        keratin=zero.clone(),
        fibrosis=zero.clone(),
        pool=zero.clone(),
        pool_mm=torch.full_like(zero, 0.1),
    )
    _add_telangiectasia(frame, tissue, redness)
    _add_pores(frame, tissue)
    _add_freckles(frame, tissue)
    return tissue


def _add_telangiectasia(frame: Frame, tissue: Tissue, redness: float) -> None:
    """Fine net of dilated vessels on red skin: walls of large cells, where a coarse field allows."""
    if redness < 0.35:
        return
    _, wall, _ = frame.cells("telangiectasia", 1.3, warp=0.6, sharp_id=False)
    where = smoothstep(0.2, 1.2, frame.noise("telangiectasia where", 1, 6))
    tissue.blood = tissue.blood * (1 + 2.2 * (redness - 0.35) * where * torch.exp(-((wall / 0.12) ** 2)))


def _add_pores(frame: Frame, tissue: Tissue) -> None:
    """Follicle openings: pale rims with a small dark centre, about one per 1.3 mm."""
    pores = frame["skin.pores"]
    if not pores:
        return
    nearest, _, name = frame.cells("pores", 1.3)
    on = (name > 0.3).float() * pores
    pale = torch.exp(-((nearest / 0.11) ** 2)) * on * (0.4 + 0.6 * name)
    tissue.melanin = tissue.melanin * (1 - 0.22 * pale)
    tissue.blood = tissue.blood * (1 - 0.40 * pale)
    tissue.keratin = tissue.keratin + 0.03 * pale
    tissue.pigment = tissue.pigment + 0.02 * on * torch.exp(-((nearest / 0.05) ** 2))


def _add_freckles(frame: Frame, tissue: Tissue) -> None:
    """Lentigines of sun-damaged skin: soft irregular brown patches."""
    freckles = frame["skin.freckles"]
    if not freckles:
        return
    field = frame.noise("freckles", 3, 14, 0.9) + 0.7 * frame.noise("freckles where", 1, 4)
    field = field + 0.35 * frame.noise_mm("freckles ragged", 0.8, 4.0, 0.5)
    spots = smoothstep(0.6 - 0.7 * freckles, 4.2 - 0.9 * freckles, field)
    tissue.pigment = tissue.pigment + 0.05 * freckles * spots
