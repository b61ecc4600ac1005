"""Training an image classifier for a fixed number of steps, reproducibly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.functional.classification import multiclass_auroc

from synthderm.core import InputError
from synthderm.core.checks import unknown

from .augmentation import AUGMENTATIONS, augment
from .loop import Average, Progress, autocast, batches

Objective = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""Loss of (network, (N, 3, S, S) float sRGB 0 to 1, (N,) int64 labels)."""


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier is trained.

    Attributes:
        steps: optimiser steps; the budget that arms of a comparison share.
        batch_size: images per step.
        size: side of the images that the network sees, px.
        learning_rate: peak of the one-cycle schedule (Smith and Topin 2019) of AdamW.
        weight_decay: of AdamW.
        label_smoothing: 0 to 1.
        augmentation: "none", "classic" or "heavy"; see :mod:`synthderm.training.augmentation`.
        ema: decay of the running average of the weights that is returned.
        precision: "fp32" or "bf16".
        checks: how often the validation part is looked at, if there is one.
    """

    steps: int = 1000
    batch_size: int = 64
    size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    augmentation: str = "classic"
    ema: float = 0.99
    precision: str = "fp32"
    checks: int = 10

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)
        if self.steps < 1 or self.batch_size < 2:
            raise InputError(f"need steps >= 1 and batch_size >= 2, got {self.steps} and {self.batch_size}")


def train_classifier(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    config: ClassifierConfig,
    seed: int,
    pool: torch.Tensor | None = None,
    validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    progress: Progress | None = None,
    objective: Objective | None = None,
) -> nn.Module:
    """Train ``network`` in place and return it in eval mode, with averaged weights.

    What is drawn depends on ``seed``, ``config`` and the length of ``pool`` only. The network's first weights are the
    caller's: make it after ``torch.manual_seed(seed)`` for a run that can be repeated.

    Args:
        network: (N, 3, S, S) float sRGB 0 to 1 to (N, C) logits.
        images: (N, 3, S, S) uint8, sRGB, S = ``config.size`` or larger (augmentation resamples them).
        labels: (N,) int64 in [0, C).
        config: the recipe.
        seed: of the order of the images and the augmentation.
        pool: indices to draw from; an index may stand there more than once. All images by default.
        validation: images and labels; the averaged weights with the best macro AUROC on them are returned. The
            last ones without it.
        progress: called after each step.
        objective: the loss; cross-entropy with the config's label smoothing by default.

    Raises:
        InputError: if the pool is empty, shapes do not fit, or the loss is not finite.
    """
    if len(images) != len(labels):
        raise InputError(f"expected as many labels as images, got {len(labels)} and {len(images)}")
    torch.manual_seed(seed)  # for dropout in networks that have it
    generator = torch.Generator().manual_seed(seed)
    pool = torch.arange(len(images)) if pool is None else pool
    network.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
    )
    objective = objective or (
        lambda network, x, y: F.cross_entropy(network(x).float(), y, label_smoothing=config.label_smoothing)
    )
    average, best = Average(network, config.ema), _Best()
    for step, chosen in enumerate(batches(pool, config.batch_size, config.steps, generator), 1):
        x = _augmented(images[chosen], config, generator)
        with autocast(config.precision):
            loss = objective(network, x, labels[chosen])
        if not torch.isfinite(loss):
            raise InputError(f"training became unstable at step {step}: the loss is {loss.item()}; lower learning_rate")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update(network)
        if validation is not None and step % max(1, config.steps // config.checks) == 0:
            best.offer(_validate(network, average, *validation), average)
        if progress is not None:
            progress(step, config.steps)
    network.load_state_dict(best.state or average.state)
    network.validation_auroc = best.score if best.state else None
    return network.eval()


def _augmented(images: torch.Tensor, config: ClassifierConfig, generator: torch.Generator) -> torch.Tensor:
    ranges = AUGMENTATIONS[config.augmentation]
    return to_size(images, config.size) if ranges is None else augment(images, ranges, generator, size=config.size)[0]


class _Best:
    """The best averaged weights so far."""

    def __init__(self) -> None:
        self.score: float | None = None
        self.state: dict[str, torch.Tensor] | None = None

    def offer(self, score: float, average: Average) -> None:
        if self.score is None or score > self.score:
            self.score, self.state = score, {name: value.clone() for name, value in average.state.items()}


def _validate(network: nn.Module, average: Average, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Macro AUROC of the averaged weights over the classes that the validation part holds."""
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(average.state)
    preds = predict(network.eval(), images)
    network.load_state_dict(kept)
    network.train()
    each = multiclass_auroc(preds, labels, num_classes=preds.shape[1], average="none")
    counts = torch.bincount(labels, minlength=preds.shape[1])
    return float(each[(counts > 0) & (counts < len(labels))].mean())


def to_size(images: torch.Tensor, size: int) -> torch.Tensor:
    """(N, 3, H, W) uint8 to (N, 3, size, size) float sRGB 0 to 1, antialiased."""
    x = images.float() / 255
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


@torch.no_grad()
def predict(network: nn.Module, images: torch.Tensor, batch_size: int = 256, size: int | None = None) -> torch.Tensor:
    """Class probabilities.

    Args:
        network: (N, 3, S, S) float sRGB 0 to 1 to (N, C) logits; in eval mode.
        images: (N, 3, H, W) uint8, sRGB.
        batch_size: images at a time.
        size: side that the network sees, px; the images' own by default.

    Returns:
        (N, C) float64, rows sum to 1.
    """
    size = size or images.shape[-1]
    parts = [network(to_size(part, size)).double().softmax(1) for part in images.split(batch_size)]
    return torch.cat(parts) if parts else torch.empty(0, 0, dtype=torch.float64)
