"""The simulator as a generator: layered skin optics, dermoscopic structures, exact masks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from synthderm.core import (
    HEALTHY_SKIN,
    LESION,
    Condition,
    InputError,
    ParameterSpec,
    Sample,
    ita_to_fst,
)
from synthderm.core.checks import unknown
from synthderm.core.threads import one_thread
from synthderm.simulator.parameters import SCENE_PARAMETERS
from synthderm.simulator.photo import quantise
from synthderm.simulator.priors import draw_scene
from synthderm.simulator.relief import normals
from synthderm.simulator.render import MASK_NAMES, Scene, render
from synthderm.simulator.scores import abcd_score, seven_point_score
from synthderm.simulator.tissue import ita_to_melanin, melanin_to_ita
from synthderm.simulator.visibility import VISIBLE_DELTA_E

from .base import one_for_each

SIZES = (64, 1024)


class SimulatorGenerator:
    """Renders each sample by itself from its seed and condition.

    Args:
        size: side of the square image, 64 to 1024 px.
        masks: "lesion", "all", or names of :data:`~synthderm.simulator.render.MASK_NAMES`; lesion and healthy
            skin are always there.
        maps: also return the float maps (melanin, blood, height, normals, ...).

    Raises:
        InputError: for a size out of range or an unknown mask.
    """

    name = "simulator"
    version = "1"
    licence = "CC0-1.0"
    attribution = (
        "Rendered by the synthderm simulator. Class priors and colour casts are aggregate statistics of HAM10000 "
        "(Tschandl et al. 2018, CC BY-NC 4.0), ISIC 2017 (Codella et al. 2018, CC0) and PAD-UFES-20 "
        "(Pacheco et al. 2020, CC BY 4.0).",
    )
    attributes: tuple[str, ...] = tuple(name for name in MASK_NAMES if name not in (LESION, HEALTHY_SKIN))
    parameters: Mapping[str, ParameterSpec] = SCENE_PARAMETERS

    def __init__(self, size: int = 256, masks: str | Sequence[str] = (LESION,), maps: bool = False) -> None:
        if not SIZES[0] <= size <= SIZES[1]:
            raise InputError(f"size must be {SIZES[0]} to {SIZES[1]} px, but got {size}")
        names = MASK_NAMES if masks == "all" else (masks.split(",") if isinstance(masks, str) else masks)
        for name in names:
            if name not in MASK_NAMES:
                raise unknown("mask", name, MASK_NAMES)
        self.size = size
        self.masks = tuple(dict.fromkeys((LESION, HEALTHY_SKIN, *names)))
        self.maps = maps

    def sample(self, seeds: Sequence[int], condition: Condition | Sequence[Condition]) -> Iterator[Sample]:
        """One sample for each seed, in order; see :class:`~synthderm.generators.Generator`.

        Raises:
            InputError: if there are not as many conditions as seeds, or a parameter cannot be used.
        """
        for seed, one in zip(seeds, one_for_each(seeds, condition), strict=True):
            with one_thread(), torch.inference_mode():
                sample = self._render(seed, one)
            yield sample

    def _render(self, seed: int, condition: Condition) -> Sample:
        values = draw_scene(condition, seed)
        ita = condition.draw_ita(seed)
        scene = render(seed, self.size, values, ita, condition.modality)
        image = _camera_jpeg(quantise(scene.image), values["camera.jpeg_quality"])
        metadata = {
            "ita_requested_deg": round(ita, 3),
            "mm_per_px": values["camera.field_mm"] / self.size,
            **_physical_tone(ita),
            **{f"cast_gain_{n}": round(g, 5) for n, g in zip(("red", "green", "blue"), scene.cast_gains, strict=True)},
            **_seen(scene),
            **abcd_score(scene),
            **seven_point_score(scene),
            **values,
        }
        return Sample(
            image=image.clone(),
            masks={name: scene.masks[name].clone() for name in self.masks},
            metadata=metadata,
            seed=seed,
            maps=_float_maps(scene, values["camera.field_mm"] / self.size) if self.maps else {},
        )


def _camera_jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """The image after the camera's own JPEG (4:2:0); unchanged at quality 100."""
    if quality >= 100:
        return image
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)


def _physical_tone(ita_deg: float) -> dict[str, float]:
    """Tone of the model skin under D65: with (SCI) and without (SCE) the light off the surface."""
    melanin = ita_to_melanin(ita_deg)
    return {
        "melanin_fraction": round(melanin, 5),
        "ita_sci_deg": round(melanin_to_ita(melanin), 2),
        "ita_sce_deg": round(melanin_to_ita(melanin, specular=False), 2),
        "fst_scene": ita_to_fst(ita_deg),
    }


def _seen(scene: Scene) -> dict[str, object]:
    """Which structures were placed, which can be seen, and the lesion's contrast."""
    structures = sorted(name for name, mask in scene.placed.items() if name != LESION and bool(mask.any()))
    visible = [name for name in structures if bool(scene.masks[name].any())]
    return {
        "structures_placed": ",".join(structures),
        "structures_visible": ",".join(visible),
        "structures_invisible": ",".join(name for name in structures if name not in visible),
        "lesion_delta_e": round(scene.delta_e[LESION], 3),
        "lesion_visible": scene.delta_e[LESION] >= VISIBLE_DELTA_E,
        "lesion_area": round(float(scene.masks[LESION].float().mean()), 5),
    }


def _float_maps(scene: Scene, mm_per_px: float) -> dict[str, torch.Tensor]:
    tissue = scene.tissue
    maps = {
        "melanin": tissue.epidermal,
        "papillary_melanin": tissue.papillary,
        "deep_melanin": tissue.deep,
        "blood": tissue.blood,
        "blood_lake": tissue.pool,
        "keratin": tissue.keratin,
        "fibrosis": tissue.fibrosis,
        "height_mm": scene.height_mm,
        "normals": normals(scene.height_mm, mm_per_px),
    }
    return {name: values.float().clone() for name, values in maps.items()}
