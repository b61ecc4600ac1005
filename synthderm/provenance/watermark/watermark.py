"""The mark of one key: write it, find it, take it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from synthderm.core import InputError
from synthderm.core.checks import check_range

from .detection import DEFAULT_FPR, Detection, Search, read_image
from .embedding import embedded
from .images import arrays, as_given, pictures, rgb_array
from .keys import Key
from .payload import Payload
from .removal import removed
from .view import MIN_SIDE

Images = TypeVar("Images", torch.Tensor, Image.Image)

DEFAULT_PSNR_DB = 42.0
"""Strength of the mark. At 46 dB and above a classifier hardly learns it even if only one class is marked; it is then
read less surely from small images."""


class Watermark:
    """An invisible mark that rescaling, cropping, recompression and training transforms leave readable.

    It is a label for honest pipelines, not a proof of origin: whoever has the key, and with the public key that is
    everybody, can remove the mark and can put it on a real image.

    Args:
        key: the key; :meth:`Key.find` (the environment variable, else the public key) if None.
        psnr_db: strength in which :meth:`embed` writes, 30..60; larger is weaker.

    Raises:
        InputError: for a strength out of range.

    Example:
        >>> images = torch.randint(90, 160, (2, 3, 128, 128), dtype=torch.uint8)
        >>> marked = Watermark(Key.public()).embed(images, Payload(generator="flow", run=0x12AB34))
        >>> [found.verdict for found in Watermark(Key.public()).detect(marked)]
        ['synthetic', 'synthetic']
    """

    def __init__(self, key: Key | None = None, psnr_db: float = DEFAULT_PSNR_DB) -> None:
        self.key = Key.find() if key is None else key
        self.psnr_db = check_range("psnr_db", psnr_db, 30, 60, "dB")

    def embed(self, images: Images, payload: Payload | None = None) -> Images:
        """Mark images.

        The bytes are a function of image, key, payload and strength alone: not of batch, order or threads. Each image
        gets the strongest mark whose PSNR after rounding to 8 bits is not below ``psnr_db``.

        Args:
            images: (3, H, W) or (N, 3, H, W) uint8 sRGB, or a pillow image of mode RGB.
            payload: what the mark says; ``Payload()`` if None.

        Returns:
            New images of the same kind and shape.

        Raises:
            InputError: for another kind, or a side below 32 px.
        """
        symbols = (payload or Payload()).to_symbols()
        return self._changed(images, lambda image: embedded(image, self.key, symbols, self.psnr_db))

    def remove(self, images: Images) -> Images:
        """Take the mark out as well as the key allows, for training transforms.

        Works on images that lie as they were written or rescaled; images in which a direct reading finds no mark are
        returned as they are. What remains is below what the presence reading sees, not exactly the original.

        Args:
            images: as for :meth:`embed`.

        Returns:
            New images of the same kind and shape.

        Raises:
            InputError: as :meth:`embed`.
        """
        return self._changed(images, lambda image: removed(image, self.key))

    def detect(
        self, images: torch.Tensor | Image.Image, fpr: float = DEFAULT_FPR, search: Search = "full"
    ) -> list[Detection]:
        """Look for the mark.

        Args:
            images: (3, H, W) or (N, 3, H, W) uint8 sRGB, or a pillow image of 8 bits; any size.
            fpr: false-positive rate at which an image is called synthetic.
            search: "fast" reads the image as it is, which covers rescaling, flips, quarter turns and all that leaves
                the frame in place; "full" then searches crops and small turns (about a second for an unmarked image).

        Returns:
            One detection for each image; see :class:`Detection` for the verdicts.

        Raises:
            InputError: for another kind of image, rate or search.
        """
        check_range("fpr", fpr, 1e-100, 0.5)
        if search not in ("full", "fast"):
            raise InputError(f"expected search 'full' or 'fast', got {search!r}")
        return [read_image(picture, self.key, fpr, search) for picture in pictures(images)]

    def _changed(self, images: Images, change: Callable[[np.ndarray], np.ndarray]) -> Images:
        batch = [rgb_array(images)] if isinstance(images, Image.Image) else arrays(images)
        for image in batch:
            _check_size(image)
        return as_given([change(image) for image in batch], images)


def _check_size(image: np.ndarray) -> None:
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"expected sides of at least {MIN_SIDE} px for a mark, got {height} x {width}; enlarge the image"
        )
