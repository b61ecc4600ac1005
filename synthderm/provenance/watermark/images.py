"""The kinds of images that come in and go out: tensors and pillow images, 8 bits, sRGB."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from synthderm.core import InputError

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def pictures(images: torch.Tensor | Image.Image) -> list[Image.Image]:
    """RGB pillow images of one image or a batch.

    Args:
        images: (3, H, W) or (N, 3, H, W) uint8 sRGB on any device, or a pillow image of 8 bits (transparency is
            dropped, grey and CMYK are converted as pillow does).

    Raises:
        InputError: for another shape, type or depth.
    """
    if isinstance(images, Image.Image):
        if images.mode in _DEEP_MODES:
            raise InputError(f"expected an image of 8 bits, got mode {images.mode!r}; scale it to 8 bits first")
        return [images if images.mode == "RGB" else images.convert("RGB")]
    return [Image.fromarray(array) for array in arrays(images)]


def arrays(images: torch.Tensor) -> list[np.ndarray]:
    """(H, W, 3) uint8 arrays of a tensor.

    Raises:
        InputError: for another shape or type.
    """
    if not isinstance(images, torch.Tensor):
        raise InputError(f"expected a uint8 tensor or a pillow image, got {type(images).__name__}; convert it first")
    if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape[-2:]:
        shape = tuple(images.shape)
        raise InputError(f"expected (3, H, W) or (N, 3, H, W) uint8, got {shape} {images.dtype}; scale to 0..255 first")
    batch = images.reshape(-1, *images.shape[-3:]).permute(0, 2, 3, 1).cpu()
    return [np.ascontiguousarray(image) for image in batch.numpy()]


def rgb_array(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of an image that is to be written again.

    Raises:
        InputError: unless its mode is RGB.
    """
    if image.mode != "RGB":
        raise InputError(f"expected an image of mode 'RGB', got {image.mode!r}; call image.convert('RGB') first")
    return np.asarray(image)


def as_given(changed: list[np.ndarray], given: torch.Tensor | Image.Image) -> torch.Tensor | Image.Image:
    """The changed arrays in the kind, shape and device of what was given."""
    if isinstance(given, Image.Image):
        return Image.fromarray(changed[0])
    if not changed:
        return given.clone()
    stacked = torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).contiguous()
    return stacked.reshape(given.shape).to(given.device)
