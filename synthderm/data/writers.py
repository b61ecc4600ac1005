"""Samples as files in an output folder."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as save_safetensors

from synthderm.core import LESION, InputError, Sample
from synthderm.core.checks import check_range, unknown

from .files import clean_work, free_bytes, make_folder, write_atomic

ImageFormat = Literal["png", "jpg", "webp"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

_BYTES_PER_PIXEL = {"png": 3.2, "jpg": 1.2, "webp": 1.0}  # upper ends: noisy images, quality 95
_MASK_BYTES_PER_PIXEL = 0.1
_MAP_BYTES_PER_PIXEL = 2 * 10  # about ten float16 maps
_FILE_OVERHEAD = 8192  # file system block and manifest row

# `datasets` reads a split out of any path with one of these words between "-._ 0-9" (datasets/data_files.py).
_SPLIT_WORD = re.compile(
    r"(?:^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?:[-._ 0-9]|$)"
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_file_stem(name: str, kind: str = "image_id") -> str:
    """``name`` if it can be a file name here.

    Raises:
        InputError: for anything but letters, digits, "_" and "-", or a word such as ``_test_`` that Hugging
            Face ``datasets`` takes for the name of a split: it would then read the folder without its rows.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise InputError(f"{kind} must be letters, digits, '_' and '-' only, but got {name!r}")
    word = _SPLIT_WORD.search(name)
    if word:
        raise InputError(
            f"{kind} must not hold the word {word[1]!r} on its own, but got {name!r}: data set loaders "
            "take it for a split; write it together with another word"
        )
    return name


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of an 8-bit image; the same pixels give the same bytes.

    Filter "up" on every row, then run-length and Huffman coding (zlib ``Z_RLE``): three times as fast as
    Pillow at its fastest level and as small, since camera noise leaves LZ77 nothing to find.

    Args:
        pixels: (H, W, 3) or (H, W) uint8.
    """
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # PNG specification, 9.2: filter type 2 is "up"
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    coder = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    body = coder.compress(filtered.tobytes()) + coder.flush()
    colour_type = 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def encode_image(image: torch.Tensor, image_format: ImageFormat = "png", quality: int = 95) -> bytes:
    """File bytes of an image, without time stamps or other metadata.

    Args:
        image: (3, H, W) uint8, sRGB.
        image_format: "png" (lossless), "jpg" (chroma not subsampled) or "webp" (lossy).
        quality: 1 to 100, for "jpg" and "webp".
    """
    pixels = image.permute(1, 2, 0).contiguous().numpy()  # CHW => HWC
    if image_format == "png":
        return encode_png(pixels)
    buffer = io.BytesIO()
    if image_format == "jpg":
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=0)
    else:
        Image.fromarray(pixels).save(buffer, format="WEBP", quality=quality, method=2)
    return buffer.getvalue()


def encode_mask(mask: torch.Tensor) -> bytes:
    """PNG bytes of a mask, 8 bit: 0 outside, 255 inside (ISIC challenge 2018, tasks 1 and 2).

    Args:
        mask: (H, W) bool.
    """
    return encode_png(mask.numpy().astype(np.uint8) * 255)


def check_space(
    root: str | Path,
    n: int,
    size: int,
    image_format: ImageFormat = "png",
    *,
    masks: int = 1,
    maps: bool = False,
) -> int:
    """The bytes that ``n`` images may take at most; refuses a disk that has less.

    Args:
        root: the output folder, which need not exist yet.
        n: images still to be made.
        size: height and width, px.
        image_format: one of :data:`IMAGE_FORMATS`.
        masks: mask files for each image.
        maps: whether float maps are written too.

    Raises:
        InputError: if less is free, naming both figures.
    """
    pixel = _BYTES_PER_PIXEL[image_format] + masks * _MASK_BYTES_PER_PIXEL + maps * _MAP_BYTES_PER_PIXEL
    need = int(n * (size * size * pixel + (2 + masks + maps) * _FILE_OVERHEAD))
    free = free_bytes(Path(root))
    if need > free:
        raise InputError(
            f"{n} images of {size} px take up to {need / 1e6:.0f} MB, {root} has {free / 1e6:.0f} MB; "
            "ask for fewer or smaller images, --format jpg, or another --output"
        )
    return need


class FolderWriter:
    """Writes samples as ``images/``, ``masks/`` and, on request, ``maps/`` below one folder.

    Safe to use from several processes at once, also on one folder; every file is written atomically. It does
    not wait for the disk (a tenth of a second for an image with all masks where the disk is busy): the journal
    does, and finds out after a power cut which files did not get there.

    Args:
        root: the output folder; made if it is not there.
        image_format: "png", "jpg" or "webp".
        quality: 1 to 100, for "jpg" and "webp".
        masks: the masks to write, in the order of the manifest's columns. Every
            sample must have them all, if empty, so that every row has every file.
        maps: also write the sample's float maps, as float16.

    Raises:
        InputError: for an unknown format, a quality out of range, or a folder that cannot be written to.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_format: ImageFormat = "png",
        quality: int = 95,
        masks: Iterable[str] = (LESION,),
        maps: bool = False,
    ) -> None:
        image_format = "jpg" if str(image_format).lower() == "jpeg" else str(image_format).lower()
        if image_format not in IMAGE_FORMATS:
            raise unknown("format", image_format, IMAGE_FORMATS)
        check_range("quality", quality, 1, 100)
        self.root = Path(root)
        self.image_format: ImageFormat = image_format
        self.quality = int(quality)
        self.masks = tuple(dict.fromkeys(check_file_stem(name, "mask name") for name in masks))
        self.maps = maps
        for folder in ("images", *(("masks",) if self.masks else ()), *(("maps",) if maps else ())):
            make_folder(self.root / folder)
        clean_work(self.root)

    def write(self, sample: Sample, image_id: str) -> dict[str, Any]:
        """Write the files of one sample.

        Returns:
            The file columns of its manifest row: ``file_name``, ``mask_file_name`` (lesion),
            ``attribute_<name>_file_name`` for each other mask, ``maps_path``, ``sha256`` of the image file,
            ``width`` and ``height`` in px. Paths are relative to the folder.

        Raises:
            InputError: if ``image_id`` is no plain file name, the sample lacks a mask, or a file cannot be
                written.
        """
        check_file_stem(image_id)
        row: dict[str, Any] = {"file_name": f"images/{image_id}.{self.image_format}"}
        for name in self.masks:
            column, suffix = ("mask", "segmentation") if name == LESION else (f"attribute_{name}",) * 2
            row[f"{column}_file_name"] = f"masks/{image_id}_{suffix}.png"
            if name not in sample.masks:
                raise unknown("mask", name, sample.masks)
            self._put(row[f"{column}_file_name"], encode_mask(sample.masks[name]))
        if self.maps:
            row["maps_path"] = f"maps/{image_id}.safetensors"
            maps = {name: values.to(torch.float16).contiguous() for name, values in sorted(sample.maps.items())}
            self._put(row["maps_path"], save_safetensors(maps))
        data = encode_image(sample.image, self.image_format, self.quality)
        row["sha256"] = self._put(row["file_name"], data)  # last: an image is never there without its masks
        row["height"], row["width"] = sample.size
        return row

    def _put(self, name: str, data: bytes) -> str:
        return write_atomic(self.root / name, data, root=self.root, sync=False)
