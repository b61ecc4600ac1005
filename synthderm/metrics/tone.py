"""Requested against measured skin tone as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torchmetrics import Metric

from synthderm.core import TONE_BANDS, InputError

INVALID = len(TONE_BANDS)
"""Column of images whose skin has no ITA: no skin in sight, or a colour that is not that of skin."""


def tone_confusion(ita_deg: torch.Tensor, fst: torch.Tensor) -> torch.Tensor:
    """Count images by requested and by measured skin type.

    Args:
        ita_deg: (N,) measured ITA, degrees in [-90, 90]; nan where the colour is not that of skin.
        fst: (N,) integers 1 to 6, the requested types.

    Returns:
        (6, 7) int64: rows the requested types, columns the types whose ITA band (Chardon et al. 1991) holds the
        measurement, the last one for nan.

    Raises:
        InputError: for other shapes, a type out of range, or an angle out of range.
    """
    if ita_deg.ndim != 1 or ita_deg.shape != fst.shape:
        raise InputError(f"expected two (N,) tensors, but got {tuple(ita_deg.shape)} and {tuple(fst.shape)}")
    if len(fst) and not 1 <= int(fst.min()) <= int(fst.max()) <= len(TONE_BANDS):
        raise InputError(f"fst must be 1 to 6, but got {int(fst.min())} to {int(fst.max())}")
    ita_deg = ita_deg.double()
    if bool((ita_deg.abs() > 90).any()):
        raise InputError("ita_deg must be in [-90, 90] degrees, or nan for a colour that is not that of skin")
    lowest = torch.tensor([band.low_deg for band in TONE_BANDS[:-1]], dtype=torch.float64, device=ita_deg.device)
    measured = (ita_deg[:, None] <= lowest).sum(1)  # bands are light to dark, low < ITA <= high
    measured = torch.where(ita_deg.isnan(), INVALID, measured)
    cells = (fst.long() - 1) * (INVALID + 1) + measured
    return torch.bincount(cells, minlength=INVALID * (INVALID + 1)).reshape(INVALID, INVALID + 1)


class ToneAccuracy(Metric):
    """Share of images whose measured ITA lies in the band of the requested skin type, 0 to 1.

    An image without a valid ITA counts as outside. nan if there are no images.

    >>> metric = ToneAccuracy()
    >>> metric.update(torch.tensor([60.0, 35.0, float("nan"), -50.0]), torch.tensor([1, 2, 5, 6]))
    >>> metric.compute().item()
    0.5

    Attributes:
        confusion: (6, 7) int64, see :func:`tone_confusion`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    confusion: torch.Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("confusion", torch.zeros(INVALID, INVALID + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ita_deg: torch.Tensor, fst: torch.Tensor) -> None:
        """Add images: (N,) measured ITA in degrees or nan, and (N,) requested types 1 to 6."""
        self.confusion += tone_confusion(ita_deg, fst)

    def compute(self) -> torch.Tensor:
        """The share, a float64 number."""
        return self.confusion.diagonal().sum().double() / self.confusion.sum()
