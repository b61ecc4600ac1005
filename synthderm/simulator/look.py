"""How a camera sees skin: colour casts of real data sets, and the exposure that keeps the requested tone."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from importlib.resources import files

import numpy as np
import torch

from synthderm.functional.color import lab_to_linear, linear_to_lab

MIN_B = 4.5
"""Least b* that a calibrated exposure gives healthy skin: well above the limit of a valid ITA."""

LIGHT_SKIN_L = 58.0
"""L* from which on a calibrated exposure takes the whole of a cast's pinkness."""


@lru_cache(maxsize=1)
def _casts() -> dict[str, dict[str, list]]:
    return json.loads(files("synthderm.simulator").joinpath("look.json").read_text())


def draw_cast(name: str, rng: np.random.Generator) -> np.ndarray:
    """Log gains of red, green and blue of one exposure, as the cameras of a data set make them.

    A mixture of Gaussians in log gain over the colour of ITA 45 skin, fitted by ``eval/fit_look.py``.
    """
    if name == "neutral":
        return np.zeros(3)
    cast = _casts()[name]
    weights = np.cumsum(cast["weights"])
    k = min(int(np.searchsorted(weights, rng.random() * weights[-1])), len(weights) - 1)
    return np.asarray(cast["log_gains"][k]) + rng.normal(0, 1, 3) * np.asarray(cast["spread"][k])


def calibrated_lab(cast_lab: np.ndarray, physical_lab: np.ndarray, ita_deg: float, exposure: float) -> np.ndarray:
    """The colour of healthy skin under a cast, turned back to the requested ITA.

    In the plane of (b*, L* - 50) ITA is an angle; the cast keeps its distance from the origin (brightness
    and chroma) and its a* (pinkness), but not its angle. Distance and a* are held within what cameras give.

    Args:
        cast_lab: healthy skin with the cast, CIELAB.
        physical_lab: healthy skin without it.
        ita_deg: requested angle.
        exposure: log of a further factor of the distance.

    Returns:
        (3,) CIELAB whose ITA is ``ita_deg``.
    """
    distance = math.hypot(cast_lab[0] - 50, cast_lab[2])
    natural = math.hypot(physical_lab[0] - 50, physical_lab[2])
    distance = float(np.clip(distance, 0.75 * natural, 1.35 * natural)) * math.exp(exposure)
    angle = math.radians(ita_deg)
    distance = float(np.clip(distance, MIN_B / math.cos(angle), 45.0))
    lightness = 50 + distance * math.sin(angle)
    # dark skin has less room for a*: of the cast's pinkness it takes the share of its lightness above black, squared
    share = min(1.0, (lightness / LIGHT_SKIN_L) ** 2)
    a = physical_lab[1] + share * (cast_lab[1] - physical_lab[1])
    a = float(np.clip(a, 0.7 * physical_lab[1], min(32.0, 0.45 * lightness)))
    return np.array([lightness, a, distance * math.cos(angle)])


def skin_target(
    skin: torch.Tensor, *, cast: np.ndarray, ita_deg: float, exposure: float, calibrated: bool
) -> torch.Tensor:
    """Linear sRGB that the exposure gives the healthy skin.

    Args:
        skin: (3,) linear sRGB of healthy skin as rendered under white light.
        cast: log gains from :func:`draw_cast`.
        ita_deg: requested tone.
        exposure: see :func:`calibrated_lab`; without calibration the log of a plain gain.
        calibrated: keep the requested ITA.

    Returns:
        (3,) in [0.004, 0.95].
    """
    seen = skin * torch.from_numpy(np.exp(cast)).to(skin)
    if calibrated:
        lab = calibrated_lab(linear_to_lab(seen).numpy(), linear_to_lab(skin).numpy(), ita_deg, exposure)
        seen = lab_to_linear(torch.from_numpy(lab)).to(skin)
    else:
        seen = seen * math.exp(exposure)
    return seen.clamp(0.004, 0.95)
