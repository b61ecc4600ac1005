"""Stable Diffusion 3: rectified flow on latents, guidance by two passes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ..cache import Tensors
from .base import per_image
from .flow_matching import draw_sigmas, noisy, path_shift
from .flux import ATTENTION
from .text import TextTarget


class StableDiffusion3Target(TextTarget):
    """A ``StableDiffusion3Pipeline``."""

    family = "sd3"
    encoder_names = (
        "text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3",
    )  # fmt: skip
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
        "guidance_scale": 4.5,
        "max_sequence_length": 128,
    }

    @property
    def model(self) -> nn.Module:
        """The transformer."""
        return self.pipeline.transformer

    @property
    def multiple(self) -> int:
        """A patch of latents makes a token."""
        return self.pipeline.vae_scale_factor * self.model.config.patch_size

    def encode_texts(self, texts: list[str]) -> Tensors:
        """Joint sequence of CLIP and T5, and both pooled CLIP embeddings."""
        sequence, _, pooled, _ = self.pipeline.encode_prompt(
            prompt=texts, prompt_2=None, prompt_3=None, device=self.device, do_classifier_free_guidance=False,
            max_sequence_length=self.config.max_sequence_length,
        )  # fmt: skip
        return {"prompt_embeds": sequence, "pooled_prompt_embeds": pooled}

    def loss(
        self, model: nn.Module, latents: torch.Tensor, conditions: Tensors, generator: torch.Generator
    ) -> torch.Tensor:
        """Squared error of the velocity noise - latents at drawn noise levels."""
        n, _, height, width = latents.shape
        noise = self.noise(latents, generator)
        scheduler = self.pipeline.scheduler.config
        tokens = height * width // self.model.config.patch_size**2
        sigmas = draw_sigmas(n, path_shift(scheduler, tokens), generator).to(latents.device)
        found = model(
            hidden_states=noisy(latents, noise, sigmas).to(self.dtype),
            timestep=(sigmas * scheduler.num_train_timesteps).to(self.dtype),
            encoder_hidden_states=conditions["prompt_embeds"],
            pooled_projections=conditions["pooled_prompt_embeds"],
            return_dict=False,
        )[0]
        return per_image((found.float() - (noise - latents).float()) ** 2)

    def pipeline_inputs(self, conditions: Tensors, unconditional: Tensors) -> dict[str, torch.Tensor]:
        """Conditional and unconditional embeddings."""
        both = {**conditions, **{f"negative_{name}": value for name, value in unconditional.items()}}
        return {name: value.to(self.device) for name, value in both.items()}
