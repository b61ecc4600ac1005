"""EXIF blocks: one is written, and any is read for the few texts that tell where an image comes from."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from synthderm.core import InputError

from .record import Tags

IMAGE_DESCRIPTION, SOFTWARE, XMP_PACKET, COPYRIGHT, EXIF_IFD = 0x010E, 0x0131, 0x02BC, 0x8298, 0x8769
EXIF_VERSION, USER_COMMENT = 0x9000, 0x9286

_PREFIX = b"Exif\0\0"
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_ASCII_CODE = b"ASCII\0\0\0"
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1}  # bytes of a value, of the types that texts and offsets have
_WANTED = {IMAGE_DESCRIPTION, SOFTWARE, XMP_PACKET, COPYRIGHT, EXIF_IFD, USER_COMMENT}
_MAX_ENTRIES = 512
_MAX_VALUE = 2 << 20


def exif_block(tags: Tags) -> bytes:
    """The block, little-endian, without the prefix "Exif" and two zero bytes (Exif 2.32, CIPA DC-008).

    ImageDescription, Software and Copyright (the licence) are plain sentences; UserComment is the whole record.
    """
    texts = {IMAGE_DESCRIPTION: tags.description, SOFTWARE: tags.software, COPYRIGHT: tags.licence}
    main = {tag: (_ASCII, text.encode("ascii", "replace") + b"\0") for tag, text in texts.items() if text}
    inner = {
        EXIF_VERSION: (_UNDEFINED, b"0232"),
        USER_COMMENT: (_UNDEFINED, _ASCII_CODE + tags.to_json().encode("ascii")),
    }
    start = 8
    main[EXIF_IFD] = (_LONG, bytes(4))
    inner_start = start + len(_directory(main, start))
    main[EXIF_IFD] = (_LONG, struct.pack("<I", inner_start))
    return b"II*\0" + struct.pack("<I", start) + _directory(main, start) + _directory(inner, inner_start)


def _directory(entries: dict[int, tuple[int, bytes]], start: int) -> bytes:
    """One image file directory with its values behind it (TIFF 6.0, section 2)."""
    head = [struct.pack("<H", len(entries))]
    values = b""
    values_start = start + 2 + 12 * len(entries) + 4
    for tag, (kind, data) in sorted(entries.items()):
        count = len(data) // _SIZES[kind]
        if len(data) <= 4:
            place = data.ljust(4, b"\0")
        else:
            place = struct.pack("<I", values_start + len(values))
            values += data + b"\0" * (len(data) % 2)
        head.append(struct.pack("<HHI", tag, kind, count) + place)
    return b"".join(head) + bytes(4) + values


@dataclass
class ExifTexts:
    """What was found in a block.

    Attributes:
        values: tag number -> raw bytes, of the tags that are looked for.
        problem: why something was not read; empty if all was.
    """

    values: dict[int, bytes] = field(default_factory=dict)
    problem: str = ""

    def text(self, tag: int) -> str:
        """A plain text; empty if it is not there."""
        return self.values.get(tag, b"").split(b"\0")[0].decode("utf-8", "replace").strip()

    def comment(self) -> str:
        """The user comment, whichever of its codes it is in."""
        data = self.values.get(USER_COMMENT, b"")
        code, body = data[:8], data[8:]
        if code == b"UNICODE\0":
            zeros_first = body[:1] == b"\0"
            return body.decode("utf-16-be" if zeros_first else "utf-16-le", "replace").strip("\ufeff\0 ")
        return (body if code in (_ASCII_CODE, bytes(8)) else data).decode("utf-8", "replace").strip("\0 ")

    def tags(self) -> Tags | None:
        """The record in the block; None if it has none.

        Raises:
            InputError: for a record that is damaged.
        """
        return Tags.from_json(self.comment())


def read_exif(block: bytes) -> ExifTexts:
    """The texts of a block, or of the head of a TIFF file, that nobody has checked. It raises nothing."""
    found = ExifTexts()
    data = block.removeprefix(_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        found.problem = "has no TIFF header"
        return found
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        _read_directory(data, order, start, found)
        inner = found.values.pop(EXIF_IFD, None)
        if inner is not None and len(inner) == 4:
            _read_directory(data, order, struct.unpack(order + "I", inner)[0], found)
        found.values.pop(EXIF_IFD, None)
    except (struct.error, InputError) as error:
        found.problem = f"is damaged: {error}"
    return found


def _read_directory(data: bytes, order: str, start: int, found: ExifTexts) -> None:
    (count,) = struct.unpack_from(order + "H", data, start)
    if count > _MAX_ENTRIES:
        raise InputError(f"a directory claims {count} entries")
    for i in range(count):
        place = start + 2 + 12 * i
        tag, kind, number = struct.unpack_from(order + "HHI", data, place)
        if tag not in _WANTED or kind not in _SIZES:
            continue
        length = number * _SIZES[kind]
        offset = place + 8 if length <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        if length > _MAX_VALUE or offset + length > len(data):
            found.problem = f"is damaged: tag {tag:#06x} points outside the block"
            continue
        found.values.setdefault(tag, data[offset : offset + length])
