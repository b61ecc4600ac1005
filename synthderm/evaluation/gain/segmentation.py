"""The score of the segmentation twin."""

from __future__ import annotations

import numpy as np
import torch


def dice(preds: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Dice coefficient of each image, 2 |A and B| / (|A| + |B|) (Dice 1945); 1 where both masks are empty.

    Args:
        preds: (N, H, W) bool.
        target: (N, H, W) bool.

    Returns:
        (N,) float64.
    """
    shared = (preds & target).sum((1, 2)).double()
    total = (preds.sum((1, 2)) + target.sum((1, 2))).double()
    return torch.where(total > 0, 2 * shared / total.clamp_min(1), torch.ones_like(total)).numpy()
