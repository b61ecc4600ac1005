"""Perceptual hashes: 64 bits that stay nearly the same when a picture is re-encoded, resized or recoloured."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from synthderm.core import InputError

BITS = 64
_SIDE = 32  # of the grey image that is transformed, px
_KEPT = 8  # rows and columns of coefficients that make the hash
_BLOCK = 2048


def perceptual_hash(images: torch.Tensor) -> np.ndarray:
    """The DCT hash of each image (Zauner 2010, section 3.2.1).

    The grey image is brought to 32 x 32 px (antialiased); of its two-dimensional DCT-II the coefficients of rows and
    columns 1 to 8 are kept; a bit says whether a coefficient lies above their median. Row and column 0, the mean
    brightness and its plain gradients' constant part, are left out. Grey is the mean of the channels.

    Args:
        images: (N, 3, H, W) uint8, sRGB, any size.

    Returns:
        (N, 64) bool.

    Raises:
        InputError: for another shape or type.
    """
    return _median_bits(_coefficients(images))


def dihedral_hashes(images: torch.Tensor) -> np.ndarray:
    """The hashes of the eight turns and flips of each image, from one transform.

    A flip changes the sign of the odd coefficients along its axis, a transposition swaps rows and columns.

    Args:
        images: (N, 3, H, W) uint8, sRGB.

    Returns:
        (N, 8, 64) bool; the first of the eight is the image as it is.

    Raises:
        InputError: for another shape or type.
    """
    coefficients = _coefficients(images)
    sign = 1.0 - 2.0 * (torch.arange(1, _KEPT + 1) % 2)
    variants = []
    for turned in (coefficients, coefficients.mT):
        for down in (None, sign[:, None]):
            for across in (None, sign[None, :]):
                variant = turned if down is None else turned * down
                variants.append(variant if across is None else variant * across)
    return np.stack([_median_bits(variant) for variant in variants], 1)


def hamming(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits in which hashes differ.

    Args:
        first: (..., 64) bool.
        second: (..., 64) bool, of a shape that broadcasts with the first.

    Returns:
        (...) int64, 0 to 64; unrelated images differ in about 32.
    """
    return np.count_nonzero(np.asarray(first, bool) ^ np.asarray(second, bool), axis=-1)


def nearest_hash(hashes: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image the reference whose hash is nearest to the hash of any of its turns and flips.

    Args:
        hashes: (N, 8, 64) bool of :func:`dihedral_hashes`, or (N, 64) bool.
        reference: (M, 64) bool, M >= 1.

    Returns:
        Distances (N,) int64, 0 to 64, and rows of ``reference`` (N,) int64; of equal distances the lower row.

    Raises:
        InputError: if there is no reference.
    """
    if len(reference) == 0:
        raise InputError("expected at least one reference hash, got none")
    variants = hashes[:, None] if hashes.ndim == 2 else hashes
    # with bits as +1 and -1 the scalar product is 64 less twice the Hamming distance
    signs = torch.from_numpy(2.0 * np.asarray(reference, np.float32) - 1.0).T
    distances, rows = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int64)
    step = max(1, _BLOCK // variants.shape[1])
    for start in range(0, len(hashes), step):
        part = torch.from_numpy(2.0 * variants[start : start + step].astype(np.float32) - 1.0)
        best = torch.stack([variant @ signs for variant in part.unbind(1)]).amax(0).numpy()
        rows[start : start + step] = best.argmax(1)  # the first of equals
        distances[start : start + step] = np.round((BITS - best.max(1)) / 2)
    return distances, rows


@cache
def _dct_rows() -> torch.Tensor:
    """(8, 32): rows 1 to 8 of the DCT-II matrix, unnormalised."""
    k, n = torch.arange(1, _KEPT + 1)[:, None], torch.arange(_SIDE)[None]
    return torch.cos(math.pi * k * (2 * n + 1) / (2 * _SIDE))


def _coefficients(images: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise InputError(f"expected (N, 3, H, W) uint8 images, got {tuple(images.shape)} {images.dtype}")
    grey = images.float().mean(1, keepdim=True)
    size = (_SIDE, _SIDE)
    small = F.interpolate(grey, size=size, mode="bilinear", antialias=True, align_corners=False)[:, 0]
    rows = _dct_rows()
    return rows @ small @ rows.T


def _median_bits(coefficients: torch.Tensor) -> np.ndarray:
    flat = coefficients.flatten(1).double().numpy()
    return flat > np.median(flat, axis=1, keepdims=True)
