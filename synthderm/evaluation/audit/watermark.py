"""What says that the images are synthetic: their rows, and a mark in their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthderm.provenance.watermark import DEFAULT_FPR, Watermark

from ..sets import ImageSet
from .copies import share_figure


def watermark_share(synthetic: ImageSet) -> dict[str, Any]:
    """The share of images that carry this library's watermark, at a stated false-positive rate.

    The files are read as they are, with the key of ``SYNTHDERM_WATERMARK_KEY`` or the public one; crops are not
    searched for. "undecided" counts images that are too small or flat to show a mark, or nearly show one.
    """
    mark = Watermark()
    pictures = (synthetic.source.open_image(record) for record in synthetic.records)
    verdicts = [mark.detect(picture, search="fast")[0].verdict for picture in pictures]
    found = np.array([verdict == "synthetic" for verdict in verdicts])
    return {
        "checked": True,
        "share": share_figure(found),
        "undecided": verdicts.count("undecided"),
        "false_positive_rate": DEFAULT_FPR,
        "search": "fast",
        "key": mark.key.id,
    }


def watermark_figures(synthetic: ImageSet) -> dict[str, Any]:
    """The section of the result: the watermark, and the share whose row says "is_synthetic"."""
    stated = np.array([record.is_synthetic for record in synthetic.records])
    return {**watermark_share(synthetic), "metadata_says_synthetic": share_figure(stated)}
