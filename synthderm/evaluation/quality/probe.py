"""A linear probe: multinomial logistic regression on features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from synthderm.core import InputError
from synthderm.core.threads import one_thread


@dataclass(frozen=True)
class Probe:
    """A linear classifier of feature vectors.

    Attributes:
        mean: (D,) subtracted from features.
        deviation: (D,) that they are then divided by.
        weight: (C, D).
        bias: (C,).
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def recognise(self, features: np.ndarray) -> np.ndarray:
        """(N, D) features to (N,) int64, the class with the highest score of each."""
        x = (torch.from_numpy(np.asarray(features, dtype=np.float64)) - self.mean) / self.deviation
        return F.linear(x, self.weight, self.bias).argmax(1).numpy()


def fit_probe(features: np.ndarray, labels: np.ndarray, num_classes: int, strength: float = 1.0) -> Probe:
    """Fit a probe; every class weighs the same, however rare it is.

    Minimises |weight|^2 / 2 + strength * sum_i N / (C n_c(i)) * cross-entropy_i on standardised features, in float64,
    by L-BFGS (the objective of scikit-learn's ``LogisticRegression(C=strength, class_weight="balanced")``).

    Args:
        features: (N, D), finite.
        labels: (N,) int64 in [0, num_classes).
        num_classes: C; every class must occur.
        strength: inverse of the penalty.

    Raises:
        InputError: if a class does not occur.
    """
    x, y = torch.from_numpy(np.asarray(features, dtype=np.float64)), torch.from_numpy(np.asarray(labels)).long()
    counts = torch.bincount(y, minlength=num_classes).double()
    if bool((counts == 0).any()):
        raise InputError(f"expected images of every class, but class number {int(counts.argmin())} has none")
    mean, deviation = x.mean(0), x.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    x = (x - mean) / deviation
    weight = torch.zeros(num_classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    each = (len(y) / (num_classes * counts))[y] * strength

    def objective() -> torch.Tensor:
        losses = F.cross_entropy(F.linear(x, weight, bias), y, reduction="none")
        return (weight.square().sum() / 2 + (each * losses).sum()) / len(y)

    with one_thread():  # sums in one order: the same digits on every machine
        _minimise(objective, [weight, bias])
    return Probe(mean, deviation, weight.detach(), bias.detach())


def _minimise(objective: object, parameters: list[torch.Tensor], steps: int = 500) -> None:
    solver = torch.optim.LBFGS(
        parameters, max_iter=steps, history_size=20, tolerance_grad=1e-7, tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    solver.step(closure)
