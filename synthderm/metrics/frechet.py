"""Frechet distance between real and synthetic images as a metric (FID with any extractor)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synthderm.functional.frechet import check_frechet_count, frechet_distance

from .feature_metric import FeatureMetric


class FrechetDistance(FeatureMetric):
    """Squared Frechet distance of the features of real and synthetic images (Heusel et al. 2017, eq. 6).

    Sums of features and of their products are kept in float64, so memory does not grow with the images, and processes
    merge by sums. Between sets of n images the value is too high by about c/n: compare at equal n. For intervals and
    the value at endlessly many images keep the features and call
    :func:`~synthderm.functional.frechet.frechet_intervals`.

    >>> metric = FrechetDistance(2)
    >>> square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(20, 1)
    >>> metric.update_features(square, real=True)
    >>> metric.update_features(square + 3, real=False)
    >>> round(metric.compute().item(), 6)
    18.0

    Attributes:
        real_sum: (D,) float64; likewise ``real_products`` (D, D), ``real_count``, and the same of the synthetic set.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, extractor: nn.Module | int, *, force: bool = False, **kwargs: Any) -> None:
        """A metric of one extractor.

        Args:
            extractor: as in :class:`~synthderm.metrics.feature_metric.FeatureMetric`.
            force: compute even below :func:`~synthderm.functional.frechet.least_images`.
            **kwargs: of :class:`torchmetrics.Metric`.
        """
        super().__init__(extractor, **kwargs)
        self.force = force
        size = self.num_features
        for name in ("real", "synthetic"):
            self.add_state(f"{name}_sum", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{name}_products", torch.zeros(size, size, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{name}_count", torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, features: torch.Tensor, real: bool) -> None:
        name = "real" if real else "synthetic"
        added = {"sum": features.sum(0), "products": features.T @ features, "count": len(features)}
        for part, value in added.items():
            setattr(self, f"{name}_{part}", getattr(self, f"{name}_{part}") + value)

    def compute(self) -> torch.Tensor:
        """The distance, float64 scalar, in squared units of the features.

        Raises:
            InputError: fewer images of either set than the floor, unless ``force``; fewer than 2 always.
        """
        least = int(torch.minimum(self.real_count, self.synthetic_count))
        check_frechet_count(least, self.num_features, force=self.force and least >= 2)
        value = frechet_distance(*self._statistics("synthetic"), *self._statistics("real"))
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def _statistics(self, name: str) -> tuple[Any, Any]:
        total, products, count = (getattr(self, f"{name}_{part}") for part in ("sum", "products", "count"))
        mean = total / count
        return mean.cpu().numpy(), ((products - count * torch.outer(mean, mean)) / (count - 1)).cpu().numpy()
