"""What the text-to-image families share: captions, an image autoencoder, the pipeline's own sampler."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ..cache import Tensors, fingerprint
from ..config import LoraConfig
from ..examples import Example
from .base import Target, to_uint8


class TextTarget(Target):
    """Base of targets whose condition is a caption and whose latents are those of an ``AutoencoderKL``.

    Attributes:
        encoder_names: components that only encode captions.
    """

    encoder_names: ClassVar[tuple[str, ...]]

    @classmethod
    def load(cls, config: LoraConfig) -> Any:
        """The family's pipeline, on the CPU."""
        from synthderm.models.pipelines import load_pipeline

        dtype = "bfloat16" if config.mixed_precision == "bf16" else "float32"
        return load_pipeline(config.base, config.family, dtype=dtype)

    def base_facts(self) -> tuple[str, str]:
        """Path or id of the base, and its fingerprint."""
        from synthderm.models.bases import find_base

        base = find_base(self.config.base, self.family)
        return base.name, base.fingerprint

    @property
    def vae(self) -> Any:
        """The image autoencoder."""
        return self.pipeline.vae

    def image_fingerprint(self) -> str:
        """Of the autoencoder."""
        return fingerprint(self.vae)

    def condition_fingerprint(self) -> str:
        """Of the text encoders, with the number of tokens."""
        modules = [getattr(self.pipeline, name) for name in self.encoder_names if not name.startswith("tokenizer")]
        return f"{fingerprint(*modules)} {self.config.max_sequence_length} {self.dtype}"

    def condition_text(self, example: Example | None) -> str:
        """The caption; empty for none."""
        return example.caption if example is not None else ""

    @torch.no_grad()
    def encode_conditions(self, examples: Sequence[Example | None]) -> list[Tensors]:
        """Embeddings of the captions."""
        for name in self.encoder_names:
            component = getattr(self.pipeline, name)
            if isinstance(component, torch.nn.Module):
                component.to(self.device, self.dtype)
        found = self.encode_texts([self.condition_text(example) for example in examples])
        return [{name: value[i].to("cpu", self.dtype) for name, value in found.items()} for i in range(len(examples))]

    @abstractmethod
    def encode_texts(self, texts: list[str]) -> Tensors:
        """Embeddings with batch dimension."""

    @torch.no_grad()
    def encode_images(self, images: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        """The mode of the autoencoder's posterior, in float32, shifted and scaled as its configuration says."""
        self.vae.to(self.device, torch.float32)
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        modes = self.vae.encode(images.to(self.device)).latent_dist.mode()
        return ((modes - shift) * self.vae.config.scaling_factor).cpu()

    def release_encoders(self) -> None:
        """Text encoders and tokenizers go; the pipeline samples from embeddings."""
        for name in self.encoder_names:
            setattr(self.pipeline, name, None)

    def place(self, device: torch.device) -> None:
        """The tuned network goes to the device; the autoencoder waits on the CPU until it is needed."""
        self.device = device
        self.model.to(device, self.dtype)
        self.vae.to("cpu", self.dtype)
        if device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def sample(self, conditions: Tensors, unconditional: Tensors, seeds: Sequence[int]) -> torch.Tensor:
        """The pipeline's own sampler on the live networks."""
        self.vae.to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        found = self.pipeline(
            **self.pipeline_inputs(conditions, unconditional),
            height=self.config.resolution,
            width=self.config.resolution,
            num_inference_steps=self.config.sample_steps,
            guidance_scale=self.config.guidance_scale,
            generator=generators,
            output_type="pt",
        ).images
        self.vae.to("cpu")
        return to_uint8(found)

    @abstractmethod
    def pipeline_inputs(self, conditions: Tensors, unconditional: Tensors) -> dict[str, torch.Tensor]:
        """The embeddings under the names of the pipeline's call."""
