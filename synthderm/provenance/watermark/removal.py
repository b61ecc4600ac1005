"""Taking the mark out again, with the key."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .coordinates import PRESENCE
from .embedding import MAX_GAIN, added, unit_mark
from .keys import Key
from .message import read_message
from .pattern import Pattern
from .statistic import cosine, presence_features, presence_log10_p
from .view import normalised, whitened

_PRESENT = -4.0  # log10 p of the direct reading below which a mark is taken out
_SURE = 0.99  # confidence of the payload from which it is taken out too
_ROUNDS = 6


def removed(image: np.ndarray, key: Key) -> np.ndarray:
    """The image without the mark that a direct reading finds, or the image itself.

    The payload is read, so the mark's shape is known; where it is not sure, the presence alone is taken out. The gain
    is the one whose subtraction makes the luma cosine of the presence reading zero, found by the secant rule (the
    cosine is nearly linear in the gain).

    Args:
        image: (H, W, 3) uint8.
        key: of the mark.

    Returns:
        (H, W, 3) uint8.
    """
    pattern = Pattern.of(key)
    frame = whitened(normalised(Image.fromarray(image)))
    features = presence_features(frame)
    message = read_message(frame, features, pattern)
    is_sure = message.confidence >= _SURE
    if min(presence_log10_p(features, pattern), message.log10_p) > _PRESENT or (is_sure and message.orientation):
        return image
    mark = unit_mark(image, key, message.symbols if is_sure else None)
    return added(image, mark, -_gain(image, mark, pattern, cosine(features[0], pattern.presence[0])))


def _gain(image: np.ndarray, mark: np.ndarray, pattern: Pattern, start: float) -> float:
    """The gain at which subtraction leaves no luma presence."""
    before, gain = (0.0, start), 2.0
    for _ in range(_ROUNDS):
        value = _luma_presence(added(image, mark, -gain), pattern)
        if abs(value) < 0.1 / np.sqrt(len(PRESENCE)) or value == before[1]:
            break
        slope = (value - before[1]) / (gain - before[0])
        before, gain = (gain, value), min(max(gain - value / slope, 0.0), MAX_GAIN)
    return gain


def _luma_presence(image: np.ndarray, pattern: Pattern) -> float:
    features = presence_features(whitened(normalised(Image.fromarray(image))))
    return cosine(features[0], pattern.presence[0])
