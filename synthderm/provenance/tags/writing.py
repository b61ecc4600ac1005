"""The record as arguments of Pillow's ``Image.save``."""

from __future__ import annotations

from typing import Any

from PIL.PngImagePlugin import PngInfo

from synthderm.core.checks import unknown

from .exif import exif_block
from .png import png_chunks
from .record import Tags
from .xmp import xmp_packet

_FORMATS = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"}


def save_arguments(tags: Tags, image_format: str) -> dict[str, Any]:
    """Keyword arguments for ``image.save(path, **arguments)`` that write the record into the file.

    PNG gets iTXt texts, XMP and EXIF chunks; JPEG and WebP get EXIF and XMP. The same record gives the same bytes on
    every machine and with every version of Pillow.

    Args:
        tags: the record.
        image_format: "png", "jpg" or "webp".

    Raises:
        InputError: for another format.
    """
    kind = _FORMATS.get(image_format.lower())
    if kind is None:
        raise unknown("format", image_format, _FORMATS)
    if kind == "png":
        info = PngInfo()
        for name, content in png_chunks(tags):
            if name == b"iTXt":  # Pillow drops eXIf from here and writes it itself
                info.add(name, content)
        return {"pnginfo": info, "exif": exif_block(tags)}
    return {"exif": b"Exif\0\0" + exif_block(tags), "xmp": xmp_packet(tags)}
