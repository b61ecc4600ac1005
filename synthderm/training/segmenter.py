"""Training a lesion segmenter for a fixed number of steps, reproducibly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from synthderm.core import InputError
from synthderm.core.checks import unknown

from .augmentation import AUGMENTATIONS, augment
from .classifier import to_size
from .loop import Progress, autocast, batches


@dataclass(frozen=True)
class SegmenterConfig:
    """How a segmenter is trained.

    Attributes:
        steps: optimiser steps; the budget that arms of a comparison share.
        batch_size: images per step.
        size: side that the network sees, px, a multiple of 16.
        learning_rate: peak of the one-cycle schedule of AdamW.
        weight_decay: of AdamW.
        augmentation: "none", "classic" or "heavy".
        precision: "fp32" or "bf16".
    """

    steps: int = 600
    batch_size: int = 16
    size: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    augmentation: str = "classic"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)
        if self.size % 16:
            raise InputError(f"size must be a multiple of 16, but got {self.size}")


def mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus 1 - soft Dice per image (Milletari et al. 2016, eq. 2, without squares).

    Args:
        logits: (N, H, W).
        target: (N, H, W) float, 0 or 1.
    """
    p = logits.sigmoid()
    dice = (2 * (p * target).sum((1, 2)) + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(logits, target) + (1 - dice).mean()


def train_segmenter(
    network: nn.Module,
    images: torch.Tensor,
    masks: torch.Tensor,
    config: SegmenterConfig,
    seed: int,
    pool: torch.Tensor | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train ``network`` in place and return it in eval mode.

    Args:
        network: (N, 3, S, S) float sRGB 0 to 1 to (N, S, S) logits.
        images: (N, 3, H, W) uint8, sRGB.
        masks: (N, H, W) bool.
        config: the recipe.
        seed: of the order of the images and the augmentation.
        pool: indices to draw from, with repeats; all images by default.
        progress: called after each step.

    Raises:
        InputError: if the pool is empty or images and masks do not fit.
    """
    if images.shape[0] != masks.shape[0] or images.shape[-2:] != masks.shape[-2:]:
        raise InputError(f"expected a mask for each image, got {tuple(masks.shape)} for {tuple(images.shape)}")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    pool = torch.arange(len(images)) if pool is None else pool
    network.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.15
    )
    for step, chosen in enumerate(batches(pool, config.batch_size, config.steps, generator), 1):
        x, target = _prepare(images[chosen], masks[chosen], config, generator)
        with autocast(config.precision):
            logits = network(x)
        loss = mask_loss(logits.float(), target.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, config.steps)
    return network.eval()


def _prepare(
    images: torch.Tensor, masks: torch.Tensor, config: SegmenterConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    ranges = AUGMENTATIONS[config.augmentation]
    if ranges is not None:
        return augment(images, ranges, generator, masks, config.size)
    small = F.interpolate(masks[:, None].float(), size=(config.size, config.size), mode="nearest")[:, 0] > 0.5
    return to_size(images, config.size), small


@torch.no_grad()
def predict_masks(network: nn.Module, images: torch.Tensor, size: int = 96, batch_size: int = 64) -> torch.Tensor:
    """Lesion masks at the images' own size.

    Args:
        network: as trained, in eval mode.
        images: (N, 3, H, W) uint8, sRGB.
        size: side that the network sees, px.
        batch_size: images at a time.

    Returns:
        (N, H, W) bool.
    """
    parts = []
    for part in images.split(batch_size):
        logits = network(to_size(part, size))[:, None].float()
        parts.append(F.interpolate(logits, size=part.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0)
    return torch.cat(parts) if parts else torch.empty(0, *images.shape[-2:], dtype=torch.bool)
