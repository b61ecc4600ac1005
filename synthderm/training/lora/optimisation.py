"""The optimiser, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from synthderm.core import InputError, MissingExtraError

from .config import LoraConfig


def make_optimiser(config: LoraConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), or its variant with 8-bit state (Dettmers et al. 2022).

    Raises:
        MissingExtraError: "adamw8bit" without bitsandbytes.
        InputError: "adamw8bit" without a GPU.
    """
    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **options)
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingExtraError("bitsandbytes", "quantize") from error
    if not torch.cuda.is_available():
        raise InputError("--optimizer adamw8bit needs a GPU, and there is none; use adamw")
    return bitsandbytes.optim.AdamW8bit(parameters, **options)


def learning_rate(config: LoraConfig, step: int) -> float:
    """The rate of the update after ``step`` updates: a linear warm-up, then constant or half a cosine to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.lr_schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
