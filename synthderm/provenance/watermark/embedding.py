"""Writing the mark into the pixels, and taking it out again with the key."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .coordinates import SIDE
from .keys import Key
from .pattern import pattern_image
from .view import blur_matrix

MAX_GAIN = 24.0  # steps of 8 bits; dark or saturated images that clip the mark get no more than this
_SLACK_DB = 0.01
_MASK_RANGE = (0.3, 1.6)
_MASK_UNIT = 128  # of the mask in 8 bits


def strength_mask(image: np.ndarray) -> np.ndarray:
    """Where to put the mark's energy: inversely to the local deviation, by which the reader divides.

    The matched filter of a reader that divides by s(x) is a mark proportional to 1/s(x): hair and borders, which it
    cannot read through, get less. Whole-number arithmetic on both sides of the one formula, so that it is the same
    everywhere.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W) float32, multiples of 1/128 of mean about 1.
    """
    height, width = image.shape[:2]
    small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    luma = np.asarray(small, np.float64)
    trend, near = blur_matrix(SIDE, SIDE / 24).astype(np.float64), blur_matrix(SIDE, 3.0).astype(np.float64)
    residual = luma - trend @ luma @ trend.T
    mask = (near @ (residual * residual) @ near.T + 4.0) ** -0.35
    mask = np.clip(mask / mask.mean(), *_MASK_RANGE)
    steps = Image.fromarray(np.rint(mask * _MASK_UNIT).astype(np.uint8))
    if (width, height) != (SIDE, SIDE):
        steps = steps.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(steps, np.float32) / _MASK_UNIT


def unit_mark(image: np.ndarray, key: Key, symbols: tuple[int, ...] | None) -> np.ndarray:
    """(H, W, 3) float32: the mark for this image before its gain, root mean square about 1."""
    height, width = image.shape[:2]
    pattern = pattern_image(key, height, width, symbols).transpose(1, 2, 0)
    return pattern * strength_mask(image)[..., None]


def added(image: np.ndarray, mark: np.ndarray, gain: float) -> np.ndarray:
    """``image`` + ``gain`` * ``mark``, rounded to 8 bits."""
    return np.clip(np.rint(mark * np.float32(gain) + image), 0, 255).astype(np.uint8)


def squared_change(before: np.ndarray, after: np.ndarray) -> int:
    """Sum of the squared differences of two uint8 arrays, in whole numbers."""
    change = before.astype(np.int32)
    change -= after
    return int(np.vdot(change, change))


def embedded(image: np.ndarray, key: Key, symbols: tuple[int, ...], psnr_db: float) -> np.ndarray:
    """The marked image, at the strongest gain whose PSNR, measured after rounding, is not below ``psnr_db``.

    The gain is bracketed and bisected; as the error grows nearly with its square, the first guesses are Newton's. The
    search ends within 0.01 dB.

    Args:
        image: (H, W, 3) uint8.
        key: of the mark.
        symbols: of the payload.
        psnr_db: 10 log10(255^2 / mean squared change).

    Returns:
        (H, W, 3) uint8.
    """
    mark = unit_mark(image, key, symbols)
    allowed = int(image.size * 255**2 / 10 ** (psnr_db / 10))
    low, high, best = 0.0, MAX_GAIN, image
    gain = min(MAX_GAIN, math.sqrt(allowed / image.size))
    for _ in range(24):
        marked = added(image, mark, gain)
        change = squared_change(image, marked)
        if change <= allowed:
            low, best = gain, marked
            if change >= allowed * 10 ** (-_SLACK_DB / 10) or gain == MAX_GAIN:
                break
        else:
            high = gain
        gain = _next_gain(gain, change, allowed, low, high)
    return best


def _next_gain(gain: float, change: int, allowed: int, low: float, high: float) -> float:
    aim = gain * math.sqrt(allowed * 10 ** (-_SLACK_DB / 20) / max(change, 1))
    return min(aim, high) if low < aim < high or (aim >= high == MAX_GAIN) else (low + high) / 2
