"""The velocity of the compact flow: a FLUX transformer with the condition encoder in front."""

from __future__ import annotations

import warnings

import torch
from diffusers import FluxTransformer2DModel
from torch import nn

from .conditions import ConditionEncoder, FlowConditions
from .front_end import LappedKLT

# torch says once that autocast rules out its fused RMS norm; nobody can do anything about it
warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight", category=UserWarning)


class Velocity(nn.Module):
    """Tokens, noise level and conditions to the velocity ``noise - x`` of each token.

    Attributes:
        transformer: of diffusers, with patch size 1.
        condition_encoder: makes its text tokens and pooled vector.
        deviation: (components,) standard deviation of each component of the tokens, of the front end.
    """

    def __init__(
        self, transformer: FluxTransformer2DModel, condition_encoder: ConditionEncoder, deviation: torch.Tensor
    ) -> None:
        super().__init__()
        self.transformer, self.condition_encoder = transformer, condition_encoder
        self.register_buffer("deviation", deviation, persistent=False)

    @classmethod
    def fresh(
        cls,
        condition_encoder: ConditionEncoder,
        front_end: LappedKLT,
        width: int = 256,
        num_layers: int = 2,
        num_single_layers: int = 6,
    ) -> Velocity:
        """Random weights; modulations and the last layer start at zero (Peebles & Xie 2023, section 3.2)."""
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=front_end.config.num_components,
            num_layers=num_layers,
            num_single_layers=num_single_layers,
            attention_head_dim=64,
            num_attention_heads=width // 64,
            joint_attention_dim=condition_encoder.config.width,
            pooled_projection_dim=condition_encoder.config.width,
            guidance_embeds=True,
            axes_dims_rope=(16, 24, 24),
        )
        for name, parameter in transformer.named_parameters():
            modulation = "norm" in name and "linear" in name
            if modulation or name.startswith("proj_out"):
                nn.init.zeros_(parameter)
        return cls(transformer, condition_encoder, front_end.deviation)

    def forward(
        self, tokens: torch.Tensor, sigma: torch.Tensor, conditions: FlowConditions, guidance: float = 1.0
    ) -> torch.Tensor:
        """(N, T, C) tokens at noise levels (N,) 0 to 1, to velocities (N, T, C)."""
        embeds, pooled = self.condition_encoder(conditions)
        return self.velocity(tokens, sigma, embeds, pooled, guidance)

    def velocity(
        self,
        tokens: torch.Tensor,
        sigma: torch.Tensor,
        prompt_embeds: torch.Tensor,
        pooled: torch.Tensor,
        guidance: float = 1.0,
    ) -> torch.Tensor:
        """The same for encoded conditions.

        The transformer is told the tokens brought to variance 1, and its answer is added to the best linear estimate
        of the velocity, component by component, in units of what that leaves unexplained: an untrained network is
        thus a Wiener filter (the preconditioning of Karras et al. 2022, NeurIPS, section 5, for the straight path
        ``x_s = (1 - s) x + s noise`` and a variance for each component). Where the signal is weak against the noise,
        as in fine detail, a plain network leaves noise behind.
        """
        level, signal = sigma[:, None, None], self.deviation.to(tokens)
        variance = ((1 - level) * signal).square() + level.square()
        estimate = (level - (1 - level) * signal.square()) / variance * tokens
        answer = self.transformer(
            hidden_states=tokens * variance.rsqrt(),
            encoder_hidden_states=prompt_embeds,
            pooled_projections=pooled,
            timestep=sigma,
            guidance=torch.full_like(sigma, guidance),
            img_ids=positions(tokens.shape[1], tokens.device),
            txt_ids=torch.zeros(prompt_embeds.shape[1], 3, device=tokens.device),
        ).sample
        return estimate + signal * variance.rsqrt() * answer.float()


def positions(tokens: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(tokens, 3) places of the tokens of a square image, row by row, as FLUX counts them: (0, row, column)."""
    side = round(tokens**0.5)
    grid = torch.zeros(side, side, 3, device=device)
    grid[..., 1] = torch.arange(side, device=device)[:, None]
    grid[..., 2] = torch.arange(side, device=device)[None]
    return grid.view(-1, 3)
