"""Scenes for tests: plain skin, one lesion, no camera noise, and what the test changes."""

import torch

from synthderm.core import Condition
from synthderm.simulator.priors import draw_scene
from synthderm.simulator.render import Scene, render

PLAIN = {
    "skin.mottle": 0.2, "skin.redness": 0.2, "skin.relief": 0.3, "skin.pores": 0, "skin.freckles": 0,
    "skin.blood": 0.008, "skin.oxygenation": 0.75,
    "lesion.radius": 0.3, "lesion.offset_x": 0, "lesion.offset_y": 0, "lesion.elongation": 1.2, "lesion.asymmetry": 0.3,
    "lesion.border": 0.3, "lesion.edge": 0.2, "lesion.pigment": 0.08, "lesion.pigment_variation": 0.4,
    "lesion.patchiness": 0, "lesion.dermal_pigment": 0, "lesion.deep_pigment": 0, "lesion.hypopigmentation": 0,
    "lesion.erythema": 1, "lesion.elevation": 0.3, "lesion.verrucous": 0, "lesion.tone_scaling": 0.5,
    "artefact.hairs": 0, "artefact.bubbles": 0, "artefact.ruler": False, "artefact.ink": 0, "artefact.field_stop": 0,
    "artefact.vignette": 0, "artefact.glare": 0.2,
    "camera.field_mm": 12, "camera.light": "D65", "camera.cast": "neutral", "camera.calibrated": True,
    "camera.exposure": 0, "camera.saturation": 1, "camera.contrast": 1, "camera.blur": 0.002, "camera.noise": 0,
    "camera.sharpening": 0, "camera.jpeg_quality": 100, "light.tilt": 0,
}  # fmt: skip


def plain(**changes) -> dict:
    """Every scene parameter of a plain nevus; ``structure__globules=0.5`` changes "structure.globules"."""
    structures = {f"structure.{name}": 0 for name in STRUCTURES}
    held = {**PLAIN, **structures, **{name.replace("__", "."): value for name, value in changes.items()}}
    return draw_scene(Condition("nv", fst=2, parameters=held), seed=1)


STRUCTURES = (
    "pigment_network", "network_atypia", "negative_network", "globules", "dots", "streaks", "blue_whitish_veil",
    "regression_structures", "milia_like_cyst", "comedo_like_openings", "arborising_vessels", "dotted_vessels",
    "ulceration", "blue_grey_ovoid_nests", "lagoons", "scar", "scale",
)  # fmt: skip


def scene(seed=1, size=128, ita=48.0, modality="dermoscopy", **changes) -> Scene:
    """One rendered scene."""
    with torch.inference_mode():
        return render(seed, size, plain(**changes), ita, modality)


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two masks; 1 for two empty ones."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
