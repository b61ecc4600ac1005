"""FLUX.1: rectified flow on packed latents, with an embedded guidance scale in the dev model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ..cache import Tensors
from .base import per_image
from .flow_matching import draw_sigmas, noisy, path_shift
from .text import TextTarget

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


class FluxTarget(TextTarget):
    """A ``FluxPipeline``."""

    family = "flux"
    encoder_names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    defaults: ClassVar[dict[str, Any]] = {
        "target_modules": ATTENTION,
        "steps": 1000,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "resolution": 512,
        "augmentation": "flip",
        "tones": 0,
        "samples": 8,
        "sample_steps": 20,
        "guidance_scale": 3.5,
        "max_sequence_length": 128,
    }

    @property
    def model(self) -> nn.Module:
        """The transformer."""
        return self.pipeline.transformer

    @property
    def multiple(self) -> int:
        """Two latents of the autoencoder make a token."""
        return 2 * self.pipeline.vae_scale_factor

    def encode_texts(self, texts: list[str]) -> Tensors:
        """T5 sequence and pooled CLIP embedding."""
        sequence, pooled, _ = self.pipeline.encode_prompt(
            prompt=texts, prompt_2=None, device=self.device, max_sequence_length=self.config.max_sequence_length
        )
        return {"prompt_embeds": sequence, "pooled_prompt_embeds": pooled}

    def loss(
        self, model: nn.Module, latents: torch.Tensor, conditions: Tensors, generator: torch.Generator
    ) -> torch.Tensor:
        """Squared error of the velocity noise - latents at drawn noise levels."""
        n, channels, height, width = latents.shape
        noise = self.noise(latents, generator)
        shift = path_shift(self.pipeline.scheduler.config, height * width // 4)
        sigmas = draw_sigmas(n, shift, generator).to(latents.device)
        tokens = self.pipeline._pack_latents(noisy(latents, noise, sigmas), n, channels, height, width)
        velocity = self.pipeline._pack_latents(noise - latents, n, channels, height, width)
        sequence = conditions["prompt_embeds"]
        ids = self.pipeline._prepare_latent_image_ids(n, height // 2, width // 2, latents.device, self.dtype)
        guidance = None
        if self.model.config.guidance_embeds:
            guidance = torch.full((n,), self.config.training_guidance, device=latents.device, dtype=self.dtype)
        found = model(
            hidden_states=tokens.to(self.dtype),
            timestep=sigmas.to(self.dtype),
            guidance=guidance,
            pooled_projections=conditions["pooled_prompt_embeds"],
            encoder_hidden_states=sequence,
            txt_ids=torch.zeros(sequence.shape[1], 3, device=latents.device, dtype=self.dtype),
            img_ids=ids,
            return_dict=False,
        )[0]
        return per_image((found.float() - velocity.float()) ** 2)

    def pipeline_inputs(self, conditions: Tensors, unconditional: Tensors) -> dict[str, torch.Tensor]:
        """Guidance is embedded: no unconditional pass."""
        return {name: value.to(self.device) for name, value in conditions.items()}
