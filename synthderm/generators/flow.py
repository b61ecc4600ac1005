"""The compact rectified flow as a generator: images with lesion masks, conditioned on class, tone and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synthderm.core import HEALTHY_SKIN, LESION, Condition, InputError, ParameterSpec, Sample, check_parameters, stream
from synthderm.core.checks import unknown
from synthderm.core.resources import shipped_folder
from synthderm.core.threads import one_thread
from synthderm.functional.attributes import ATTRIBUTES, lesion_attributes
from synthderm.functional.color import median_lab
from synthderm.functional.skin import healthy_skin
from synthderm.functional.tone_shift import turn_to_ita
from synthderm.models.adapters import find_adapter, read_card
from synthderm.models.flow import FlowConditions
from synthderm.models.flow.conditions import STYLE_OF_MODALITY
from synthderm.models.flow.load import BASE, LoadedFlow, adapter_folder, flow_adapters, load_flow
from synthderm.models.flow.pipeline import CHUNK
from synthderm.models.pipelines import has_fast_bfloat16

from .base import one_for_each
from .gates import Gate
from .likeness import likeness_gates

SIZES = (64, 512)
DEFAULT_ADAPTER = {"dermoscopy": "dermoscopy", "clinical": "clinical"}
NEAR = 32
"""Colours of the table among which the skin of an image is drawn."""

_MEANING = {
    "asymmetry": "of the outline about its two axes",
    "border": "irregularity of the outline",
    "colour": "variety of colours in the lesion",
    "size": "share of the image that the lesion takes",
    "darkness": "of the lesion against the skin",
}
PARAMETERS = {
    name: ParameterSpec(
        name, f"{_MEANING[name]}; percentile among training lesions", 0.0, 1.0, "1", "lesion_attributes"
    )
    for name in ATTRIBUTES
}


class FlowGenerator:
    """A rectified flow over image and mask together, with a LoRA adapter for the look of real data sets.

    Args:
        size: side of the images, 64 to 512 px. The flow itself makes 128 px; other sizes are resampled.
        masks: "lesion" or "all", which is the same here.
        maps: not available; True is an error.
        base: folder of a flow; the shipped one by default.
        adapter: shipped name or path; "none" for the base alone. By default the shipped one for the modality.
        adapter_weight: how strongly it is applied.
        style: look of the images, one of the flow's styles; by default that of the modality, or what the adapter saw.
        num_inference_steps: Euler steps.
        guidance_scale: 1 is none.
        device: "cpu", "cuda", ...
        dtype: "fp32", "bf16", or "auto": bf16 where the processor is fast with it.

    Raises:
        InputError: for an option that cannot be used, or missing weights.
    """

    name = "flow"
    version = "1"
    default_size = 128
    attributes: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterSpec] = PARAMETERS

    def __init__(
        self,
        size: int = 128,
        masks: str | Sequence[str] = (LESION,),
        maps: bool = False,
        *,
        base: str | Path | None = None,
        adapter: str | Path | None = None,
        adapter_weight: float = 1.0,
        style: str | None = None,
        num_inference_steps: int = 8,
        guidance_scale: float = 4.0,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        if not SIZES[0] <= size <= SIZES[1]:
            raise InputError(f"size must be {SIZES[0]} to {SIZES[1]} px for the flow, but got {size}")
        if maps:
            raise InputError("the flow makes no float maps; leave out maps, or take the simulator")
        if not isinstance(masks, str) and set(masks) - {LESION, HEALTHY_SKIN}:
            raise unknown("mask", sorted(set(masks) - {LESION, HEALTHY_SKIN})[0], (LESION,))
        self.size, self.base, self.adapter, self.adapter_weight = size, base, adapter, adapter_weight
        self.style, self.steps, self.guidance = style, num_inference_steps, guidance_scale
        self.device, self.precision = device, precision(dtype, device)
        self._loaded: dict[str, LoadedFlow] = {}
        self._gates: dict[str, tuple[Gate, ...]] = {}

    @property
    def licence(self) -> str:
        """Licence of the images: the adapter's, or that of the base."""
        found = [flow.adapter.licence for flow in self._loaded.values() if flow.adapter]
        return found[0] if found else "CC0-1.0"

    @property
    def attribution(self) -> tuple[str, ...]:
        """Lines that must travel with the images."""
        lines = ["Made by the synthderm flow, trained on images of the synthderm simulator."]
        for flow in self._loaded.values():
            lines += flow.adapter.attribution if flow.adapter else ()
        return tuple(dict.fromkeys(lines))

    @classmethod
    def remark(cls) -> str:
        """What `synthderm info` says of the flow: whether its weights are there, and the licences of the adapters."""
        if not (shipped_folder("checkpoints") / BASE).is_dir():
            return "no weights in checkpoints/flow; --base is the folder of a flow that `synthderm train flow` made"
        adapters = [f"{name} ({read_card(find_adapter(adapter_folder(name))).licence})" for name in flow_adapters()]
        return f"base CC0-1.0; adapters: {', '.join(adapters) or 'none'}"

    def load(self, modality: str) -> LoadedFlow:
        """The flow for a modality, loaded once."""
        name = self.adapter or DEFAULT_ADAPTER[modality]
        if str(name) not in self._loaded:
            self._loaded[str(name)] = load_flow(self.base, name, self.adapter_weight, self.device)
        return self._loaded[str(name)]

    def notes(self, conditions: Sequence[Condition]) -> tuple[str, ...]:
        """What a person should know of these conditions: classes that the adapter never saw, sizes it does not make."""
        found = []
        for modality in dict.fromkeys(one.modality for one in conditions):
            flow = self.load(modality)
            native = flow.pipeline.front_end.config.size
            if flow.adapter and flow.adapter.classes:
                codes = dict.fromkeys(one.diagnosis for one in conditions if one.modality == modality)
                unseen = [code for code in codes if code not in flow.adapter.classes]
                if unseen:
                    found.append(
                        f"the adapter {flow.adapter_name} was trained on no image of {', '.join(unseen)}: what it "
                        "shows of them comes from the simulated images of the base"
                    )
            if self.size != native:
                found.append(f"the flow makes {native} px; images of {self.size} px are resampled from them")
        return tuple(found)

    def gates(self, modality: str) -> tuple[Gate, ...]:
        """The gates of images of a modality; see :func:`~synthderm.generators.likeness.likeness_gates`."""
        if modality not in self._gates:
            self._gates[modality] = likeness_gates(modality, self.load(modality).copies)
        return self._gates[modality]

    def sample(self, seeds: Sequence[int], condition: Condition | Sequence[Condition]) -> Iterator[Sample]:
        """One sample for each seed, in order; see :class:`~synthderm.generators.Generator`.

        Raises:
            InputError: if there are not as many conditions as seeds, or the flow knows the class or style not.
        """
        conditions = one_for_each(seeds, condition)
        for start in range(0, len(conditions), CHUNK):
            rows = slice(start, start + CHUNK)
            with one_thread(), torch.inference_mode():
                made = self._batch(list(seeds[rows]), conditions[rows])
            yield from made

    def _batch(self, seeds: list[int], conditions: list[Condition]) -> list[Sample]:
        found: dict[int, Sample] = {}
        for modality in dict.fromkeys(one.modality for one in conditions):
            rows = [i for i, one in enumerate(conditions) if one.modality == modality]
            flow = self.load(modality)
            asked = [self._ask(flow, seeds[i], conditions[i]) for i in rows]
            told = FlowConditions.cat([one for one, _ in asked])
            made = flow.pipeline(told, [seeds[i] for i in rows], self.steps, self.guidance, self.precision)
            for k, i in enumerate(rows):
                image, mask = self._resized(made.images[k], made.masks[k])
                found[i] = self._sample(flow, image, mask, seeds[i], asked[k][1])
        return [found[i] for i in range(len(seeds))]

    def _ask(self, flow: LoadedFlow, seed: int, condition: Condition) -> tuple[FlowConditions, dict[str, Any]]:
        encoder = flow.pipeline.condition_encoder.config
        style = self.style or _style(flow, condition.modality)
        for what, name, known in (("class", condition.diagnosis, encoder.classes), ("style", style, encoder.styles)):
            if name not in known:
                raise unknown(f"{what} for this flow", name, known)
        held = check_parameters(condition.parameters, PARAMETERS)
        ita = condition.draw_ita(seed)
        skin = draw_skin(flow, style, ita, stream(seed, "skin"))
        attributes = torch.tensor([float(held.get(name, torch.nan)) for name in ATTRIBUTES])
        told = FlowConditions(
            torch.tensor([encoder.classes.index(condition.diagnosis)]),
            torch.tensor([encoder.styles.index(style)]),
            skin[None],
            attributes[None],
        )
        asked = {
            "ita_requested_deg": round(ita, 3),
            "skin_lab_requested": [round(float(v), 2) for v in skin],
            "style": style,
            **{f"{name}_requested": float(value) for name, value in held.items()},
        }
        return told, asked

    def _resized(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.shape[-1] == self.size:
            return image, mask
        wide = F.interpolate(image[None].float(), size=self.size, mode="bicubic", antialias=True, align_corners=False)[
            0
        ]
        soft = F.interpolate(mask[None, None].float(), size=self.size, mode="bilinear", align_corners=False)[0, 0]
        return wide.round().clamp(0, 255).to(torch.uint8), soft > 0.5

    def _sample(
        self, flow: LoadedFlow, image: torch.Tensor, mask: torch.Tensor, seed: int, asked: dict[str, Any]
    ) -> Sample:
        skin = healthy_skin(image, mask)
        lab = torch.tensor(median_lab(image, skin))
        raw = lesion_attributes(image, mask, lab)
        shares = flow.pipeline.condition_encoder.percentiles(raw[None])[0]
        metadata = {
            **asked,
            **{
                name: None if share.isnan() else round(float(share), 4)
                for name, share in zip(ATTRIBUTES, shares, strict=True)
            },
            "lesion_area": round(float(mask.float().mean()), 5),
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "precision": self.precision,
            "base": flow.base,
            "base_sha256": flow.base_sha256,
            "adapter": flow.adapter_name,
            "adapter_sha256": flow.adapter.weights_sha256 if flow.adapter else "",
            "adapter_weight": self.adapter_weight,
            "native_size_px": flow.pipeline.front_end.config.size,
        }
        return Sample(
            image=image.clone(), masks={LESION: mask.clone(), HEALTHY_SKIN: skin}, metadata=metadata, seed=seed
        )


def precision(dtype: str, device: str = "cpu") -> str:
    """The arithmetic for a flag of "auto", "fp32" or "bf16": "fp32" or "bf16".

    On a processor bf16 pays only where :func:`~synthderm.models.pipelines.has_fast_bfloat16`.
    """
    if dtype not in ("auto", "fp32", "bf16"):
        raise unknown("dtype of the flow", dtype, ("auto", "fp32", "bf16"))
    if dtype != "auto":
        return dtype
    return "bf16" if not device.startswith("cpu") or has_fast_bfloat16() else "fp32"


def _style(flow: LoadedFlow, modality: str) -> str:
    """That of the modality; if the adapter saw others alone, the one it saw most."""
    usual, seen = STYLE_OF_MODALITY[modality], flow.adapter.metadata.get("styles", ()) if flow.adapter else ()
    return seen[0] if seen and usual not in seen else usual


def draw_skin(flow: LoadedFlow, style: str, ita_deg: float, rng: np.random.Generator) -> torch.Tensor:
    """A skin colour (3,) CIELAB of the given ITA: one of the nearest of the flow's table, turned to the angle."""
    table = flow.pipeline.condition_encoder.skin_table(style)
    angles = torch.rad2deg(torch.atan2(table[:, 0] - 50, table[:, 2]))
    near = (angles - ita_deg).abs().topk(min(NEAR, len(table)), largest=False).indices
    return turn_to_ita(table[int(near[rng.integers(len(near))])], ita_deg)
