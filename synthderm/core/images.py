"""Opening image files that nobody has checked: every failure is one line that names the file."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

from .checks import InputError

MAX_PIXELS = 80_000_000
"""The largest image that is decoded, px; an RGB image of that size takes 240 MB."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000")
"""Formats that are tried. A closed list: other Pillow plugins start programs (EPS) or are rarely tested."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2"})
"""File names that are taken for images, lower case."""

_SUFFIX_FORMATS = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".webp": ("WEBP",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".gif": ("GIF",),
    ".jp2": ("JPEG2000",),
}
_EXIF_ORIENTATION = 0x0112
_WARNINGS_LOCK = threading.Lock()  # warnings.catch_warnings is not safe to use from threads


@dataclass(frozen=True)
class OpenedImage:
    """An image with what was done to it.

    Attributes:
        image: mode RGB, 8 bit, sRGB, upright.
        notes: one phrase for every conversion; empty for a plain 8-bit sRGB file.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def open_image(source: str | Path | BinaryIO, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A decoded image as 8-bit sRGB; :func:`read_image` without the notes."""
    return read_image(source, name=name, max_pixels=max_pixels).image


def read_image(
    source: str | Path | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    first_frame: bool = False,
) -> OpenedImage:
    """A decoded image as 8-bit sRGB, whatever the file holds.

    What is done, each with a note: readable content under a wrong suffix is read; greyscale is repeated in
    the three channels; 16-bit values are divided by 257; transparent pixels are laid on white; CMYK goes
    through its colour profile, or the plain inversion where it has none; another RGB profile is turned into
    sRGB; the EXIF orientation is applied. Of a two-picture phone file (MPO) the first is taken.

    Args:
        source: path, or binary file that can seek.
        name: what errors call it; the path by default.
        max_pixels: largest width x height; checked on the header, before any pixel is decoded.
        first_frame: of an animation or several pages take the first, with a note; they are refused otherwise.

    Raises:
        InputError: if the file is missing, empty, no image, truncated, damaged, animated, too large, or holds
            values without a known range.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else getattr(source, "name", "the image"))
    with _as_file(source, name) as file:
        image, frames = _open_checked(file, name, max_pixels, first_frame)
        notes = _suffix_note(image, name)
        if frames > 1:
            notes.append(f"the first of {frames} frames or pages")
        try:
            with _no_warnings() if image.format == "TIFF" else nullcontext():  # the lock is not for every file
                image.load()
            with _no_warnings():
                orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            if orientation in range(2, 9):
                image = ImageOps.exif_transpose(image)
                notes.append("turned upright as its EXIF orientation says")
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise InputError(f"{name} is truncated or damaged: {_one_line(error)}") from error
    return OpenedImage(_to_rgb(image, name, notes), tuple(notes))


def check_header(source: str | Path | BinaryIO, *, name: str, max_pixels: int = MAX_PIXELS) -> tuple[str, ...]:
    """Notes on a file whose header alone is checked: no pixel is decoded, so that truncated files pass.

    Raises:
        InputError: as :func:`read_image`, for all that the header shows.
    """
    with _as_file(source, name) as file:
        return tuple(_suffix_note(_open_checked(file, name, max_pixels)[0], name))


def open_mask(
    source: str | Path | BinaryIO,
    size: tuple[int, int],
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """A lesion mask as (H, W) bool: True from half of the format's full value on.

    Args:
        source: path, or binary file that can seek.
        size: (width, height) that the mask must have, px. A mask of another size but the same shape (within
            2 %) is brought to it, nearest neighbour.
        name: what errors call it.
        max_pixels: as in :func:`read_image`.

    Raises:
        InputError: if the file cannot be read, has transparent pixels, or is of another shape than the image.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else getattr(source, "name", "the mask"))
    opened = read_image(source, name=name, max_pixels=max_pixels)
    if any(note.startswith("transparent") for note in opened.notes):
        raise InputError(f"{name} is a mask with transparent pixels; expected black and white")
    grey = opened.image.convert("L")
    if grey.size != tuple(size):
        width, height = grey.size
        if abs(width * size[1] - height * size[0]) > 0.02 * height * size[0]:
            raise InputError(
                f"{name} is a mask of {width} x {height} px, which is not the shape of its image "
                f"({size[0]} x {size[1]} px)"
            )
        grey = grey.resize(size, Image.Resampling.NEAREST)
    values = np.asarray(grey)
    if values.max(initial=0) == 1:  # 0 and 1 instead of 0 and 255
        return values == 1
    return values >= 128


def _as_file(source: str | Path | BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    if not isinstance(source, (str, Path)):
        return nullcontext(source)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{name} is {'no regular file' if path.exists() else 'missing'}")
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Without Pillow's warnings of large images (our limit is lower) and of damaged tags."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _open_checked(file: BinaryIO, name: str, max_pixels: int, first_frame: bool = False) -> tuple[Image.Image, int]:
    """The image with its header read and its size, frames and format checked; the number of frames."""
    start = file.read(64)
    file.seek(0)
    if not start:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        with _no_warnings():
            image = Image.open(file, formats=FORMATS)
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that can be read{_looks_like(start)}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} is too large, more than {max_pixels:,} px: {_one_line(error)}") from error
    except Exception as error:
        raise InputError(f"{name} has a damaged header: {_one_line(error)}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise InputError(f"{name} is too large: {width:,} x {height:,} px is more than the limit of {max_pixels:,} px")
    if frames > 1 and not first_frame:
        raise InputError(f"{name} has {frames} frames or pages; expected a single still image")
    return image, frames


def _looks_like(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer, fetch the file with `git lfs pull`"
    if text.startswith((b"<!doctype html", b"<html")):
        return ": it is a web page, perhaps an error page of a download"
    if text.startswith(b"<svg") or text.startswith(b"<?xml"):
        return ": it is XML or SVG"
    if text.startswith(b"%pdf"):
        return ": it is a PDF"
    return ""


def _suffix_note(image: Image.Image, name: str) -> list[str]:
    suffix = PurePath(name).suffix.lower()
    expected = _SUFFIX_FORMATS.get(suffix)
    if image.format is None or (expected and image.format in expected):
        return []
    return [f"holds {image.format} under the suffix {suffix!r}" if suffix else f"holds {image.format}, no suffix"]


def _to_rgb(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """``image`` as 8-bit sRGB; what was done is added to ``notes``."""
    if image.mode.startswith("I"):
        image = _sixteen_bit_to_grey(image, name, notes)
    elif image.mode == "F":
        raise InputError(f"{name} holds floating-point values without a known range; expected 8 or 16 bit")
    image = _profile_to_srgb(image, notes)
    if image.mode == "CMYK":
        notes.append("CMYK without a usable profile, plainly inverted")
    if image.mode in ("1", "L", "LA"):
        notes.append("greyscale, repeated in three channels")
    if image.mode in ("LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        return _on_white(image, notes)
    return image if image.mode == "RGB" else image.convert("RGB")


def _sixteen_bit_to_grey(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise InputError(f"{name} holds 32-bit values without a known range; expected 8 or 16 bit")
    notes.append("16 bit, divided by 257")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.getextrema()[3][0] == 255:  # opaque everywhere
        return image.convert("RGB")
    notes.append("transparent in places, laid on white")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _profile_to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """RGB or CMYK with an embedded profile other than sRGB, turned into sRGB (relative colorimetric)."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        title = " ".join(ImageCms.getProfileDescription(profile).split())
        if "srgb" in title.lower().replace(" ", ""):
            return image
        converted = ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        notes.append(f"its colour profile cannot be used ({_one_line(error)}); taken as sRGB")
        return image
    if converted is None:  # only with inPlace=True
        return image
    notes.append(f"turned from the colour profile {title!r} into sRGB")
    return converted
