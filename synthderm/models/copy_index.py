"""A small index of training images that travels with a generator: is this image one of them?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from synthderm.functional.alignment import Basis, fit_basis, grey_thumbnails, query_descriptors

from .copies import read_facts, upper_threshold, write_facts

_FORMAT = "synthderm copy index 1"
_LEVELS = 127.0
COPIES = "training_images.safetensors"
"""Name of the index beside an adapter."""

COPY_RATE = 0.01
"""Share of other real images that may be called copies."""

USUAL_WEIGHT = 0.6
"""How much of an image's usual similarity is taken off its greatest, as in :mod:`synthderm.models.copies`."""


@dataclass(frozen=True)
class CopyIndex:
    """Whitened descriptors of whole training images, a few hundred bytes each.

    A generator that has learnt an image by heart gives it back whole, perhaps turned or mirrored: for that descriptors
    of the whole image in its eight turns are enough. Crops are found by :class:`~synthderm.models.copies.CopyDetector`,
    which keeps forty times as much of each image.

    The descriptors are those of a blurred grey picture of 24 px: the licence of the images holds for the index.

    Attributes:
        descriptors: (M, D) int8, 127 times rows of length 1.
        basis: the whitening.
        threshold: scores above it count as copies.
        false_alarm_rate: what the threshold was set for, on other real images.
        hold_out_n: how many those were.
    """

    descriptors: torch.Tensor
    basis: Basis
    threshold: float
    false_alarm_rate: float
    hold_out_n: int

    @classmethod
    def fit(
        cls, train: Iterable[torch.Tensor], hold_out: Iterable[torch.Tensor], false_alarm_rate: float = COPY_RATE
    ) -> CopyIndex:
        """The index of training images, with a threshold from real images that are not among them.

        Args:
            train: batches of (N, 3, H, W) uint8 sRGB images.
            hold_out: the same, of other lesions or patients; at least ``1 / false_alarm_rate - 1`` images.
            false_alarm_rate: share of such images that may be called copies.

        Raises:
            InputError: for too few images.
        """
        thumbs = torch.cat([grey_thumbnails(batch) for batch in train])
        basis = fit_basis(thumbs[:: max(1, len(thumbs) // 4000)])
        whole = torch.cat([query_descriptors(part, basis)[:, 0] for part in thumbs.split(256)])
        index = cls((whole * _LEVELS).round().to(torch.int8), basis, torch.inf, false_alarm_rate, 0)
        scores = torch.cat([index.score(batch)[0] for batch in hold_out])
        threshold = upper_threshold(scores.double().numpy(), false_alarm_rate)
        return cls(index.descriptors, basis, threshold, false_alarm_rate, len(scores))

    @staticmethod
    def attainable_rate(hold_out_n: int) -> float:
        """The usual false-alarm rate, or the least that so many hold-out images allow."""
        return max(COPY_RATE, 1 / (hold_out_n + 1))

    def score(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (N,) float32 of (N, 3, H, W) uint8 images, and the nearest training image of each (N,) int64."""
        queries = query_descriptors(grey_thumbnails(images), self.basis)
        similar = queries.flatten(0, 1) @ (self.descriptors.float() / _LEVELS).T
        similar = similar.view(len(images), queries.shape[1], -1).amax(1)
        best = similar.topk(min(20, similar.shape[1]), 1)
        return best.values[:, 0] - USUAL_WEIGHT * best.values.quantile(0.25, 1), best.indices[:, 0]

    def save(self, path: str | Path) -> Path:
        """Write the index as one safetensors file.

        Raises:
            InputError: if the file cannot be written.
        """
        facts = {
            "threshold": self.threshold,
            "false_alarm_rate": self.false_alarm_rate,
            "hold_out_n": self.hold_out_n,
        }
        tensors = {
            "descriptors": self.descriptors.contiguous(),
            "mean": self.basis.mean.contiguous(),
            "projection": self.basis.projection.contiguous(),
        }
        return write_facts(path, _FORMAT, tensors, facts)

    @classmethod
    def beside(cls, weights: Path) -> CopyIndex | None:
        """The index that lies beside the weights of an adapter; None if there is none."""
        path = weights.parent / COPIES
        return cls.load(path) if path.is_file() else None

    @classmethod
    def load(cls, path: str | Path) -> CopyIndex:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: if it is no such file.
        """
        tensors, facts = read_facts(path, _FORMAT, "copy index; expected a file that CopyIndex.save wrote")
        basis = Basis(tensors["mean"], tensors["projection"])
        return cls(tensors["descriptors"], basis, **facts)
