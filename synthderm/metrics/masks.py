"""Does a lesion mask fit its image? Contrast along its outline."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torchmetrics import Metric

from synthderm.core import InputError
from synthderm.functional.color import delta_e_2000, rgb_to_lab

BAND = 0.03
"""Width of the bands on both sides of an outline, as a share of the image's shorter side."""

LEAST_PIXELS = 8
"""Pixels that each band needs."""


def outline_bands(masks: torch.Tensor, band: float = BAND) -> tuple[torch.Tensor, torch.Tensor]:
    """The thin bands just inside and just outside the outline of each mask.

    A frame of the image is no outline: where a mask touches it, there is no band.

    Args:
        masks: (N, H, W) bool.
        band: width of each band, as a share of the shorter side; at least 1 px.

    Returns:
        Two (N, H, W) bool tensors.
    """
    width = max(1, round(band * min(masks.shape[-2:])))
    filled = masks[:, None].float()
    eroded = -_maximum(-filled, width)
    return masks & (eroded[:, 0] < 0.5), ~masks & (_maximum(filled, width)[:, 0] > 0.5)


def _maximum(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value in a square of ``2 radius + 1`` px; what lies beyond the frame counts for nothing."""
    size = 2 * radius + 1
    across = F.max_pool2d(values, (1, size), stride=1, padding=(0, radius))
    return F.max_pool2d(across, (size, 1), stride=1, padding=(radius, 0))


def boundary_contrasts(images: torch.Tensor, masks: torch.Tensor, band: float = BAND) -> torch.Tensor:
    """Colour difference across the outline of each mask.

    CIEDE2000 (Sharma et al. 2005) between the mean CIELAB colours of the bands of :func:`outline_bands`. A mask that
    does not follow the lesion has skin or lesion on both sides, and less contrast.

    Args:
        images: (N, 3, H, W) uint8, sRGB.
        masks: (N, H, W) bool.
        band: see :func:`outline_bands`.

    Returns:
        (N,) float64, CIEDE2000 units; nan where a band has fewer than eight pixels (empty or full masks).

    Raises:
        InputError: if the shapes do not fit.
    """
    if images.ndim != 4 or (len(images), *images.shape[-2:]) != tuple(masks.shape):
        raise InputError(
            f"expected (N, 3, H, W) images and (N, H, W) masks, got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    inside, outside = outline_bands(masks.bool(), band)
    lab = rgb_to_lab(images).double()
    least = torch.minimum(inside.sum((1, 2)), outside.sum((1, 2)))
    difference = delta_e_2000(_mean_colour(lab, inside), _mean_colour(lab, outside))
    return torch.where(least < LEAST_PIXELS, torch.nan, difference)


def _mean_colour(lab: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """(N, 3) mean colour of (N, 3, H, W) CIELAB images under (N, H, W) masks."""
    return (lab * regions[:, None]).sum((2, 3)) / regions.sum((1, 2)).clamp_min(1)[:, None]


class BoundaryContrast(Metric):
    """Mean colour difference across the outlines of masks, CIEDE2000 units; see :func:`boundary_contrasts`.

    Images whose mask has no outline are left out of the mean and counted. nan without any outline.

    Attributes:
        without_outline: images left out.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0

    total: torch.Tensor
    count: torch.Tensor
    without_outline: torch.Tensor

    def __init__(self, band: float = BAND, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            band: width of each band, as a share of the image's shorter side.
            **kwargs: of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.band = band
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("without_outline", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: torch.Tensor, masks: torch.Tensor) -> None:
        """Add (N, 3, H, W) uint8 images with their (N, H, W) bool masks."""
        each = boundary_contrasts(images, masks, self.band)
        known = each[~each.isnan()]
        self.total += known.sum()
        self.count += len(known)
        self.without_outline += len(each) - len(known)

    def compute(self) -> torch.Tensor:
        """The mean, a float64 number."""
        return self.total / self.count
