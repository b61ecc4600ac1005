"""Kernel distance between real and synthetic images as a metric (KID with any extractor)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synthderm.functional.kernel_distance import kernel_distance

from .feature_metric import StoredFeatureMetric


class KernelDistance(StoredFeatureMetric):
    """Unbiased squared maximum mean discrepancy with a polynomial kernel (Bińkowski et al. 2018, eq. 4).

    Over all pairs, in float64; nothing is drawn at random. Without bias it can be compared at different n, and is the
    one to read for small sets; about zero, or a little below, where the sets are alike. For an interval call
    :func:`~synthderm.functional.kernel_distance.kernel_interval` with :meth:`features`.

    >>> metric = KernelDistance(1)
    >>> metric.update_features(torch.zeros(40, 1), real=True)
    >>> metric.update_features(torch.ones(40, 1), real=False)
    >>> metric.compute().item()  # k(0, 0) + k(1, 1) - 2 k(0, 1) = 1 + 8 - 2
    7.0
    """

    higher_is_better = False

    def __init__(
        self,
        extractor: nn.Module | int,
        *,
        degree: int = 3,
        gamma: float | None = None,
        coef: float = 1.0,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        """A metric of one extractor.

        Args:
            extractor: as in :class:`~synthderm.metrics.feature_metric.FeatureMetric`.
            degree: of the kernel (gamma x . y + coef)^degree.
            gamma: 1 / num_features if None.
            coef: of the kernel.
            force: compute even below 30 images.
            **kwargs: of :class:`torchmetrics.Metric`.
        """
        super().__init__(extractor, **kwargs)
        self.degree, self.gamma, self.coef, self.force = degree, gamma, coef, force

    def compute(self) -> torch.Tensor:
        """The distance, float64 scalar.

        Raises:
            InputError: fewer than 30 images in a set, unless ``force``.
        """
        sets = self.features(real=False), self.features(real=True)
        value = kernel_distance(*sets, self.degree, self.gamma, self.coef, force=self.force)
        return torch.tensor(value, dtype=torch.float64, device=self.device)
