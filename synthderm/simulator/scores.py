"""ABCD and seven-point scores, computed from what the scene shows and not from its label."""

from __future__ import annotations

import math

import torch

from synthderm.core import LESION
from synthderm.functional.color import linear_to_lab, srgb_to_linear

from .render import Scene

STOLZ_COLOURS: dict[str, tuple[float, float, float]] = {
    "white": (78.0, 6.0, 8.0),
    "red": (48.0, 38.0, 22.0),
    "light_brown": (54.0, 16.0, 28.0),
    "dark_brown": (32.0, 14.0, 18.0),
    "blue_grey": (46.0, 2.0, -2.0),
    "black": (14.0, 4.0, 4.0),
}
"""CIELAB centres of the six colours of the ABCD rule; the rule names them, the centres are ours."""


def _shape_overlap(mask: torch.Tensor, angle: float, centre: tuple[float, float]) -> float:
    """IoU of a mask with its mirror image across the line through ``centre`` at ``angle``."""
    height, width = mask.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    dx, dy = x - centre[0], y - centre[1]
    cos, sin = math.cos(2 * angle), math.sin(2 * angle)
    mx, my = cos * dx + sin * dy + centre[0], sin * dx - cos * dy + centre[1]
    ix, iy = mx.floor().long().clamp(0, width - 1), my.floor().long().clamp(0, height - 1)
    mirrored = mask[iy, ix] & (mx >= 0) & (mx < width) & (my >= 0) & (my < height)
    return float((mask & mirrored).sum() / (mask | mirrored).sum().clamp_min(1))


def _principal_axis(mask: torch.Tensor) -> tuple[float, tuple[float, float]]:
    """Angle of the long axis (rad) and the centroid (x, y) of a mask, px."""
    y, x = mask.nonzero(as_tuple=True)
    x, y = x.double() + 0.5, y.double() + 0.5
    cx, cy = float(x.mean()), float(y.mean())
    xx, yy = float(((x - cx) ** 2).mean()), float(((y - cy) ** 2).mean())
    xy = float(((x - cx) * (y - cy)).mean())
    return 0.5 * math.atan2(2 * xy, xx - yy), (cx, cy)


def abcd_score(scene: Scene) -> dict[str, float | int | str]:
    """The ABCD rule of dermatoscopy (Nachbar et al. 1994, J Am Acad Dermatol 30:551).

    ``TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D``: below 4.75 benign, above 5.45 malignant. A (0-2): principal axes about
    which the outline overlaps its mirror image by less than 85 %. B (0-8): octants whose border is sharp,
    a mean contrast of dE 12 or more within a twentieth of the width. C (1-6): colours that cover over 2 % of the
    lesion, by the nearest of :data:`STOLZ_COLOURS`. D (1-5): of network, homogeneous areas, streaks, dots and globules,
    those that can be seen. The thresholds of A, B and C are ours; the rule leaves them to the eye.
    """
    mask = scene.masks[LESION]
    step = max(1, mask.shape[-1] // 128)
    small = mask[::step, ::step]
    if int(small.sum()) < 12:
        return {"abcd_a": 0, "abcd_b": 0, "abcd_c": 1, "abcd_d": 1, "abcd_tds": 1.0, "colours": ""}
    angle, centre = _principal_axis(small)
    a = sum(_shape_overlap(small, angle + turn, centre) < 0.85 for turn in (0.0, math.pi / 2))
    lab = linear_to_lab(srgb_to_linear(scene.image[:, ::step, ::step]).movedim(0, -1))
    b = _sharp_octants(lab, small, centre)
    names = _colours(lab[small])
    shown = {name for name, m in scene.masks.items() if bool(m.any())}
    network = {"pigment_network", "negative_network"} & shown
    dots_globules = "globules" in shown
    covered = sum(float(m.float().sum()) for n, m in scene.masks.items() if n in ("pigment_network", "globules"))
    homogeneous = covered < 0.75 * float(mask.float().sum())
    d = bool(network) + homogeneous + ("streaks" in shown) + 2 * dots_globules
    d = max(1, min(5, d))
    tds = 1.3 * a + 0.1 * b + 0.5 * len(names) + 0.5 * d
    return {
        "abcd_a": int(a),
        "abcd_b": int(b),
        "abcd_c": len(names),
        "abcd_d": int(d),
        "abcd_tds": round(tds, 2),
        "colours": ",".join(names),
    }


def _sharp_octants(lab: torch.Tensor, mask: torch.Tensor, centre: tuple[float, float]) -> int:
    """Octants in which the colour just inside and just outside the outline differ by dE 12 or more."""
    height, width = mask.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    octant = ((torch.atan2(y - centre[1], x - centre[0]) / (math.pi / 4)).floor().long() + 4) % 8
    radius = max(1, round(width / 40))
    soft = torch.nn.functional.avg_pool2d(mask.float()[None, None], 2 * radius + 1, 1, radius, count_include_pad=False)[
        0, 0
    ]
    inner, outer = mask & (soft < 0.95), ~mask & (soft > 0.05)
    sharp = 0
    for k in range(8):
        here = octant == k
        if int((inner & here).sum()) > 2 and int((outer & here).sum()) > 2:
            change = lab[inner & here].mean(0) - lab[outer & here].mean(0)
            sharp += float(change.norm()) >= 12.0
    return int(sharp)


def _colours(lab: torch.Tensor) -> list[str]:
    """Names of the colours that cover over 2 % of the given CIELAB pixels (N, 3)."""
    centres = torch.tensor(list(STOLZ_COLOURS.values()))
    nearest = torch.cdist(lab[:: max(1, len(lab) // 3000)], centres).argmin(1)
    share = torch.bincount(nearest, minlength=len(centres)).float() / len(nearest)
    names = [name for name, part in zip(STOLZ_COLOURS, share.tolist(), strict=True) if part > 0.02]
    return names or [list(STOLZ_COLOURS)[int(share.argmax())]]


def seven_point_score(scene: Scene) -> dict[str, int]:
    """The seven-point checklist (Argenziano et al. 1998, Arch Dermatol 134:1563), from the visible structures.

    Major criteria count 2: atypical network (its pigment varies by more than 75 % of its mean), blue-whitish veil,
    atypical vessels (visible vessels in a pigmented lesion). Minor criteria count 1: streaks, uneven pigment, dots and
    globules that lie off the lesion's centre, regression. Three or more points are suspicious of melanoma. The limits
    in brackets are ours; the checklist leaves them to the eye.
    """
    shown = {name for name, mask in scene.masks.items() if bool(mask.any())}
    lesion = scene.masks[LESION]
    pigment = scene.tissue.pigment[lesion]
    mean = float(pigment.mean()) if pigment.numel() else 0.0
    uneven = mean > 0.012 and float(pigment.std()) > 0.6 * mean
    major = [
        "pigment_network" in shown and _variation(scene.tissue.pigment, scene.masks["pigment_network"]) > 0.75,
        "blue_whitish_veil" in shown,
        "vessels" in shown and mean > 0.03,
    ]
    minor = [
        "streaks" in shown,
        uneven,
        "globules" in shown and _off_centre(scene.masks["globules"], lesion) > 0.25,
        "regression_structures" in shown,
    ]
    return {"seven_point": 2 * sum(major) + sum(minor)}


def _variation(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Standard deviation over mean of the values under a mask."""
    inside = values[mask]
    return float(inside.std() / inside.mean().clamp_min(1e-6)) if inside.numel() > 1 else 0.0


def _off_centre(part: torch.Tensor, whole: torch.Tensor) -> float:
    """Distance between the centroids of two masks, over the radius of a disc of the second's area."""
    _, (x, y) = _principal_axis(part)
    _, (cx, cy) = _principal_axis(whole)
    return math.hypot(x - cx, y - cy) / math.sqrt(float(whole.sum()) / math.pi)
