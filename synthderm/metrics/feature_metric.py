"""What the distances between two image sets share: images go in, an extractor makes features of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchmetrics import Metric

from synthderm.core import InputError
from synthderm.functional.features import as_features


class FeatureMetric(Metric):
    """Base of metrics over the features of real and synthetic images.

    Several of them in a :class:`torchmetrics.wrappers.FeatureShare` extract each batch once. Subclasses implement
    :meth:`_add` (keep what is needed of a batch of features) and ``compute``.

    Attributes:
        extractor: the network, or None where only features are given.
        num_features: length of a feature vector.
    """

    is_differentiable = False
    full_state_update = False
    feature_network = "extractor"

    def __init__(self, extractor: nn.Module | int, **kwargs: Any) -> None:
        """A metric of one extractor.

        Args:
            extractor: a module with an int ``num_features`` that takes (N, 3, H, W) uint8 images to (N, num_features);
                or the number of features, if they are given by :meth:`update_features`.
            **kwargs: of :class:`torchmetrics.Metric`.

        Raises:
            InputError: a module without ``num_features``, or a number below 1.
        """
        super().__init__(**kwargs)
        num_features = extractor if isinstance(extractor, int) else getattr(extractor, "num_features", None)
        if not isinstance(num_features, int) or num_features < 1:
            raise InputError(
                f"expected a feature extractor with an int num_features, got {type(extractor).__name__} with "
                f"{num_features!r}; use load_extractor(name) or set the attribute"
            )
        self.num_features = num_features
        self.extractor = extractor.eval() if isinstance(extractor, nn.Module) else None

    def update(self, images: torch.Tensor, real: bool) -> None:
        """Add a batch; its size does not change the result.

        Args:
            images: (N, 3, H, W) uint8, sRGB; or features, see :meth:`update_features`.
            real: whether they are real; otherwise synthetic.

        Raises:
            InputError: images of another type or shape, no extractor, features that are not finite.
        """
        features = images if images.ndim == 2 else self._extract(images)
        if features.shape[1] != self.num_features:
            raise InputError(f"expected {self.num_features} features, got {features.shape[1]}; check the extractor")
        checked = as_features(features, "real features" if real else "synthetic features", least=1)
        self._add(torch.from_numpy(checked).to(self.device), bool(real))

    def update_features(self, features: torch.Tensor, real: bool) -> None:
        """Add features that are there already.

        Args:
            features: (N, num_features) of floating point.
            real: whether they are of real images.

        Raises:
            InputError: another shape, or rows that are not finite.
        """
        if features.ndim != 2 or not features.is_floating_point():
            raise InputError(f"expected (N, {self.num_features}) floating point, got {features.dtype} {features.shape}")
        self.update(features, real)

    def _extract(self, images: torch.Tensor) -> torch.Tensor:
        if self.extractor is None:
            raise InputError("expected features, got images and no extractor; give an extractor, or update_features()")
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise InputError(f"expected (N, 3, H, W) uint8 images, got {images.dtype} {tuple(images.shape)}")
        with torch.no_grad():
            return self.extractor(images)

    def _add(self, features: torch.Tensor, real: bool) -> None:
        raise NotImplementedError


class StoredFeatureMetric(FeatureMetric):
    """Base of metrics that need every feature vector at the end: n x num_features float64 are kept.

    Attributes:
        real_features: batches of (N, num_features).
        synthetic_features: the same of the synthetic set.
    """

    real_features: list[torch.Tensor]
    synthetic_features: list[torch.Tensor]

    def __init__(self, extractor: nn.Module | int, **kwargs: Any) -> None:
        """Arguments as :class:`FeatureMetric`."""
        super().__init__(extractor, **kwargs)
        self.add_state("real_features", default=[], dist_reduce_fx="cat")
        self.add_state("synthetic_features", default=[], dist_reduce_fx="cat")

    def _add(self, features: torch.Tensor, real: bool) -> None:
        (self.real_features if real else self.synthetic_features).append(features)

    def features(self, real: bool) -> torch.Tensor:
        """(N, num_features) float64 features so far, for the intervals of :mod:`synthderm.functional`."""
        kept = self.real_features if real else self.synthetic_features
        if isinstance(kept, torch.Tensor):  # after torchmetrics has gathered the processes
            return kept
        return torch.cat(kept) if kept else torch.empty(0, self.num_features, dtype=torch.float64)
