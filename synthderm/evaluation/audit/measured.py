"""One pass over the images of a set: pixel hashes, features and background, while a detector reads the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.metrics.shortcut import FEATURES, background_statistics
from synthderm.models.features import FeatureExtractor

from ..gain.checks import pixel_digests
from ..sets import ImageSet

Report = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


class Measured:
    """What is measured on each image of a set as its batches go by.

    Attributes:
        images: the set.
        digests: SHA-256 of the decoded pixels of each image, after the common crop and size.
        features: (N, D) float32, or (N, 0) without an extractor.
        background: (N, 17) float64; nan where the lesion leaves too little, or the mask is missing where masks are
            used; (N, 0) if it was not asked for.
    """

    def __init__(
        self,
        images: ImageSet,
        extractor: FeatureExtractor | None = None,
        background: str | None = None,
        report: Report | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            images: the set.
            extractor: gives the features.
            background: "masks", "frame" (without masks) or None: not measured.
            report: told of the progress.
        """
        self.images, self._extractor, self._how = images, extractor, background
        self._report = report
        self.digests: list[bytes] = []
        self._features: list[np.ndarray] = []
        self._background: list[np.ndarray] = []

    def batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """The images in order; each batch is measured before it is handed on."""
        done = 0
        for batch in self.images.batches(batch_size):
            indices = range(done, done + len(batch))
            self.digests += pixel_digests(batch)
            if self._extractor is not None:
                self._features.append(self._checked(self._extractor(batch).cpu().numpy(), done))
            if self._how is not None:
                self._background.append(self._statistics(batch, indices))
            done += len(batch)
            if self._report is not None:
                self._report(f"{self.images.name} images", done, len(self.images))
            yield batch

    def measure(self, batch_size: int) -> Measured:
        """Read all batches, where no detector wants them."""
        for _ in self.batches(batch_size):
            pass
        return self

    @property
    def features(self) -> np.ndarray:
        """(N, D) float32."""
        return np.concatenate(self._features) if self._features else np.empty((len(self.images), 0), np.float32)

    @property
    def background(self) -> np.ndarray:
        """(N, 17) float64."""
        return np.concatenate(self._background) if self._background else np.empty((len(self.images), 0))

    def _statistics(self, batch: torch.Tensor, indices: Sequence[int]) -> np.ndarray:
        if self._how == "frame":
            return background_statistics(batch)
        found = np.full((len(batch), len(FEATURES)), np.nan)
        known = [place for place, i in enumerate(indices) if self.images.records[i].mask is not None]
        if known:
            masks = self.images.masks([indices[place] for place in known])
            found[known] = background_statistics(batch[known], masks)
        return found

    def _checked(self, features: np.ndarray, start: int) -> np.ndarray:
        wrong = np.flatnonzero(~np.isfinite(features).all(1))
        if len(wrong):
            raise InputError(
                f"the extractor gave features that are not finite numbers for "
                f"{self.images.records[start + wrong[0]].file} of {self.images.name}; check the image and the weights"
            )
        return features
