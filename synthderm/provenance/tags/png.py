"""Text and metadata chunks of PNG files."""

from __future__ import annotations

import struct
import zlib

from .exif import exif_block
from .record import Tags
from .xmp import xmp_packet

RECORD_KEYWORD = "synthderm"
XMP_KEYWORD = "XML:com.adobe.xmp"

_MAX_TEXT = 2 << 20
_LATIN = "latin-1"


def png_chunks(tags: Tags) -> list[tuple[bytes, bytes]]:
    """(type, content) of the chunks for a PNG file, to be put between its header and its first IDAT.

    Texts under the registered keywords Description, Software and Copyright, the record under "synthderm", an XMP
    packet (all iTXt, not compressed: readers of old cannot inflate) and EXIF (PNG specification, third edition).
    """
    texts = {
        "Description": tags.description,
        "Software": tags.software,
        "Copyright": tags.licence,
        RECORD_KEYWORD: tags.to_json(),
        XMP_KEYWORD: xmp_packet(tags).decode("utf-8"),
    }
    chunks = [(b"iTXt", _international_text(name, text)) for name, text in texts.items() if text]
    return [*chunks, (b"eXIf", exif_block(tags))]


def encode_chunk(name: bytes, content: bytes) -> bytes:
    """A whole chunk: length, type, content, checksum (PNG specification, 5.3)."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _international_text(keyword: str, text: str) -> bytes:
    return keyword.encode(_LATIN) + b"\0\0\0\0\0" + text.encode("utf-8")  # not compressed; no language, no translation


def decode_text(kind: bytes, content: bytes) -> tuple[str, bytes]:
    """Keyword and text of a tEXt, zTXt or iTXt chunk.

    Raises:
        ValueError: if the chunk is damaged or inflates to more than 2 MiB.
    """
    keyword, separator, rest = content.partition(b"\0")
    if not separator or not 1 <= len(keyword) <= 79:
        raise ValueError("a text chunk has no keyword")
    name = keyword.decode(_LATIN)
    if kind == b"tEXt":
        return name, rest.decode(_LATIN).encode("utf-8")
    if kind == b"zTXt":
        return name, _inflate(rest[1:]).decode(_LATIN).encode("utf-8")
    if len(rest) < 2:
        raise ValueError("an iTXt chunk is cut off")
    compressed, tail = rest[0], rest[2:]
    pieces = tail.split(b"\0", 2)
    if len(pieces) < 3:
        raise ValueError("an iTXt chunk is cut off")
    return name, _inflate(pieces[2]) if compressed else pieces[2]


def _inflate(data: bytes) -> bytes:
    coder = zlib.decompressobj()
    try:
        text = coder.decompress(data, _MAX_TEXT)
    except zlib.error as error:
        raise ValueError(f"a compressed text is damaged: {error}") from error
    if coder.unconsumed_tail:
        raise ValueError("a compressed text unpacks to more than 2 MiB")
    return text


def raw_profile(text: bytes) -> bytes:
    """The bytes of a "Raw profile type ..." text: name, length and hexadecimal lines, as ImageMagick writes them.

    Raises:
        ValueError: if it is damaged.
    """
    lines = text.strip().split(b"\n")
    return bytes.fromhex(b"".join(lines[2:]).decode("ascii"))
