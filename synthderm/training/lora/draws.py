"""What chance decides, as a function of (seed, step): nothing depends on what was drawn before, so a run can resume."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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


class Draws:
    """Which examples come when. They go round in an order that is shuffled anew for every round.

    An example of weight w comes w times a round, on average over the rounds if w is no whole number; exactly once
    where all weights are equal (systematic resampling: Kitagawa 1996, J Comput Graph Stat 5:1, section 3.3).
    """

    def __init__(
        self, weights: Sequence[float], *, batch_size: int, variants: int, condition_dropout: float, seed: int
    ) -> None:
        """Draws of one run.

        Args:
            weights: of the examples, positive.
            batch_size: examples per batch.
            variants: turns and flips of each example.
            condition_dropout: share of examples without their condition.
            seed: of the run.
        """
        self.steps = torch.tensor(weights, dtype=torch.float64).cumsum(0) * len(weights) / sum(weights)
        self.batch_size, self.variants, self.condition_dropout = batch_size, variants, condition_dropout
        self.seed = seed
        self._rounds: dict[int, list[int]] = {}

    def batch(self, number: int) -> Batch:
        """The batch with a running number over all steps, accumulated batches and processes.

        Args:
            number: ``(step * gradient_accumulation + part) * processes + process``.
        """
        n = len(self.steps)
        places = range(number * self.batch_size, (number + 1) * self.batch_size)
        indices = tuple(self._round(place // n)[place % n] for place in places)
        chance = generator(self.seed, "batch", number)
        turns = torch.randint(self.variants, (self.batch_size,), generator=chance).tolist()
        dropped = (torch.rand(self.batch_size, generator=chance) < self.condition_dropout).tolist()
        return Batch(indices, tuple(turns), tuple(dropped))

    def _round(self, number: int) -> list[int]:
        """The examples of a round, in their order."""
        if number not in self._rounds:
            chance = generator(self.seed, "order", number)
            n = len(self.steps)
            marks = torch.arange(n, dtype=torch.float64) + torch.rand(1, generator=chance, dtype=torch.float64)
            chosen = torch.searchsorted(self.steps, marks).clamp_max(n - 1)
            kept = {key: order for key, order in self._rounds.items() if key == number - 1}
            self._rounds = {**kept, number: chosen[torch.randperm(n, generator=chance)].tolist()}
        return self._rounds[number]


def class_weights(classes: Sequence[str], balance: float) -> list[float]:
    """Weights by which a class of n images is drawn in proportion to n^(1 - balance).

    Args:
        classes: of the examples.
        balance: 0: as they are; 1: all classes equally often.
    """
    counts = Counter(classes)
    return [counts[name] ** -balance for name in classes]
