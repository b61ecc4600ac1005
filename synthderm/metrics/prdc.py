"""Precision, recall, density and coverage of synthetic images as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synthderm.functional.neighbours import prdc

from .feature_metric import StoredFeatureMetric


class PRDC(StoredFeatureMetric):
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    See :func:`~synthderm.functional.neighbours.prdc` for what they mean, and
    :func:`~synthderm.functional.neighbours.prdc_intervals` with :meth:`features` for intervals. They depend on the
    number of images: compare at equal n.

    >>> metric = PRDC(1)
    >>> metric.update_features(torch.arange(60.0)[:, None], real=True)
    >>> metric.update_features(torch.arange(30.0)[:, None], real=False)
    >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
    {'precision': 1.0, 'recall': 0.583, 'density': 1.38, 'coverage': 0.55}
    """

    higher_is_better = True
    plot_lower_bound = 0.0

    def __init__(self, extractor: nn.Module | int, *, k: int = 5, force: bool = False, **kwargs: Any) -> None:
        """A metric of one extractor.

        Args:
            extractor: as in :class:`~synthderm.metrics.feature_metric.FeatureMetric`.
            k: neighbour that sets the radius of a neighbourhood.
            force: compute even below 30 images.
            **kwargs: of :class:`torchmetrics.Metric`.
        """
        super().__init__(extractor, **kwargs)
        self.k, self.force = k, force

    def compute(self) -> dict[str, torch.Tensor]:
        """The four numbers by name, float64 scalars.

        Raises:
            InputError: fewer than 30 images in a set, unless ``force``.
        """
        values = prdc(self.features(real=True), self.features(real=False), self.k, force=self.force)
        return {name: torch.tensor(v, dtype=torch.float64, device=self.device) for name, v in values.items()}
