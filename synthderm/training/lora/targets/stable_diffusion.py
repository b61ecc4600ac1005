"""Stable Diffusion 1 and 2: denoising diffusion with a U-Net that predicts the noise or the velocity."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from synthderm.core import InputError

from ..cache import Tensors
from ..config import LoraConfig
from .base import per_image
from .text import TextTarget


class StableDiffusionTarget(TextTarget):
    """A ``StableDiffusionPipeline``."""

    family = "sd"
    encoder_names = ("text_encoder", "tokenizer")
    defaults: ClassVar[dict[str, Any]] = {
        "target_modules": ("to_q", "to_k", "to_v", "to_out.0"),
        "steps": 1000,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "resolution": 512,
        "augmentation": "flip",
        "tones": 0,
        "samples": 8,
        "sample_steps": 20,
        "guidance_scale": 5.0,
        "max_sequence_length": 77,
    }

    def __init__(self, pipeline: Any, config: LoraConfig) -> None:
        from diffusers import DDPMScheduler

        super().__init__(pipeline, config)
        self.training_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        prediction = self.training_scheduler.config.prediction_type
        if prediction not in ("epsilon", "v_prediction"):
            raise InputError(
                f"expected a base that predicts 'epsilon' or 'v_prediction', got {prediction!r} in its scheduler"
            )

    @property
    def model(self) -> nn.Module:
        """The U-Net."""
        return self.pipeline.unet

    @property
    def multiple(self) -> int:
        """Each level of the U-Net but the last halves the latents."""
        return self.pipeline.vae_scale_factor * 2 ** (len(self.model.config.block_out_channels) - 1)

    def encode_texts(self, texts: list[str]) -> Tensors:
        """CLIP sequence."""
        sequence, _ = self.pipeline.encode_prompt(texts, self.device, 1, False)
        return {"prompt_embeds": sequence}

    def loss(
        self, model: nn.Module, latents: torch.Tensor, conditions: Tensors, generator: torch.Generator
    ) -> torch.Tensor:
        """Squared error of what the scheduler's ``prediction_type`` names, at drawn timesteps.

        Ho et al. 2020, eq. 14 for the noise; Salimans and Ho 2022, appendix D, for the velocity.
        """
        scheduler = self.training_scheduler
        noise = self.noise(latents, generator)
        steps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=generator)
        steps = steps.to(latents.device)
        found = model(
            scheduler.add_noise(latents, noise, steps).to(self.dtype),
            steps,
            encoder_hidden_states=conditions["prompt_embeds"],
            return_dict=False,
        )[0]
        epsilon = scheduler.config.prediction_type == "epsilon"
        wanted = noise if epsilon else scheduler.get_velocity(latents, noise, steps)
        return per_image((found.float() - wanted.float()) ** 2)

    def pipeline_inputs(self, conditions: Tensors, unconditional: Tensors) -> dict[str, torch.Tensor]:
        """Conditional and unconditional embeddings."""
        sequence, nothing = conditions["prompt_embeds"], unconditional["prompt_embeds"]
        return {"prompt_embeds": sequence.to(self.device), "negative_prompt_embeds": nothing.to(self.device)}
