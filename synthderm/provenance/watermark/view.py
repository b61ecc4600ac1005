"""What is read of an image: its normalised frame, whitened so that hair, borders and lesions lose their weight."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from .coordinates import SIDE
from .pattern import RGB_TO_YCC
from .statistic import Window

MIN_SIDE = 32
"""Images with a shorter side, in px, cannot carry the mark: more than half of its waves are beyond their grid."""

_TREND = SIDE / 24  # px of the full frame, standard deviation of the blur that is taken away
_NEIGHBOURHOOD = 3.0  # px of the full frame, over which the local deviation is measured
_FLOOR = 1.0  # grey steps squared, added to the local variance: rounding to 8 bits and weak noise
_ROTATED_SIDE = 192  # px; longer sides are reduced before an image is turned by a small angle


def normalised(image: Image.Image) -> np.ndarray:
    """Y, Cb, Cr of an RGB image of any size on the normalised frame.

    Returns:
        (3, SIDE, SIDE) float32, steps of 8 bits.
    """
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(image, np.float32).reshape(-1, 3)
    return (RGB_TO_YCC.astype(np.float32) @ pixels.T).reshape(3, SIDE, SIDE)


def reduced(image: Image.Image) -> Image.Image:
    """A copy in its own aspect whose longer side is at most 192 px, for turning."""
    scale = min(1.0, _ROTATED_SIDE / max(image.size))
    size = tuple(max(1, round(scale * side)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def turned(image: Image.Image, angle_deg: float) -> Image.Image:
    """Turned counter-clockwise about its centre, the corners filled with the mean colour."""
    mean = tuple(np.asarray(image).reshape(-1, 3).mean(0).round().astype(int).tolist())
    return image.rotate(angle_deg, Image.Resampling.BICUBIC, fillcolor=mean)


@lru_cache(maxsize=64)
def blur_matrix(size: int, sigma: float) -> np.ndarray:
    """(size, size) float32: Gaussian blur of a line with mirrored borders, as a matrix."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    matrix = np.zeros((size, size))
    for shift, tap in zip(range(-reach, reach + 1), taps / taps.sum(), strict=True):
        source = (np.arange(size) + shift) % (2 * size)
        np.add.at(matrix, (np.arange(size), np.minimum(source, 2 * size - 1 - source)), tap)
    return matrix.astype(np.float32)


def _blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    matrix = blur_matrix(SIDE, round(sigma, 2))
    return matrix @ planes @ matrix.T


def trend(planes: np.ndarray, extent: float = 1.0) -> np.ndarray:
    """The slow part of (..., SIDE, SIDE) planes that :func:`whitened` takes away."""
    return _blur(planes, _TREND / extent)


def whitened(planes: np.ndarray, extent: float = 1.0) -> np.ndarray:
    """Take away the trend, then divide by the local deviation.

    Args:
        planes: (..., SIDE, SIDE) steps of 8 bits.
        extent: share of the original frame's side that these pixels show; the blurs are as wide in the original.

    Returns:
        The same shape.
    """
    residual = planes - trend(planes, extent)
    return residual / np.sqrt(_blur(residual * residual, _NEIGHBOURHOOD / extent) + _FLOOR)


_TIERS = (1.0, 0.8, 0.63, 0.5, 0.4, 0.31)  # extents for which a whitened frame is made


class Views:
    """The whitened frames of one image, made when they are asked for."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._planes: dict[float, np.ndarray] = {}
        self._frames: dict[tuple[float, float], np.ndarray] = {}

    @cached_property
    def _reduced(self) -> Image.Image:
        return reduced(self._image)

    def planes(self, angle_deg: float = 0.0) -> np.ndarray:
        """(3, SIDE, SIDE): Y, Cb, Cr of the image turned by the angle."""
        if angle_deg not in self._planes:
            image = turned(self._reduced, angle_deg) if angle_deg else self._image
            self._planes[angle_deg] = normalised(image)
        return self._planes[angle_deg]

    def frame(self, angle_deg: float = 0.0, extent: float = 1.0) -> np.ndarray:
        """(3, SIDE, SIDE): turned by the angle, whitened as suits a window of this extent."""
        tier = min(_TIERS, key=lambda t: abs(math.log(t / extent)))
        if (angle_deg, tier) not in self._frames:
            self._frames[angle_deg, tier] = whitened(self.planes(angle_deg), tier)
        return self._frames[angle_deg, tier]

    def of(self, window: Window) -> np.ndarray:
        """The frame on which a window is read."""
        return self.frame(window.angle_deg, math.sqrt(window.height * window.width))
