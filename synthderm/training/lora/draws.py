"""What chance decides, as a function of (seed, step): nothing depends on what was drawn before, so a run can resume."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import torch


def draw_seed(seed: int, *what: object) -> int:
    """A seed in [0, 2**63) for one purpose: ``draw_seed(seed, "noise", step, batch, process)``."""
    text = " ".join(map(str, ("synthderm lora", seed, *what))).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def generator(seed: int, *what: object) -> torch.Generator:
    """A generator on the CPU with the seed of :func:`draw_seed`."""
    return torch.Generator().manual_seed(draw_seed(seed, *what))


@dataclass(frozen=True)
class Batch:
    """What one process sees in one forward pass.

    Attributes:
        indices: of the examples.
        variants: which turn or flip of each.
        dropped: whether each is shown without its condition.
    """

    indices: tuple[int, ...]
    variants: tuple[int, ...]
    dropped: tuple[bool, ...]


def batch_at(
    number: int, *, examples: int, batch_size: int, variants: int, condition_dropout: float, seed: int
) -> Batch:
    """The batch with a running number over all steps, accumulated batches and processes.

    Examples go round in an order that is shuffled anew for every round.

    Args:
        number: ``(step * gradient_accumulation + part) * processes + process``.
        examples: how many there are to draw from.
        batch_size: examples per batch.
        variants: turns and flips of each example.
        condition_dropout: share of examples without their condition.
        seed: of the run.
    """
    places = range(number * batch_size, (number + 1) * batch_size)
    indices = tuple(_order(seed, place // examples, examples)[place % examples] for place in places)
    chance = generator(seed, "batch", number)
    turns = torch.randint(variants, (batch_size,), generator=chance).tolist()
    dropped = (torch.rand(batch_size, generator=chance) < condition_dropout).tolist()
    return Batch(indices, tuple(turns), tuple(dropped))


@lru_cache(maxsize=4)
def _order(seed: int, round_: int, examples: int) -> tuple[int, ...]:
    return tuple(torch.randperm(examples, generator=generator(seed, "order", round_)).tolist())
