"""The compact flow: rectified flow on the tokens of image and lesion mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from synthderm.core import InputError
from synthderm.core.resources import shipped_folder
from synthderm.models.flow.conditions import UNKNOWN, FlowConditions, style_of
from synthderm.models.flow.load import load_flow, weights_sha256
from synthderm.models.flow.network import Velocity
from synthderm.models.pipelines import quiet
from synthderm.training.flow.adapter import TARGETS
from synthderm.training.flow.images import to_input

from ..cache import Tensors, cache_key, fingerprint
from ..config import LoraConfig
from ..examples import Example
from .base import Target, per_image
from .flow_matching import draw_sigmas, noisy

DROP_EACH = 0.1
"""Chance that diagnosis, style or skin colour is not told although the others are, each by itself."""

DROP_ATTRIBUTES = 0.4
"""Chance that an attribute of the lesion is not told, each by itself."""


SHIPPED = "flow"
"""Folder of the shipped flow in ``checkpoints``."""

FIELDS = ("diagnosis", "style", "skin_lab", "attributes")


def _folder(base: str | Path) -> Path:
    """The folder of a flow: as given, or the one that ships."""
    return shipped_folder("checkpoints") / SHIPPED if str(base) == "compact" else Path(base)


def _style(name: str, names: Sequence[str]) -> int:
    """Index of a style, or that of "unknown" where the flow lacks it."""
    return list(names).index(name) if name in names else UNKNOWN


class CompactTarget(Target):
    """A ``SkinFlowPipeline``."""

    family = "compact"
    needs_masks = True
    defaults: ClassVar[dict[str, Any]] = {
        "target_modules": TARGETS,
        "steps": 500,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "resolution": 128,
        "augmentation": "dihedral",
        "tones": 2,
        "samples": 64,
        "sample_steps": 8,
        "guidance_scale": 4.0,
        "max_sequence_length": 0,
    }

    def __init__(self, pipeline: Any, config: LoraConfig) -> None:
        size = pipeline.front_end.config.size
        if config.resolution != size:
            raise InputError(
                f"this flow makes images of {size} px, but got resolution {config.resolution}; leave it out"
            )
        if config.captions is not None:
            raise InputError(
                "the compact flow reads no captions: it is told class, skin colour and what is measured of the lesion; "
                "leave --captions out, and correct labels in the data set's table"
            )
        super().__init__(pipeline, config)

    @classmethod
    def load(cls, config: LoraConfig) -> Any:
        """The shipped flow, or one in a folder."""
        with quiet():
            return load_flow(_folder(config.base)).pipeline

    def base_facts(self) -> tuple[str, str]:
        """Name or path of the flow, and its fingerprint."""
        return str(self.config.base), weights_sha256(_folder(self.config.base))

    def adapter_facts(self, examples: Sequence[Example]) -> dict[str, Any]:
        """The styles that the images were trained under, the most frequent first."""
        counts = Counter(style_of(example.dataset, example.modality) for example in examples)
        return {"styles": [name for name, _ in counts.most_common()]}

    @property
    def model(self) -> nn.Module:
        """The transformer."""
        return self.pipeline.transformer

    @property
    def multiple(self) -> int:
        """The front end knows one size."""
        return self.pipeline.front_end.config.size

    def image_fingerprint(self) -> str:
        """Of the front end."""
        return fingerprint(self.pipeline.front_end)

    def condition_fingerprint(self) -> str:
        """Of the condition encoder."""
        return fingerprint(self.pipeline.condition_encoder)

    def condition_text(self, example: Example | None) -> str:
        """All numbers of the condition."""
        return (
            ""
            if example is None
            else cache_key(example.diagnosis, style_of(example.dataset, example.modality), *example.look)
        )

    @torch.no_grad()
    def encode_conditions(self, examples: Sequence[Example | None]) -> list[Tensors]:
        """Class, style, skin colour and attribute percentiles; the condition encoder itself runs in the loss."""
        return [self._condition(example) for example in examples]

    def _condition(self, example: Example | None) -> Tensors:
        found = FlowConditions.unknown(1)
        if example is not None:
            encoder = self.pipeline.condition_encoder
            if example.diagnosis not in encoder.config.classes:
                raise InputError(
                    f"the flow {self.config.base} knows no class {example.diagnosis}, but {example.file} shows it; "
                    f"expected {', '.join(encoder.config.classes)}"
                )
            raw = torch.tensor([example.look[3:]])
            percentiles = torch.where(raw.isnan(), torch.nan, encoder.percentiles(raw.nan_to_num()))
            found = FlowConditions(
                torch.tensor([list(encoder.config.classes).index(example.diagnosis)]),
                torch.tensor([_style(style_of(example.dataset, example.modality), encoder.config.styles)]),
                torch.tensor([example.look[:3]]),
                percentiles,
            )
        return {name: getattr(found, name)[0] for name in FIELDS}

    @torch.no_grad()
    def encode_images(self, images: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
        """Tokens of image and mask, as the flow was trained on."""
        pixels = ((images + 1) * 127.5).round().to(torch.uint8)
        return self.pipeline.front_end.encode(to_input(pixels, masks))

    def loss(
        self, model: nn.Module, latents: torch.Tensor, conditions: Tensors, generator: torch.Generator
    ) -> torch.Tensor:
        """Squared error of the velocity noise - latents; while training some conditions are left out."""
        noise = self.noise(latents, generator)
        sigmas = draw_sigmas(len(latents), 1.0, generator).to(latents.device)
        told = FlowConditions(*(conditions[name] for name in FIELDS))
        told = _dropped(told, generator) if model.training else told
        network = Velocity(model, self.pipeline.condition_encoder, self.pipeline.front_end.deviation)
        backends = [SDPBackend.MATH] if latents.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        with sdpa_kernel(backends):
            found = network(noisy(latents, noise, sigmas), sigmas, told, self.config.training_guidance)
        return per_image((found.float() - (noise - latents).float()) ** 2)

    @property
    def sample_batch(self) -> int:
        """The pipeline cuts its own chunks."""
        return max(64, self.config.batch_size)

    @torch.no_grad()
    def sample(self, conditions: Tensors, unconditional: Tensors, seeds: Sequence[int]) -> torch.Tensor:
        """The pipeline's own sampler on the live networks."""
        told = FlowConditions(*(conditions[name] for name in FIELDS))
        found = self.pipeline(
            told,
            seeds,
            num_inference_steps=self.config.sample_steps,
            guidance_scale=self.config.guidance_scale,
            precision="bf16" if self.config.mixed_precision == "bf16" else "fp32",
        )
        return found.images

    def release_encoders(self) -> None:
        """The condition encoder is small, and runs in the loss."""

    def place(self, device: torch.device) -> None:
        """All to the device, in float32: autocast does the rest."""
        self.device = device
        self.pipeline.to(device)


def _dropped(told: FlowConditions, generator: torch.Generator) -> FlowConditions:
    """Some conditions as unknown, as the base was trained."""
    n, device = len(told), told.diagnosis.device
    each = (torch.rand(n, 3, generator=generator) < DROP_EACH).to(device)
    single = (torch.rand(told.attributes.shape, generator=generator) < DROP_ATTRIBUTES).to(device)
    return FlowConditions(
        told.diagnosis.masked_fill(each[:, 0], UNKNOWN),
        told.style.masked_fill(each[:, 1], UNKNOWN),
        told.skin_lab.masked_fill(each[:, 2:], torch.nan),
        told.attributes.masked_fill(single, torch.nan),
    )
