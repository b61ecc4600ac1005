"""What says that the images are synthetic: their rows, and a mark in their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sets import ImageSet
from .copies import share_figure


def watermark_share(synthetic: ImageSet) -> dict[str, Any]:
    """The share of images that carry a watermark, at a stated false-positive rate.

    This version of the library has no detector, so nothing is checked and nothing is claimed.
    """
    return {"checked": False, "reason": "this version has no watermark detector"}


def watermark_figures(synthetic: ImageSet) -> dict[str, Any]:
    """The section of the result: the watermark, and the share whose row says "is_synthetic"."""
    stated = np.array([record.is_synthetic for record in synthetic.records])
    return {**watermark_share(synthetic), "metadata_says_synthetic": share_figure(stated)}
