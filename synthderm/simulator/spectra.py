"""Spectra that are measured, not computed: haemoglobin, bilirubin, the standard observer and lamps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from synthderm.core.checks import unknown
from synthderm.functional.color import D65_WHITE

ILLUMINANTS = ("D65", "A", "LED_B1", "LED_B3", "LED_B5", "LED_V1", "FL2")
"""CIE illuminants on offer: daylight, filament, four white LEDs, a fluorescent tube."""

# Bradford cone responses (Lam 1985; CIE 159:2004, annex)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]], dtype=float)


@dataclass(frozen=True, eq=False)
class Spectra:
    """Measured spectra on a common grid of wavelengths, (W,) each.

    Attributes:
        wavelength_nm: nm, ascending.
        oxyhaemoglobin, deoxyhaemoglobin: molar extinction, base 10, cm^-1 per mol/l of tetramer.
        bilirubin: likewise.
    """

    wavelength_nm: np.ndarray
    oxyhaemoglobin: np.ndarray
    deoxyhaemoglobin: np.ndarray
    bilirubin: np.ndarray


@lru_cache(maxsize=1)
def _table() -> dict[str, np.ndarray]:
    text = (files("synthderm.simulator") / "tables" / "spectra_10nm.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    return dict(zip(lines[0].split(","), values.T, strict=True))


@lru_cache(maxsize=1)
def standard_spectra() -> Spectra:
    """400 to 700 nm every 10 nm; the sources stand in tables/spectra_10nm.csv."""
    t = _table()
    return Spectra(t["wavelength_nm"], t["oxyhaemoglobin"], t["deoxyhaemoglobin"], t["bilirubin"])


@lru_cache(maxsize=16)
def spectrum_to_xyz_matrix(illuminant: str = "D65") -> np.ndarray:
    """Matrix (31, 3): reflectance at 400, 410, ... 700 nm to XYZ, white-balanced.

    XYZ = sum of illuminant x reflectance x observer (CIE 1931, 2 deg), then Bradford adaptation of the lamp's
    white to D65: a reflectance of 1 gives D65's white under every lamp.

    Raises:
        InputError: for a lamp that is not on offer.
    """
    if illuminant not in ILLUMINANTS:
        raise unknown("illuminant", illuminant, ILLUMINANTS)
    t = _table()
    matrix = t[illuminant][:, None] * np.stack([t["x_bar"], t["y_bar"], t["z_bar"]], 1)
    matrix = matrix / matrix[:, 1].sum()
    gain = (_BRADFORD @ np.array(D65_WHITE)) / (_BRADFORD @ matrix.sum(0))
    adaptation = np.linalg.inv(_BRADFORD) @ (gain[:, None] * _BRADFORD)
    return matrix @ adaptation.T
