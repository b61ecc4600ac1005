"""Rectified flow (Liu et al. 2023): noise levels, the straight path, and its velocity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


def path_shift(config: Mapping[str, Any], tokens: int) -> float:
    """The factor by which a scheduler moves noise levels up.

    Static schedulers state it. Dynamic ones (FLUX) take exp(mu), with mu linear in the number of image tokens (Esser et
    al. 2024, section 5.3.2, as in diffusers' ``calculate_shift``); "linear" ones take mu itself.

    Args:
        config: of a FlowMatchEulerDiscreteScheduler.
        tokens: image tokens that the network sees.
    """
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", 1.0))
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    mu = low + (high - low) / (many - few) * (tokens - few)
    return mu if config.get("time_shift_type") == "linear" else math.exp(mu)


def draw_sigmas(n: int, shift: float, generator: torch.Generator) -> torch.Tensor:
    """(n,) noise levels in (0, 1): logit-normal (Esser et al. 2024, eq. 19, m = 0, s = 1), then shifted (eq. 23).

    One draw for each n-th of the distribution: batches with the same mean loss, but less scatter.
    """
    place = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
    u = torch.special.ndtri(place.clamp(1e-4, 1 - 1e-4)).sigmoid()
    return shift * u / (1 + (shift - 1) * u)


def noisy(latents: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """(1 - sigma) latents + sigma noise, sigma for each image."""
    sigma = sigmas.to(latents).reshape(-1, *[1] * (latents.ndim - 1))
    return (1 - sigma) * latents + sigma * noise
