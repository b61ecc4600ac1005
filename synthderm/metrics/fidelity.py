"""Class fidelity as a metric: does a classifier that knows real images recognise the requested class?"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchmetrics import Metric

from synthderm.core import InputError

AVERAGES = ("macro", "micro", "none")


class ClassFidelity(Metric):
    """Share of images in which a classifier recognises the class that was asked for, 0 to 1.

    The classification accuracy score of Ravuri and Vinyals 2019 turned round: trained on real images, asked about
    synthetic ones. A figure means something only beside the classifier's recall on real images that it has not seen.

    Attributes:
        confusion: (C, C) int64, rows the requested classes, columns the recognised ones.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    confusion: torch.Tensor

    def __init__(self, classifier: nn.Module, num_classes: int, average: str = "macro", **kwargs: Any) -> None:
        """An empty metric.

        Args:
            classifier: (N, 3, H, W) uint8 sRGB images to (N, C) logits or probabilities, trained on real images only.
            num_classes: C.
            average: "macro": mean over the classes that were requested; "micro": share of all images; "none": (C,)
                shares, nan for a class that was never requested.
            **kwargs: of :class:`torchmetrics.Metric`.

        Raises:
            InputError: for an unknown average.
        """
        super().__init__(**kwargs)
        if average not in AVERAGES:
            raise InputError(f"average must be one of {', '.join(AVERAGES)}, but got {average!r}")
        self.classifier, self.num_classes, self.average = classifier.eval(), num_classes, average
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, images: torch.Tensor, requested: torch.Tensor) -> None:
        """Add (N, 3, H, W) uint8 images with the (N,) int64 indices of the classes that were asked for.

        Raises:
            InputError: if the classifier gives another number of classes, or an index is out of range.
        """
        scores = self.classifier(images)
        if scores.shape != (len(requested), self.num_classes):
            raise InputError(
                f"expected ({len(requested)}, {self.num_classes}) scores from the classifier, got {tuple(scores.shape)}"
            )
        self.confusion += class_confusion(requested, scores.argmax(1), self.num_classes)

    def compute(self) -> torch.Tensor:
        """The share or shares, float64."""
        right, asked = self.confusion.diagonal().double(), self.confusion.sum(1)
        if self.average == "micro":
            return right.sum() / asked.sum()
        shares = right / asked
        return shares if self.average == "none" else shares[asked > 0].mean()


def class_confusion(requested: torch.Tensor, recognised: torch.Tensor, num_classes: int) -> torch.Tensor:
    """(C, C) int64 counts, rows the requested classes, columns the recognised ones.

    Args:
        requested: (N,) int64 in [0, C).
        recognised: (N,) int64 in [0, C).
        num_classes: C.

    Raises:
        InputError: if an index is out of range.
    """
    for name, found in (("requested", requested), ("recognised", recognised)):
        if len(found) and not 0 <= int(found.min()) <= int(found.max()) < num_classes:
            raise InputError(
                f"{name} must hold class indices 0 to {num_classes - 1}, got {int(found.min())} to {int(found.max())}"
            )
    cells = requested.long() * num_classes + recognised.long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
