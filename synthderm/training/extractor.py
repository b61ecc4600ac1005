"""Training a feature extractor: the diagnosis, and beside it what the image looks like."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from synthderm.models.networks import ResNet

from .classifier import ClassifierConfig, Objective, train_classifier
from .loop import Progress

LOOK_STATISTICS = 9
LOOK_WEIGHT = 0.3


def look_statistics(x: torch.Tensor) -> torch.Tensor:
    """What a classifier learns to ignore and a judge of images must not: colour, contrast and fine detail.

    Args:
        x: (N, 3, H, W) float sRGB 0 to 1.

    Returns:
        (N, 9): mean and log standard deviation of each channel, and the log mean absolute Laplacian of the grey
        image at full, half and quarter resolution; scaled to about mean 0 and deviation 1 on dermoscopy.
    """
    mean = (x.mean((2, 3)) - 0.6) / 0.15
    spread = (x.std((2, 3)).clamp_min(1e-3).log() + 2.2) / 0.5
    grey, details = x.mean(1, keepdim=True), []
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=x.dtype)[None, None]
    for _ in range(3):
        details.append(F.conv2d(grey, kernel).abs().mean((1, 2, 3)).clamp_min(1e-4).log())
        grey = F.avg_pool2d(grey, 2)
    return torch.cat([mean, spread, (torch.stack(details, 1) + 3.3) / 0.6], 1)


def extractor_objective(look: nn.Linear, label_smoothing: float) -> Objective:
    """Cross-entropy of the diagnosis plus the squared error of a linear read-out of :func:`look_statistics`.

    The second term keeps in the features what the first would drop, so that noise, blur and a colour cast move
    them (measured by ``eval/degradations.py``).
    """

    def objective(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        features = network.features(x)
        diagnosis = F.cross_entropy(network.head(features).float(), labels, label_smoothing=label_smoothing)
        return diagnosis + LOOK_WEIGHT * F.mse_loss(look(features).float(), look_statistics(x.float()))

    return objective


def balanced_pool(labels: torch.Tensor) -> torch.Tensor:
    """Indices in which the class with n images stands about in proportion to the square root of n.

    Args:
        labels: (N,) int64.

    Returns:
        (M,) int64, M >= N: all of the commonest class once, the others repeated round(sqrt(n_max / n)) times.
    """
    counts = torch.bincount(labels)
    times = (counts.max() / counts.clamp_min(1)).sqrt().round().long().clamp_min(1)
    return torch.arange(len(labels)).repeat_interleave(times[labels])


def train_extractor(
    images: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    config: ClassifierConfig,
    seed: int,
    progress: Progress | None = None,
) -> ResNet:
    """A :class:`~synthderm.models.networks.ResNet` whose features judge images and whose head names the diagnosis.

    Args:
        images: (N, 3, H, W) uint8, sRGB.
        labels: (N,) int64 in [0, num_classes).
        num_classes: number of diagnoses.
        config: steps, batch, size and so on.
        seed: of weights, order and augmentation.
        progress: called after each step.
    """
    torch.manual_seed(seed)
    network = ResNet(num_classes)
    look = nn.Linear(network.num_features, LOOK_STATISTICS)
    network.look = look  # trained with the network, dropped from what is returned
    objective = extractor_objective(look, config.label_smoothing)
    train_classifier(
        network, images, labels, config, seed, balanced_pool(labels), progress=progress, objective=objective
    )
    del network.look
    return network
