"""Feature matrices as every distance between image sets takes them: finite, float64, enough rows."""

from __future__ import annotations

import numpy as np
import torch

from synthderm.core import InputError

LEAST_ROWS = 30
"""Fewer images than this tell nothing about a set: the floor of every distance here."""


def as_features(features: np.ndarray | torch.Tensor, name: str = "features", least: int = 2) -> np.ndarray:
    """A checked feature matrix in float64.

    Args:
        features: (N, D) array or tensor of any number type, one row per image.
        name: what the rows are, for the message ("real features").
        least: rows that the caller needs.

    Returns:
        (N, D) float64, C order; a copy unless it was that already.

    Raises:
        InputError: not two axes, fewer than ``least`` rows, or rows with nan or infinity (it says how many).
    """
    if isinstance(features, torch.Tensor):
        features = features.detach().cpu().numpy()
    matrix = np.ascontiguousarray(features, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise InputError(f"expected {name} of shape (images, features), got {tuple(matrix.shape)}")
    if len(matrix) < least:
        raise InputError(f"expected at least {least} rows of {name}, got {len(matrix)}; give more images")
    broken = int((~np.isfinite(matrix)).any(1).sum())
    if broken:
        raise InputError(
            f"expected finite {name}, got nan or infinity in {broken} of {len(matrix)} rows; "
            "look at the images of these rows and at the extractor's weights"
        )
    return matrix


def as_pair(
    x: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor, names: tuple[str, str], least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Two checked matrices (:func:`as_features`) with the same number of features."""
    first, second = as_features(x, names[0], least), as_features(y, names[1], least)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"expected as many features in both sets, got {first.shape[1]} in {names[0]} and {second.shape[1]} in "
            f"{names[1]}; use the same extractor for both"
        )
    return first, second


def check_count(n: int, least: int, why: str, force: bool) -> None:
    """Refuse fewer than ``least`` images, unless ``force``.

    Raises:
        InputError: with ``why`` and the two ways out.
    """
    if n < least and not force:
        raise InputError(f"expected at least {least} images in each set, got {n}: {why}; give more, or force=True")


def rows_per_block(columns: int, elements: int = 1 << 21) -> int:
    """Rows of a block of ``columns`` numbers each that stays near ``elements`` numbers (16 MB of float64)."""
    return max(1, elements // max(columns, 1))
