"""FLUX.1, Stable Diffusion 3 and Stable Diffusion as generators: captions in, images with masks out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F

from synthderm.core import (
    HEALTHY_SKIN,
    LESION,
    Condition,
    InputError,
    ParameterSpec,
    Sample,
    SynthdermError,
    image_seed,
)
from synthderm.core.checks import check_range
from synthderm.functional.skin import healthy_skin
from synthderm.models.adapters import AdapterCard, check_adapter, load_adapter
from synthderm.models.bases import FAMILIES, UNKNOWN_LICENCE, Base, find_base
from synthderm.models.checkpoints import Segmenter, load_segmenter
from synthderm.models.copy_index import CopyIndex
from synthderm.models.pipelines import SAFETY_NOTE, choose_device, choose_dtype, load_pipeline, memory_errors
from synthderm.models.prompts import ATTRIBUTES

from .base import one_for_each
from .gates import Gate
from .likeness import likeness_gates
from .text_inputs import encode_text, fill_prompt

ADAPTER_NAME = "adapter"
RESOLUTION_STEP = 16
"""px; the sides of what the pipelines draw are multiples of it."""

TRIES = 4
"""How often an image that came out black or not a number is drawn before the run is stopped."""

_ABCD = "captions by the ABCD rule (Stolz et al. 1994)"
_CACHED_PROMPTS = 64


CAPTION_PARAMETERS: Mapping[str, ParameterSpec] = {
    name: ParameterSpec(name, f"words of the caption: {', '.join(words)}", source=_ABCD)
    for name, words in ATTRIBUTES.items()
}
"""Attributes that a condition may hold; they only choose words, which the model may or may not follow."""


class TextToImageGenerator:
    """Draws each image from its own seed and the caption of its condition.

    An image depends on its seed, condition and these options alone. On a CPU the images are drawn one at a time, so
    that their bytes are the same in any batch; a GPU draws batches, whose size may change a value by one of 255, as may
    another number of threads. The safety checker of the pipelines is off (it blanks pictures of bare skin), which the
    attribution says.

    The pipelines draw no masks: the lesion is found by the shipped segmenter, which was trained on dermoscopy.

    Args:
        family: "flux", "sd3" or "sd".
        base: folder of a pipeline that diffusers saved, its id in the hub's cache, or for ``sd`` a .safetensors file.
        size: side of the images, px; what the pipeline draws is resized to it.
        masks: "lesion"; there are no others.
        maps: not available here.
        adapter: LoRA adapter: a folder, a file, or an id in the hub's cache.
        adapter_weight: how strongly it is applied, -2 to 2; 1 is as trained.
        prompt: instead of the caption: plain text, or text with ``{caption}``, ``{diagnosis}``, ``{tone}``, ``{fst}``,
            ``{modality}``, ``{attributes}``, which each image fills in.
        negative_prompt: what not to show. FLUX then needs twice the time: it has no such input of its own, and runs
            classifier-free guidance at ``guidance_scale``.
        num_inference_steps: denoising steps; by default those of the family's model cards.
        guidance_scale: how closely the prompt is followed; by default that of the model cards.
        resolution: side of the image that the pipeline draws, px, a multiple of 16; by default that of the adapter's
            training images, else that of the base.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        dtype: "auto", "float32", "bfloat16" or "float16".
        offload: "model" or "sequential", on CUDA.
        quantization: "int8" or "nf4", on CUDA with bitsandbytes.
        batch_size: images per call of the pipeline on a GPU.

    Raises:
        InputError: if the base or the adapter is missing or unfit, or an option cannot be used.
    """

    one_process = True
    reads_prompts = True
    attributes: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterSpec] = CAPTION_PARAMETERS

    def __init__(
        self,
        family: str,
        base: str | None = None,
        *,
        size: int = 256,
        masks: str | Sequence[str] = LESION,
        maps: bool = False,
        adapter: str | None = None,
        adapter_weight: float | None = None,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        resolution: int | None = None,
        device: str = "auto",
        dtype: str = "auto",
        offload: str | None = None,
        quantization: str | None = None,
        batch_size: int = 16,
    ) -> None:
        self.name = family
        kind = FAMILIES[family]
        if base is None:
            raise InputError(
                f"{family} needs --base: the folder of a {kind.pipeline} that diffusers saved, or its id in the hub's "
                "cache; this library ships none"
            )
        if maps:
            raise InputError(f"{family} makes no float maps; leave --maps out, or use --generator simulator")
        if adapter is None and adapter_weight is not None:
            raise InputError("adapter_weight is given without an adapter; give --adapter too")
        self.base: Base = find_base(base, family)
        self.adapter: AdapterCard | None = check_adapter(adapter, self.base) if adapter else None
        self.size, self.batch_size = size, batch_size
        self.adapter_weight = 1.0 if adapter_weight is None else check_range("adapter_weight", adapter_weight, -2, 2)
        self.prompt, self.negative_prompt = prompt, negative_prompt
        fill_prompt(prompt, Condition("nv", 2))
        fast = not self.base.has_guidance
        self.num_inference_steps = num_inference_steps or (4 if fast else kind.num_inference_steps)
        self.guidance_scale = (0.0 if fast else kind.guidance_scale) if guidance_scale is None else guidance_scale
        if negative_prompt and self.guidance_scale <= 1:
            raise InputError(f"a negative prompt needs a guidance above 1, but it is {self.guidance_scale:g}")
        self.resolution = self._resolution(resolution)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self._load = {"dtype": dtype, "device": str(self.device), "offload": offload, "quantization": quantization}
        self._guidance_given = guidance_scale is not None
        self._texts: dict[str, dict[str, torch.Tensor]] = {}
        self._gates: dict[str, tuple[Gate, ...]] = {}

    @property
    def version(self) -> str:
        """Changes with the weights: "1-<8 digits of the base's fingerprint>-<8 of the adapter's file>"."""
        digits = [self.base.fingerprint[:8]] + ([self.adapter.weights_sha256[:8]] if self.adapter else [])
        return "-".join(["1", *digits])

    @property
    def licence(self) -> str:
        """The licences of base and adapter, an SPDX expression ("A AND B")."""
        names = [self.base.licence] + ([self.adapter.licence] if self.adapter else [])
        return " AND ".join(dict.fromkeys(names))

    @property
    def attribution(self) -> tuple[str, ...]:
        """Lines for the card: base, adapter, segmenter, and that the safety checker is off."""
        lines = [self.base.attribution]
        if self.adapter:
            where = self.adapter.metadata.get("title") or self.adapter.path.parent.name
            lines += [f"Tuned by the adapter {where} (licence {self.adapter.licence}).", *self.adapter.attribution]
        lines.append(f"Lesion masks were found by derm-segmenter (licence {self.segmenter.licence}).")
        return (*lines, SAFETY_NOTE)

    def notes(self, conditions: Sequence[Condition]) -> tuple[str, ...]:
        """What a person should know before these conditions are drawn: unknown licences, unseen classes and tones."""
        found = []
        if UNKNOWN_LICENCE in self.licence:
            found.append("a licence is unknown: look it up before the images are passed on")
        if self._guidance_given and not self.base.has_guidance and not self.negative_prompt:
            found.append("this FLUX has no guidance (schnell); the guidance scale changes nothing")
        if any(one.modality == "clinical" for one in conditions):
            found.append("lesion masks of clinical images come from a segmenter that was trained on dermoscopy")
        return (*found, *(self._adapter_notes(conditions) if self.adapter else ()))

    def _adapter_notes(self, conditions: Sequence[Condition]) -> Iterator[str]:
        card = self.adapter
        if card.base_fingerprint and card.base_fingerprint != self.base.fingerprint:
            yield f"the adapter was trained on another base of the same shape ({card.base}); judge the images yourself"
        classes = sorted({one.diagnosis for one in conditions} - set(card.classes))
        if card.classes and classes:
            yield f"the adapter was never trained on class {', '.join(classes)}; the base alone knows it"
        tones = sorted({one.fst for one in conditions} - set(card.tones))
        if card.tones and tones:
            yield f"the adapter was never trained on skin type {', '.join(map(str, tones))}"

    def gates(self, modality: str) -> tuple[Gate, ...]:
        """The gates of images of a modality; see :func:`~synthderm.generators.likeness.likeness_gates`.

        Copies are looked for where the adapter brings an index of its training images, as those of ``synthderm train
        lora`` do.
        """
        if modality not in self._gates:
            copies = CopyIndex.beside(self.adapter.path) if self.adapter else None
            self._gates[modality] = likeness_gates(modality, copies)
        return self._gates[modality]

    def sample(self, seeds: Sequence[int], condition: Condition | Sequence[Condition]) -> Iterator[Sample]:
        """One sample for each seed, in order; see :class:`~synthderm.generators.Generator`.

        Raises:
            InputError: if there are not as many conditions as seeds.
            SynthdermError: if memory runs out, or an image stays black or not a number.
        """
        conditions = one_for_each(seeds, condition)
        step = 1 if self.device.type == "cpu" else self.batch_size
        for start in range(0, len(seeds), step):
            rows = slice(start, start + step)
            with self._all_processors(), torch.inference_mode():
                samples = self._draw(seeds[rows], conditions[rows])
            yield from samples

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline of diffusers with its adapter, loaded at first use."""
        prepare = None
        if self.adapter:
            prepare = partial(
                load_adapter, path=self.adapter.path, adapter_name=ADAPTER_NAME, weight=self.adapter_weight
            )
        return load_pipeline(self.base, **self._load, prepare=prepare)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The shipped segmenter of lesions."""
        return load_segmenter()

    def _draw(self, seeds: Sequence[int], conditions: Sequence[Condition]) -> list[Sample]:
        prompts = [fill_prompt(self.prompt, one) for one in conditions]
        images = self._images(list(seeds), prompts)
        tries = [1] * len(seeds)
        for i, seed in enumerate(seeds):
            while _is_broken(images[i]):
                if tries[i] == TRIES:
                    raise SynthdermError(_broken_message(seed, self.dtype))
                images[i] = self._images([image_seed(seed, 0, tries[i])], [prompts[i]])[0]
                tries[i] += 1
        return [
            self._sample(image, seed, one, prompt, n)
            for image, seed, one, prompt, n in zip(images, seeds, conditions, prompts, tries, strict=True)
        ]

    def _images(self, seeds: list[int], prompts: list[str]) -> list[torch.Tensor]:
        """(3, R, R) float32 of each seed, sRGB 0 to 1 on the CPU; the noise is drawn on the CPU, image by image."""
        state = {"offload": self._load["offload"], "quantization": self._load["quantization"]}
        with memory_errors(
            device=self.device, dtype=self.dtype, batch_size=len(seeds), resolution=self.resolution, **state
        ):
            pipeline = self.pipeline
            texts = [self._encode(prompt) for prompt in prompts]
            made = pipeline(
                **{name: torch.cat([text[name] for text in texts]) for name in texts[0]},
                **self._guidance(),
                height=self.resolution,
                width=self.resolution,
                num_inference_steps=self.num_inference_steps,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="pt",
            )
        return list(made.images.float().cpu())

    def _encode(self, prompt: str) -> dict[str, torch.Tensor]:
        """The text inputs of a pipeline call for one prompt; kept, since a run repeats few prompts many times."""
        if prompt not in self._texts:
            if len(self._texts) >= _CACHED_PROMPTS:
                self._texts.clear()
            training = self.adapter.metadata.get("training", {}) if self.adapter else {}
            self._texts[prompt] = encode_text(
                self.name,
                self.pipeline,
                prompt,
                self.negative_prompt,
                self.guidance_scale,
                training.get("max_sequence_length"),
            )
        return self._texts[prompt]

    def _guidance(self) -> dict[str, float]:
        if self.name == "flux" and self.negative_prompt:
            return {"guidance_scale": 1.0, "true_cfg_scale": self.guidance_scale}
        return {"guidance_scale": self.guidance_scale}

    def _sample(self, image: torch.Tensor, seed: int, condition: Condition, prompt: str, tries: int) -> Sample:
        pixels = _to_size(image, self.size)
        lesion = self.segmenter(pixels[None])[0]
        asked = {f"{name}_requested": value for name, value in condition.parameters.items()}
        return Sample(
            image=pixels,
            masks={LESION: lesion, HEALTHY_SKIN: healthy_skin(pixels, lesion)},
            metadata={**self._facts, "prompt": prompt, "draws": tries, **_seen(lesion), **asked},
            seed=seed,
        )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What is the same for every image."""
        adapter = self.adapter
        return {
            "negative_prompt": self.negative_prompt,
            "base": self.base.name,
            "base_fingerprint": self.base.fingerprint,
            "adapter": str(adapter.path.parent.name) if adapter else None,
            "adapter_sha256": adapter.weights_sha256 if adapter else None,
            "adapter_weight": self.adapter_weight if adapter else None,
            "model_licence": self.licence,
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "resolution": self.resolution,
            "dtype": str(self.dtype).removeprefix("torch."),
            "mask_source": f"derm-segmenter {self.segmenter.weights_sha256[:8]}",
        }

    def _resolution(self, asked: int | None) -> int:
        if asked is not None and asked % RESOLUTION_STEP:
            near = max(RESOLUTION_STEP, round(asked / RESOLUTION_STEP) * RESOLUTION_STEP)
            raise InputError(f"resolution must be a multiple of {RESOLUTION_STEP} px, but got {asked}; try {near}")
        found = asked or (self.adapter and self.adapter.resolution) or self.base.resolution
        return max(RESOLUTION_STEP, round(found / RESOLUTION_STEP) * RESOLUTION_STEP)

    @contextmanager
    def _all_processors(self) -> Iterator[None]:
        """Let a CPU pipeline use every processor, or as many as OMP_NUM_THREADS says (1 in worker processes)."""
        before = torch.get_num_threads()
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        asked = os.environ.get("OMP_NUM_THREADS", "")
        torch.set_num_threads(int(asked) if asked.isdigit() and int(asked) else available)
        try:
            yield
        finally:
            torch.set_num_threads(before)


flux = partial(TextToImageGenerator, "flux")
"""``--generator flux``: FLUX.1."""

sd3 = partial(TextToImageGenerator, "sd3")
"""``--generator sd3``: Stable Diffusion 3."""

sd = partial(TextToImageGenerator, "sd")
"""``--generator sd``: Stable Diffusion 1.x and 2.x."""


def _is_broken(image: torch.Tensor) -> bool:
    """Whether an image holds values that are no numbers, or is black all over."""
    return not bool(torch.isfinite(image).all()) or float(image.max()) < 2 / 255


def _broken_message(seed: int, dtype: torch.dtype) -> str:
    hint = "--dtype float32" if dtype != torch.float32 else "another base, or without the adapter"
    return f"the image of seed {seed} is black or not a number after {TRIES} draws in {dtype}: try {hint}"


def _to_size(image: torch.Tensor, size: int) -> torch.Tensor:
    """(3, R, R) float sRGB 0 to 1 to (3, size, size) uint8."""
    if image.shape[-1] != size:
        image = F.interpolate(image[None], size=(size, size), mode="bicubic", antialias=True, align_corners=False)[0]
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _seen(lesion: torch.Tensor) -> dict[str, Any]:
    return {"lesion_visible": bool(lesion.any()), "lesion_area": round(float(lesion.float().mean()), 5)}
