"""What every training run shares: drawing batches, the optimiser's schedule, a running average, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from synthderm.core import InputError

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def batches(pool: torch.Tensor, batch_size: int, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Index batches: the pool is shuffled, used up, and shuffled again; every batch is full.

    Args:
        pool: (M,) int64 indices; an index that stands there twice is drawn twice per round.
        batch_size: indices per batch.
        steps: number of batches.
        generator: the only source of chance.

    Raises:
        InputError: if the pool is empty.
    """
    if len(pool) == 0:
        raise InputError("nothing to train on: expected at least one image, got an empty pool")
    waiting = pool[:0]
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, pool[torch.randperm(len(pool), generator=generator)]])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def autocast(precision: str) -> AbstractContextManager[None]:
    """The arithmetic of a step: "fp32", or "bf16" (fast only where the processor has it).

    Raises:
        InputError: for another name.
    """
    if precision == "fp32":
        return nullcontext()
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    raise InputError(f"precision must be 'fp32' or 'bf16', but got {precision!r}")


class Average:
    """Exponential running average of a network's weights; buffers are taken as they are.

    The decay starts low, min(decay, (1 + t) / (10 + t)), so that the first random weights are soon forgotten
    (the schedule of TensorFlow's ``ExponentialMovingAverage``).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present weights."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, weight)
            else:
                self.state[name].copy_(value)
