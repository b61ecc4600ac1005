"""The pixels, labels and masks of an experiment, as one block that worker processes can read too."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Material:
    """What runs are trained on and scored with.

    Attributes:
        images: (N + M, 3, S, S) uint8 sRGB, the real training images and after them the synthetic ones.
        labels: (N + M,) int64.
        test_images: (T, 3, S, S) uint8 sRGB.
        masks: (N + M, S, S) bool, or None without a need for them.
        test_masks: (T, S, S) bool, or None.
    """

    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    masks: torch.Tensor | None = None
    test_masks: torch.Tensor | None = None

    def save(self, folder: Path) -> None:
        """Write every tensor to a file of its own."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                np.save(folder / f"{field.name}.npy", value.numpy())

    @classmethod
    def load(cls, folder: Path) -> Material:
        """Read what :meth:`save` wrote."""
        paths = {field.name: folder / f"{field.name}.npy" for field in fields(cls)}
        return cls(**{name: torch.from_numpy(np.load(path)) for name, path in paths.items() if path.is_file()})
