"""Every scene parameter of the simulator: range, unit, meaning and source."""

from __future__ import annotations

from synthderm.core import ParameterSpec

LIGHTS = ("D65", "A", "LED_B1", "LED_B3", "LED_B5", "LED_V1", "FL2")
CASTS = ("neutral", "ham10000", "isic2017", "pad_ufes_20")

_DERMOSCOPEDIA = "Argenziano et al. 2003, J Am Acad Dermatol 48:679 (consensus meeting); amplitude is ours"
_ABCD = "Nachbar et al. 1994, J Am Acad Dermatol 30:551; scale is ours"
_JACQUES = "Jacques 2013, Phys Med Biol 58:R37"
_FIT = "range observed on the real training pack, eval/fit_priors.py"


def _p(name: str, description: str, low: float, high: float, unit: str = "1", source: str = _FIT) -> ParameterSpec:
    return ParameterSpec(name, description, low, high, unit, source)


def _count(name: str, description: str, high: int) -> ParameterSpec:
    return ParameterSpec(name, description, 0, high, "1", _FIT, "int")


def _choice(name: str, description: str, choices: tuple[str, ...], source: str) -> ParameterSpec:
    return ParameterSpec(name, description, source=source, kind="choice", choices=choices)


_SPECS = (
    # healthy skin
    _p("skin.blood", "blood volume fraction of the dermis", 0.001, 0.06, "1", _JACQUES + ": 0.2-7 %"),
    _p("skin.oxygenation", "oxygen saturation of the blood", 0.3, 0.95, "1", _JACQUES),
    _p("skin.mottle", "unevenness of melanin, coarse and fine", 0, 1),
    _p("skin.redness", "unevenness of blood: blotches and fine vessels", 0, 1),
    _p("skin.relief", "depth of the skin's line pattern", 0, 1),
    _p("skin.pores", "strength of pores and follicles", 0, 1),
    _p("skin.freckles", "brown spots of sun-damaged skin", 0, 1),
    # lesion
    _p("lesion.radius", "mean radius as a share of the field's width", 0.03, 0.65),
    _p("lesion.offset_x", "centre, from the middle of the field", -0.4, 0.4, "field widths"),
    _p("lesion.offset_y", "centre, from the middle of the field, downwards", -0.4, 0.4, "field widths"),
    _p("lesion.elongation", "long axis over short axis", 1, 2.5),
    _p("lesion.asymmetry", "departure of the outline and the colours from symmetry", 0, 1, "1", _ABCD),
    _p("lesion.border", "irregularity of the outline", 0, 1, "1", _ABCD),
    _p("lesion.edge", "width of the pigment's fall-off over the radius", 0.02, 0.8),
    _p("lesion.pigment", "melanosome fraction added to the epidermis", 0, 0.5, "1", _JACQUES),
    _p("lesion.pigment_variation", "unevenness of the pigment (log standard deviation)", 0, 1.2),
    _p("lesion.tone_scaling", "growth of the lesion's pigment with the skin's melanin", 0, 3, "1", "modelling choice"),
    _p("lesion.patchiness", "share of the lesion that lost its pigment in patches", 0, 1),
    _p("lesion.dermal_pigment", "melanosome fraction of the papillary dermis (grey-brown)", 0, 0.08, "1", _JACQUES),
    _p("lesion.deep_pigment", "melanosome fraction of the mid dermis (grey-blue)", 0, 0.12, "1", _JACQUES),
    _p("lesion.hypopigmentation", "share of the skin's own melanin that is lost", 0, 0.9),
    _p("lesion.erythema", "blood that is added, in units of 0.8 % of the dermis (a pale skin's own)", 0, 12),
    _p("lesion.elevation", "height above the skin (shading and shadow in clinical images)", 0, 3, "mm"),
    _p("lesion.verrucous", "papillary, cerebriform surface", 0, 1, "1", _DERMOSCOPEDIA),
    # dermoscopic structures, amplitude 0 (absent) to 1
    *(
        _p(f"structure.{name}", description, 0, 1, "1", _DERMOSCOPEDIA)
        for name, description in (
            ("pigment_network", "brown lines around lighter holes"),
            ("network_atypia", "irregularity of the network's holes, lines and colour"),
            ("negative_network", "lighter lines around darker islands"),
            ("globules", "round brown bodies"),
            ("dots", "small dark points"),
            ("streaks", "radial streaming and pseudopods at the border"),
            ("blue_whitish_veil", "confluent blue pigment under a whitish film"),
            ("regression_structures", "scar-like depigmentation with peppering"),
            ("milia_like_cyst", "round white bodies"),
            ("comedo_like_openings", "round dark plugs"),
            ("arborising_vessels", "branching vessels"),
            ("dotted_vessels", "red points"),
            ("ulceration", "blood-stained loss of the surface"),
            ("blue_grey_ovoid_nests", "confluent blue-grey ovoid bodies"),
            ("lagoons", "red to purple blood spaces with septa"),
            ("scar", "white fibrous centre"),
            ("scale", "white surface scale"),
        )
    ),
    _p("structure.lagoon_oxygenation", "oxygen saturation of lagoons: low is purple", 0.3, 0.95),
    # artefacts
    _count("artefact.hairs", "terminal hairs", 80),
    _p("artefact.hair_melanin", "darkness of the hairs: 0.1 blond, 1.2 black", 0.05, 1.3),
    _p("artefact.hair_width_mm", "diameter of the hairs", 0.03, 0.12, "mm", "human scalp and body hair, 30-120 um"),
    _count("artefact.bubbles", "bubbles of the immersion gel", 30),
    ParameterSpec("artefact.ruler", "a millimetre scale at an edge", source=_FIT, kind="bool"),
    _p("artefact.ink", "surgical ink stroke", 0, 1),
    _p("artefact.field_stop", "radius of the dermoscope's round field over half the width; 0: none", 0, 1.4),
    _p("artefact.vignette", "light lost towards the corners", 0, 0.6),
    _p("artefact.glare", "residual surface reflection (dermoscopy)", 0, 1),
    # camera
    _p("camera.field_mm", "width of the field", 4, 60, "mm"),
    _choice("camera.light", "illuminant; the camera balances its white", LIGHTS, "CIE 015:2018"),
    _choice("camera.cast", "data set whose colour casts are drawn", CASTS, "eval/fit_look.py"),
    ParameterSpec(
        "camera.calibrated",
        "the exposure keeps the requested ITA on healthy skin; false: the cast is free, as in the data set",
        source="simulator design, tone check", kind="bool",
    ),
    _p("camera.exposure", "distance of the skin's colour from (L* 50, b* 0), over the physical one (log)", -0.6, 0.6),
    _p("camera.saturation", "chroma gain", 0.6, 1.8),
    _p("camera.contrast", "slope of the tone curve about the skin's colour", 0.7, 2.0),
    _p("camera.red_contrast", "exponent of the red channel's ratio to the skin", 0.3, 1.5),
    _p("camera.blur", "standard deviation of the point spread over the width", 0, 0.02),
    _p("camera.noise", "noise, 1: 1.5 % of a mid-grey", 0, 1),
    _p("camera.sharpening", "unsharp mask", 0, 1.5),
    ParameterSpec("camera.jpeg_quality", "quality of the camera's own JPEG; 100: none", 40, 100, "1", _FIT, "int"),
    # light: the tilt in both modalities, the rest in clinical photographs
    _p("light.tilt", "change of the light from one side of the field to the other", 0, 0.6),
    _p("light.azimuth_deg", "direction that the light comes from", 0, 360, "deg"),
    _p("light.elevation_deg", "height of the light over the skin", 15, 85, "deg"),
    _p("light.ambient", "share of light without a direction", 0.05, 0.95),
    _p("light.gloss", "strength of the skin's shine", 0, 1, "1", "Weyrich et al. 2006, ACM TOG 25:1013"),
    _p("light.curvature", "curvature of the body part: shading and focus fall off", 0, 1),
    _p("light.defocus", "blur of what lies out of focus", 0, 1),
)  # fmt: skip

SCENE_PARAMETERS: dict[str, ParameterSpec] = {spec.name: spec for spec in _SPECS}
"""Every parameter by its dotted name."""
