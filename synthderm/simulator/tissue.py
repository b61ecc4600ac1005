"""Skin as five layers: what they absorb and scatter, what colour that gives, and the melanin of a tone.

Absorption is natural-logarithm cm^-1, wavelengths are nm, fractions are volumes in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.core.checks import check_range, unknown
from synthderm.core.tone import ITA_RANGE_DEG
from synthderm.functional.adding import (
    add_below,
    cover,
    cover_reflectance,
    layer_operators,
    stack_reflectance,
)
from synthderm.functional.color import xyz_to_lab
from synthderm.functional.optics import quadrature, specular_reflectance

from .spectra import Spectra, spectrum_to_xyz_matrix, standard_spectra

REFRACTIVE_INDEX = 1.4
SPECULAR = specular_reflectance(REFRACTIVE_INDEX)
"""What the surface itself reflects at normal incidence: 0.0278. SCI = SCE + this."""


@dataclass(frozen=True)
class Layer:
    """One layer of skin.

    Attributes:
        name: of the layer.
        thickness_um: micrometres.
        blood_weight: its blood for little blood, relative to the mean of the dermis.
    """

    name: str
    thickness_um: float
    blood_weight: float


LAYERS: tuple[Layer, ...] = (
    Layer("epidermis", 80.0, 0.0),  # with stratum corneum; only melanin x thickness shows in the colour
    Layer("papillary dermis", 150.0, 0.8),
    Layer("upper plexus and mid dermis", 250.0, 1.5),
    Layer("reticular dermis", 1350.0, 0.9),
    Layer("subcutis", 3000.0, 0.5),
)
"""From the top down: usual anatomy. ISSA spectra fit as well with a thin plexus of weight 2.5, so the weights are
a choice, not a measurement."""

THICKNESS_CM = tuple(layer.thickness_um * 1e-4 for layer in LAYERS)

_BASELINE_SCALE = 0.3  # of the formula below; fitted to the ISSA means, which reject 1
_VESSEL_RADIUS_CM = 1e-3  # capillaries and venules of the plexus


def anisotropy(wavelength_nm: np.ndarray) -> np.ndarray:
    """Mean cosine of the scattering angle, 0.62 + 0.29e-3 l (van Gemert et al. 1989, IEEE TBME 36:1146)."""
    return 0.62 + 0.29e-3 * wavelength_nm


def melanosome_absorption(wavelength_nm: np.ndarray) -> np.ndarray:
    """Of the inside of a melanosome, 6.6e11 l^-3.33 cm^-1 (Jacques 1998, omlc.org/news/jan98)."""
    return 6.6e11 * wavelength_nm**-3.33


def bloodless_absorption(wavelength_nm: np.ndarray) -> np.ndarray:
    """Of skin without melanin and blood: 0.3 x 7.84e8 l^-3.255 cm^-1 (Saidi et al. 1995; the factor is fitted)."""
    return _BASELINE_SCALE * 7.84e8 * wavelength_nm**-3.255


def blood_absorption(oxygenation: np.ndarray | float, spectra: Spectra | None = None) -> np.ndarray:
    """Of whole blood (150 g/l haemoglobin) in thin vessels, (..., W).

    Haemoglobin, 2.303 x extinction x 150 / 64,500 (Prahl, OMLC), times the packaging factor of a vessel of
    radius r = 10 um, (1 - exp(-2 mua r)) / (2 mua r) (van Veen et al. 2002, Opt Lett 27:246).

    Args:
        oxygenation: share of haemoglobin that carries oxygen, (...).
        spectra: the standard grid if None.
    """
    spectra = spectra or standard_spectra()
    share = np.asarray(oxygenation, float)[..., None]
    extinction = share * spectra.oxyhaemoglobin + (1 - share) * spectra.deoxyhaemoglobin
    whole = 2.303 * 150 / 64500 * extinction
    across = 2 * whole * _VESSEL_RADIUS_CM
    return whole * (1 - np.exp(-across)) / across


def layer_blood(blood: np.ndarray | float, layer: Layer) -> np.ndarray:
    """Blood fraction of a layer, from the mean of the dermis: its odds are the weight times the mean's odds.

    For little blood that is weight x blood; a layer never holds more than it has room for, and where the
    dermis is all blood (a vascular lake) so is the layer.
    """
    blood = np.asarray(blood, float)
    return layer.blood_weight * blood / (1 + (layer.blood_weight - 1) * blood)


def reduced_scattering(layer: int, wavelength_nm: np.ndarray) -> np.ndarray:
    """Reduced scattering in cm^-1 of layer 0 (epidermis), 1-3 (dermis) or 4 (subcutis).

    68.7 (l/500)^-1.161 and 45.3 (l/500)^-1.292: Jacques 2013, Phys Med Biol 58:R37 (data of Salomatina et al.
    2006). Subcutis 1687/60 - 11 l/600: S-SYNTH (Kim et al. 2024, DIDSR/ssynth-release).
    """
    if layer == 0:
        return 68.7 * (wavelength_nm / 500) ** -1.161
    if layer < len(LAYERS) - 1:
        return 45.3 * (wavelength_nm / 500) ** -1.292
    return 1687 / 60 - 11 / 600 * wavelength_nm


def scattering_coefficients(scattering: np.ndarray | float = 1.0, spectra: Spectra | None = None) -> list[np.ndarray]:
    """Scattering in cm^-1 of each layer, (..., W): reduced scattering times ``scattering`` over 1 - g."""
    wavelength = (spectra or standard_spectra()).wavelength_nm
    scale = np.asarray(scattering, float)[..., None] / (1 - anisotropy(wavelength))
    return [scale * reduced_scattering(i, wavelength) for i in range(len(LAYERS))]


def epidermis_absorption(melanin: np.ndarray | float, spectra: Spectra | None = None) -> np.ndarray:
    """Absorption (..., W) of the epidermis with a melanosome fraction ``melanin`` (...)."""
    wavelength = (spectra or standard_spectra()).wavelength_nm
    share = np.asarray(melanin, float)[..., None]
    return share * melanosome_absorption(wavelength) + (1 - share) * bloodless_absorption(wavelength)


def dermis_absorption(
    layer: int,
    blood: np.ndarray | float,
    oxygenation: np.ndarray | float,
    melanin: np.ndarray | float = 0.0,
    bilirubin_um: np.ndarray | float = 2.0,
    spectra: Spectra | None = None,
) -> np.ndarray:
    """Absorption (..., W) of layer 1-4; melanin and bilirubin of the subcutis count as none.

    Args:
        layer: index into :data:`LAYERS`.
        blood: mean blood fraction of the dermis.
        oxygenation: share of haemoglobin that carries oxygen.
        melanin: melanosome fraction of the layer.
        bilirubin_um: micromol/l.
        spectra: the standard grid if None.
    """
    spectra = spectra or standard_spectra()
    wavelength = spectra.wavelength_nm
    share = layer_blood(blood, LAYERS[layer])[..., None]
    absorption = share * blood_absorption(oxygenation, spectra)
    if layer == len(LAYERS) - 1:  # fat: half of 143/60 - l/600, which is S-SYNTH's
        return absorption + 0.5 * (143 / 60 - wavelength / 600)
    bilirubin = np.asarray(bilirubin_um, float)[..., None] * 1e-6 * 2.303 * spectra.bilirubin
    melanosomes = np.asarray(melanin, float)[..., None] * melanosome_absorption(wavelength)
    return absorption + (1 - share) * bloodless_absorption(wavelength) + bilirubin + melanosomes


def layer_absorption(
    melanin: np.ndarray | float,
    blood: np.ndarray | float = 0.0075,
    oxygenation: np.ndarray | float = 0.75,
    *,
    papillary_melanin: np.ndarray | float = 0.0,
    deep_melanin: np.ndarray | float = 0.0,
    bilirubin_um: np.ndarray | float = 2.0,
    spectra: Spectra | None = None,
) -> list[np.ndarray]:
    """Absorption in cm^-1 of the five layers, (..., W) each; arguments as of :func:`skin_reflectance`."""
    melanins = (papillary_melanin, deep_melanin, 0.0, 0.0)
    below = [
        dermis_absorption(i + 1, blood, oxygenation, melanins[i], bilirubin_um, spectra) for i in range(len(melanins))
    ]
    return [epidermis_absorption(melanin, spectra), *below]


def skin_reflectance(
    melanin: np.ndarray | float,
    blood: np.ndarray | float = 0.0075,
    oxygenation: np.ndarray | float = 0.75,
    *,
    papillary_melanin: np.ndarray | float = 0.0,
    deep_melanin: np.ndarray | float = 0.0,
    bilirubin_um: np.ndarray | float = 2.0,
    scattering: np.ndarray | float = 1.0,
    specular: bool = False,
    streams: int = 8,
    spectra: Spectra | None = None,
) -> np.ndarray:
    """Reflectance spectrum of skin at normal incidence; all mixtures broadcast to (...).

    Args:
        melanin: melanosome fraction of the epidermis at 80 um, 0.002-0.6.
        blood: mean blood fraction of the dermis, 0.0005-0.9; healthy skin 0.004-0.03.
        oxygenation: 0-1.
        papillary_melanin: melanosome fraction between 80 and 230 um below the surface, 0-0.15.
        deep_melanin: between 230 and 480 um, 0-0.15.
        bilirubin_um: micromol/l, 0-30.
        scattering: factor on the scattering of every layer, 0.6-2.
        specular: add the light off the surface (SCI, spectrophotometer); without it (SCE) as under crossed
            polarisers.
        streams: of the solver, 8 or more.
        spectra: grid of wavelengths; 400-700 nm every 10 nm if None.

    Returns:
        (..., W) reflectance in [0, 1].
    """
    spectra = spectra or standard_spectra()
    absorption = layer_absorption(
        melanin, blood, oxygenation,
        papillary_melanin=papillary_melanin, deep_melanin=deep_melanin,
        bilirubin_um=bilirubin_um, spectra=spectra,
    )  # fmt: skip
    return stack_reflectance(
        absorption,
        scattering_coefficients(scattering, spectra),
        anisotropy(spectra.wavelength_nm),
        THICKNESS_CM,
        streams=streams,
        n_inside=REFRACTIVE_INDEX,
        specular=specular,
    )


def spectrum_to_lab(reflectance: np.ndarray, illuminant: str = "D65") -> np.ndarray:
    """(..., 31) reflectance at 400-700 nm to CIELAB (..., 3), white-balanced to D65, 2 deg observer."""
    return xyz_to_lab(torch.from_numpy(reflectance @ spectrum_to_xyz_matrix(illuminant))).numpy()


@dataclass(frozen=True)
class Site:
    """Where skin is measured: all but the melanin, at values that suit the ISSA means of the site."""

    blood: float
    oxygenation: float
    scattering: float
    bilirubin_um: float


SITES = {"body": Site(0.0075, 0.75, 1.0, 2.0), "face": Site(0.016, 0.90, 1.15, 3.0)}
"""One-parameter skins: the arm ("body") and forehead and cheek ("face")."""


@lru_cache(maxsize=8)
def _tone_curve(site: str, specular: bool) -> tuple[np.ndarray, np.ndarray]:
    """ITA in degrees, ascending, and ln melanin there: the solver on 96 melanin contents over one dermis."""
    if site not in SITES:
        raise unknown("site", site, SITES)
    s = SITES[site]
    directions = quadrature(8, REFRACTIVE_INDEX)
    g = anisotropy(standard_spectra().wavelength_nm)
    scattering = scattering_coefficients(s.scattering)
    base = None
    for i in reversed(range(1, len(LAYERS))):
        absorption = dermis_absorption(i, s.blood, s.oxygenation, 0.0, s.bilirubin_um)
        layer = layer_operators(absorption, scattering[i], g, THICKNESS_CM[i], directions)
        base = layer[0] if base is None else add_below(*layer, base)
    log_melanin = np.linspace(np.log(0.0015), np.log(0.7), 96)
    epidermis = epidermis_absorption(np.exp(log_melanin))
    top = layer_operators(epidermis, scattering[0], g, THICKNESS_CM[0], directions)
    reflectance = cover_reflectance(cover(*top, directions), base) + SPECULAR * specular
    lab = spectrum_to_lab(reflectance)
    ita = np.degrees(np.arctan2(lab[:, 0] - 50, lab[:, 2]))
    if not (np.diff(ita) < 0).all():
        raise InputError(f"ITA does not fall with melanin for site {site!r}; check the constants of the tissue")
    return ita[::-1], log_melanin[::-1]


def ita_to_melanin(ita_deg: float, site: str = "body", *, specular: bool = True) -> float:
    """Melanosome fraction of the epidermis (80 um) of skin with a given tone.

    The inverse of the solver with everything but the melanin fixed (:data:`SITES`), by interpolation in ln
    melanin.

    Args:
        ita_deg: individual typology angle, -75 to 70 deg (D65, 2 deg observer).
        site: "body" or "face".
        specular: whether the tone was measured with the light off the surface (SCI: spectrophotometers, ISSA)
            or without (SCE: crossed polarisers).

    Returns:
        A fraction between 0.0015 and 0.7, falling as ITA rises.

    Raises:
        InputError: for an ITA outside measured skin or an unknown site.
    """
    check_range("ita_deg", ita_deg, *ITA_RANGE_DEG, "degrees", "the range of measured skin")
    ita, log_melanin = _tone_curve(site, specular)
    check_range("ita_deg", ita_deg, float(ita[0]), float(ita[-1]), "degrees", f"the model's range for {site}")
    return float(np.exp(np.interp(ita_deg, ita, log_melanin)))


def melanin_to_ita(melanin: float, site: str = "body", *, specular: bool = True) -> float:
    """ITA in degrees of skin with a melanosome fraction of 0.0015-0.7; inverse of :func:`ita_to_melanin`."""
    check_range("melanin", melanin, 0.0015, 0.7)
    ita, log_melanin = _tone_curve(site, specular)
    return float(np.interp(np.log(melanin), log_melanin[::-1], ita[::-1]))
