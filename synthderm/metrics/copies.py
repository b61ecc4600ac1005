"""Which share of a set are copies of training images."""

from __future__ import annotations

from typing import Any

import torch
from torchmetrics import Metric

from synthderm.core import InputError
from synthderm.models.copies import CopyDetector


class CopyShare(Metric):
    """Share of images that a :class:`~synthderm.models.copies.CopyDetector` calls copies of training images.

    Read it beside the detector's false-alarm rate: that share of new real images would be called copies, too.

    Example:
        >>> import torch
        >>> images = torch.randint(0, 256, (24, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
        >>> metric = CopyShare(CopyDetector.fit(images[:12], images[12:20], false_alarm_rate=0.2))
        >>> metric.update(images[:4].flip(-1))
        >>> float(metric.compute())
        1.0

    Attributes:
        detector: with a threshold.
        scores: batches of (N,) float64.
        nearest: batches of (N,) int64, the training image that each image is most like.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    scores: list[torch.Tensor]
    nearest: list[torch.Tensor]

    def __init__(self, detector: CopyDetector, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            detector: fitted on the training images, with a threshold set on hold-out images.
            **kwargs: of :class:`torchmetrics.Metric`.

        Raises:
            InputError: for a detector without a threshold.
        """
        super().__init__(**kwargs)
        if detector.threshold is None:
            raise InputError("expected a detector with a threshold, got one without; fit it with hold-out images")
        self.detector = detector
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("nearest", default=[], dist_reduce_fx="cat")

    def update(self, images: torch.Tensor) -> None:
        """Add (N, 3, H, W) uint8 sRGB images."""
        found = self.detector.score(images.cpu())
        self.scores.append(torch.from_numpy(found.scores).to(self.device))
        self.nearest.append(torch.from_numpy(found.nearest).to(self.device))

    def compute(self) -> torch.Tensor:
        """The share, a float64 number, 0 to 1; nan without images."""
        return self._above().double().mean()

    def indices(self) -> torch.Tensor:
        """(K,) int64: which of the images, counted in the order of the updates, are copies; the most alike first."""
        return self._all("scores").argsort(descending=True)[: int(self._above().sum())]

    def _all(self, name: str) -> torch.Tensor:
        kept = getattr(self, name)
        if isinstance(kept, torch.Tensor):  # after torchmetrics has gathered the processes
            return kept
        return torch.cat(kept) if kept else torch.empty(0)

    def _above(self) -> torch.Tensor:
        return self._all("scores") > self.detector.threshold
