"""The compact flow as a diffusers pipeline: conditions and seeds to images with lesion masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.utils import BaseOutput

from synthderm.core import InputError

from .conditions import ConditionEncoder, FlowConditions
from .front_end import LappedKLT
from .network import Velocity

CHUNK = 16
"""Images that go through the network at once: always as many, so that an image does not depend on their number."""

GUIDED = (0.15, 0.85)
"""Noise levels between which guidance is applied (Kynkaanniemi et al. 2024, NeurIPS): outside it costs variety."""


@dataclass
class SkinFlowOutput(BaseOutput):
    """What the pipeline returns.

    Attributes:
        images: (N, 3, S, S) uint8, sRGB.
        masks: (N, S, S) bool, lesion.
    """

    images: torch.Tensor
    masks: torch.Tensor


class SkinFlowPipeline(DiffusionPipeline):
    """A rectified flow over the tokens of images and masks together.

    Saved and loaded like any diffusers pipeline (``save_pretrained``, ``from_pretrained``); its LoRA adapters are
    those of its :class:`~diffusers.FluxTransformer2DModel`.

    Args:
        transformer: the velocity.
        front_end: images to tokens and back.
        condition_encoder: conditions to the transformer's text inputs.
        scheduler: noise levels and steps.
    """

    model_cpu_offload_seq = "condition_encoder->transformer->front_end"

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        front_end: LappedKLT,
        condition_encoder: ConditionEncoder,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer, front_end=front_end, condition_encoder=condition_encoder, scheduler=scheduler
        )

    @property
    def velocity(self) -> Velocity:
        """Transformer and condition encoder as the one network that is trained."""
        return Velocity(self.transformer, self.condition_encoder, self.front_end.deviation)

    def noise(self, seeds: Sequence[int]) -> torch.Tensor:
        """(N, tokens, components) normal numbers, each image from its own seed, drawn on the processor."""
        shape = (self.front_end.num_tokens, self.front_end.config.num_components)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds]
        return torch.stack(drawn) if drawn else torch.empty(0, *shape)

    @torch.no_grad()
    def __call__(
        self,
        conditions: FlowConditions,
        seeds: Sequence[int],
        num_inference_steps: int = 8,
        guidance_scale: float = 4.0,
        precision: str = "fp32",
        solver_order: int = 2,
    ) -> SkinFlowOutput:
        """Images and masks.

        Args:
            conditions: of N images.
            seeds: N numbers; an image depends on its own seed and conditions alone.
            num_inference_steps: steps of the solver.
            guidance_scale: 1 is none; up to 4 a class shows more clearly and images come nearer to real
                ones (``python eval/flow.py steps``). Steps with guidance cost twice.
            precision: "fp32", or "bf16" for autocast.
            solver_order: 1 is Euler; 2 (Adams-Bashforth) also uses the velocity of the step before, at no further cost:
                eight steps then come much nearer to eighty than Euler's (``python eval/flow.py solvers`` measures it).

        Raises:
            InputError: if there are not as many seeds as conditions, or a number cannot be used.
        """
        if len(seeds) != len(conditions):
            raise InputError(f"expected as many seeds as conditions ({len(conditions)}), but got {len(seeds)}")
        if num_inference_steps < 1:
            raise InputError(f"num_inference_steps must be 1 or more, but got {num_inference_steps}")
        if not 0 <= guidance_scale <= 20:
            raise InputError(f"guidance_scale must be 0 to 20, but got {guidance_scale:g}")
        if solver_order not in (1, 2):
            raise InputError(f"solver_order must be 1 or 2, but got {solver_order}")
        noise, parts = self.noise(seeds), []
        for start in range(0, len(seeds), CHUNK):
            rows = slice(start, start + CHUNK)
            n = len(noise[rows])
            filled = FlowConditions.cat([conditions[rows], FlowConditions.unknown(CHUNK - n)])
            padded = torch.cat([noise[rows], torch.zeros(CHUNK - n, *noise.shape[1:])])
            tokens = self._solve(padded, filled, num_inference_steps, guidance_scale, precision, solver_order)
            parts.append(self.front_end.decode(tokens)[:n].cpu())
        pixels = torch.cat(parts) if parts else torch.empty(0, 4, *[self.front_end.config.size] * 2)
        images = ((pixels[:, :3].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return SkinFlowOutput(images=images, masks=pixels[:, 3] > 0)

    def _solve(
        self,
        noise: torch.Tensor,
        conditions: FlowConditions,
        steps: int,
        guidance: float,
        precision: str,
        order: int,
    ) -> torch.Tensor:
        device = self.transformer.device
        network, tokens = self.velocity, noise.to(device)
        plain, pull = _Extrapolated(order), _Extrapolated(order)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            told = self.condition_encoder(conditions.to(device))
            untold = self.condition_encoder(FlowConditions.unknown(len(conditions)).to(device))
            both = tuple(torch.cat(pair) for pair in zip(told, untold, strict=True))
            self.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps))
            sigmas = self.scheduler.sigmas.tolist()
            for timestep, sigma, following in zip(self.scheduler.timesteps, sigmas[:-1], sigmas[1:], strict=True):
                level, step = torch.full((len(tokens),), sigma, device=device), following - sigma
                if guidance != 1 and GUIDED[0] <= sigma <= GUIDED[1]:
                    velocity = network.velocity(tokens.repeat(2, 1, 1), level.repeat(2), *both).float()
                    known, unknown = velocity.chunk(2)
                    mean = plain(known, step) + pull((guidance - 1) * (known - unknown), step)
                else:
                    mean = plain(network.velocity(tokens, level, *told).float(), step)
                    pull.forget()
                tokens = self.scheduler.step(mean, timestep, tokens, return_dict=False)[0]
        return tokens


class _Extrapolated:
    """The mean of a velocity over the coming step, on the line through it and the one of the step before.

    The second-order Adams-Bashforth method for steps of unequal length (Hairer, Norsett & Wanner 1993, section III.5,
    eq. 5.5). The part that guidance adds has a history of its own, since it comes and goes.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.forget()

    def forget(self) -> None:
        self.before: torch.Tensor | None = None
        self.step = 0.0

    def __call__(self, velocity: torch.Tensor, step: float) -> torch.Tensor:
        mean = velocity
        if self.order == 2 and self.before is not None:
            mean = velocity + step / (2 * self.step) * (velocity - self.before)
        self.before, self.step = velocity, step
        return mean
