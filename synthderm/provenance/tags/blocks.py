"""Finds the metadata blocks in image files without decoding any pixel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from . import png

MAX_BLOCK = 4 << 20
"""Longest metadata block that is read, bytes; longer ones are named as problems."""

_MAX_PARTS = 200_000  # chunks or segments of one file: an 80-megapixel PNG in 8 KiB pieces has 30,000
_MAX_SCAN = 16 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}  # JPEG markers that stand alone


@dataclass
class Blocks:
    """Metadata blocks of one file.

    Attributes:
        texts: (keyword, UTF-8 bytes) of PNG text chunks.
        xmp: XMP packets.
        exif: EXIF blocks, or the head of a TIFF file.
        has_credentials: whether there is a C2PA manifest store.
        problems: what could not be read, one phrase each.
    """

    texts: list[tuple[str, bytes]] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    has_credentials: bool = False
    problems: list[str] = field(default_factory=list)


class _Cut(Exception):
    """The file ends inside a part."""


def find_blocks(file: BinaryIO) -> Blocks:
    """The metadata blocks of a binary file that can seek, whatever it holds; a damaged file raises nothing.

    PNG, JPEG and WebP are read by their parts, TIFF by its directory; any other file is searched for an XMP packet
    in its first 16 MiB.
    """
    found = Blocks()
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    try:
        if start.startswith(_PNG):
            _read_png(file, found)
        elif start.startswith(b"\xff\xd8"):
            _read_jpeg(file, found)
        elif start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            _read_webp(file, found)
        else:
            _search(file, start, found)
    except _Cut:
        found.problems.append("the file ends inside a block")
    return found


def _exactly(file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) < n:
        raise _Cut
    return data


def _content(file: BinaryIO, length: int, found: Blocks, name: str) -> bytes | None:
    """The content of a wanted block; None, and a note, if it is too long to be read."""
    if length > MAX_BLOCK:
        found.problems.append(f"a block {name} of {length:,} bytes is longer than {MAX_BLOCK >> 20} MiB")
        file.seek(length, os.SEEK_CUR)
        return None
    return _exactly(file, length)


def _parts(found: Blocks) -> Iterator[int]:
    yield from range(_MAX_PARTS)
    found.problems.append(f"the file has more than {_MAX_PARTS:,} parts; the rest was not read")


def _read_png(file: BinaryIO, found: Blocks) -> None:
    file.seek(len(_PNG))
    for _ in _parts(found):
        head = file.read(8)
        if len(head) < 8:
            raise _Cut
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            content = _content(file, length, found, kind.decode())
            if content is not None:
                _put_png(kind, content, found)
            file.seek(4, os.SEEK_CUR)
        else:
            found.has_credentials |= kind == b"caBX"  # C2PA specification, A.3: embedding in PNG
            file.seek(length + 4, os.SEEK_CUR)


def _put_png(kind: bytes, content: bytes, found: Blocks) -> None:
    if kind == b"eXIf":
        found.exif.append(content)
        return
    try:
        keyword, text = png.decode_text(kind, content)
        profile = keyword.lower().removeprefix("raw profile type ")
        if keyword == png.XMP_KEYWORD:
            found.xmp.append(text)
        elif profile == keyword.lower():
            found.texts.append((keyword, text))
        else:
            _put_profile(profile, png.raw_profile(text), found)
    except ValueError as error:
        found.problems.append(str(error))


def _put_profile(name: str, data: bytes, found: Blocks) -> None:
    """A profile as ImageMagick stores it; "app1" holds either kind."""
    if name == "xmp" or data.startswith(_XMP_IN_JPEG):
        found.xmp.append(data.removeprefix(_XMP_IN_JPEG))
    elif name in ("exif", "app1"):
        found.exif.append(data)


def _read_jpeg(file: BinaryIO, found: Blocks) -> None:
    file.seek(2)
    for _ in _parts(found):
        marker = _marker(file)
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            return
        if marker in _NO_LENGTH:
            continue
        length = int.from_bytes(_exactly(file, 2), "big") - 2
        if length < 0:
            found.problems.append("a JPEG segment has no valid length")
            return
        if marker not in (0xE1, 0xEB):
            file.seek(length, os.SEEK_CUR)
            continue
        content = _exactly(file, length)
        if marker == 0xEB:
            found.has_credentials |= content[:2] == b"JP" and b"c2pa" in content[:128]  # C2PA specification, A.3
        elif content.startswith(b"Exif\0\0"):
            found.exif.append(content)
        elif content.startswith(_XMP_IN_JPEG):
            found.xmp.append(content.removeprefix(_XMP_IN_JPEG))


def _marker(file: BinaryIO) -> int:
    """The next marker; bytes before it are stepped over, a few as decoders allow."""
    for _ in range(1 << 16):
        if _exactly(file, 1) != b"\xff":
            continue
        code = 0xFF
        while code == 0xFF:
            code = _exactly(file, 1)[0]
        if code:
            return code
    raise _Cut


def _read_webp(file: BinaryIO, found: Blocks) -> None:
    file.seek(12)
    for _ in _parts(found):
        head = file.read(8)
        if not head:
            return
        if len(head) < 8:
            raise _Cut
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"EXIF", b"XMP "):
            content = _content(file, length, found, kind.decode().strip())
            if content is not None:
                (found.exif if kind == b"EXIF" else found.xmp).append(content)
            file.seek(length % 2, os.SEEK_CUR)
        else:
            found.has_credentials |= kind == b"C2PA"  # C2PA specification, A.3: embedding in RIFF
            file.seek(length + length % 2, os.SEEK_CUR)


def _search(file: BinaryIO, start: bytes, found: Blocks) -> None:
    data = file.read(_MAX_SCAN)
    if start.startswith(_TIFF_STARTS):
        if file.read(1):
            found.problems.append(f"only the first {_MAX_SCAN >> 20} MiB of the TIFF file were searched")
        found.exif.append(data)
    begin = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", begin)
    if begin >= 0 and end >= 0:
        found.xmp.append(data[begin : end + len(b"</x:xmpmeta>")])
