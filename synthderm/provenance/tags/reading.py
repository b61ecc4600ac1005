"""What the metadata of any image file says about its origin."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from synthderm.core import InputError

from .blocks import Blocks, find_blocks
from .exif import SOFTWARE, XMP_PACKET, read_exif
from .png import RECORD_KEYWORD
from .record import SYNTHETIC_SOURCE_TYPES, Tags
from .xmp import CREATOR_TOOL, SOURCE_TYPE, read_xmp

_MAX_SAID = 200


@dataclass(frozen=True)
class FoundTags:
    """What was found in one file. All of it can be forged: it is what the file says, not what is so.

    Attributes:
        carriers: those of "png_text", "xmp", "exif", "c2pa" and "dicom" that say where the image comes from: they
            hold this library's record, a digital source type, or Content Credentials. Camera data alone is no carrier.
        digital_source_type: of the vocabulary of the IPTC, as found (up to 200 characters), from any program; None if
            there is none.
        tags: this library's record, from the first carrier that has it whole; None if there is none.
        software: the program that the file names; empty if none.
        problems: what could not be read or contradicts itself, one phrase each.
        declared: whether an attribute other than the above says synthetic (DICOM: Synthetic Data, Conversion Type).
    """

    carriers: tuple[str, ...] = ()
    digital_source_type: str | None = None
    tags: Tags | None = None
    software: str = ""
    problems: tuple[str, ...] = ()
    declared: bool = False

    @property
    def says_synthetic(self) -> bool:
        """Whether the metadata says that the image is synthetic, in whole or in part."""
        return self.declared or self.tags is not None or is_synthetic_source(self.digital_source_type)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "carriers": list(self.carriers),
            "digital_source_type": self.digital_source_type,
            "says_synthetic": self.says_synthetic,
            "tags": None if self.tags is None else self.tags.to_dict(),
            "software": self.software,
            "problems": list(self.problems),
        }


def is_synthetic_source(digital_source_type: str | None) -> bool:
    """Whether a digital source type means a synthetic image; ``https`` is taken for ``http``."""
    value = (digital_source_type or "").replace("https://", "http://", 1)
    return value in SYNTHETIC_SOURCE_TYPES


def read_tags(source: str | Path | bytes | BinaryIO) -> FoundTags:
    """What a file's metadata says about its origin. No pixel is decoded, and no content is trusted.

    PNG (text chunks also of other programs' forms, XMP, EXIF), JPEG, WebP and TIFF are read by their structure; in
    other files an XMP packet is searched for. Blocks over 4 MiB, XML with a document type, and damaged parts become
    ``problems``, and the rest is read. Content Credentials are only noticed here;
    :func:`synthderm.provenance.content_credentials.read_credentials` verifies them.

    Args:
        source: path, the file's bytes, or binary file that can seek.

    Raises:
        InputError: if the file is missing or cannot be read.
    """
    try:
        with _as_file(source) as file:
            blocks = find_blocks(file)
    except OSError as error:
        name = source if isinstance(source, (str, Path)) else "the file"
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    return _Statement(blocks).found()


def _as_file(source: str | Path | bytes | BinaryIO) -> Any:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, (str, Path)):
        return nullcontext(source)
    if not Path(source).is_file():  # opening a pipe would wait for ever
        raise InputError(f"cannot read {source}: it is missing or no regular file")
    return open(source, "rb")


class _Statement:
    """Gathers what the carriers say, in the order PNG text, XMP, EXIF; the first word counts."""

    def __init__(self, blocks: Blocks) -> None:
        self._carriers: dict[str, None] = {}
        self._records: list[Tags] = []
        self._source_types: list[str] = []
        self._software: list[str] = []
        self._problems = list(blocks.problems)
        for keyword, text in blocks.texts:
            self._text(keyword, text.decode("utf-8", "replace"))
        for packet in blocks.xmp:
            self._xmp(packet)
        for block in blocks.exif:
            self._exif(block)
        if blocks.has_credentials:
            self._carriers["c2pa"] = None

    def _record(self, carrier: str, read: Any) -> None:
        """Take the record that ``read`` returns, if it is whole."""
        try:
            record = read()
        except InputError as error:
            self._problems.append(f"{carrier}: {error}")
            return
        if record is not None:
            self._carriers[carrier] = None
            self._records.append(record)

    def _text(self, keyword: str, text: str) -> None:
        if keyword == RECORD_KEYWORD:
            self._record("png_text", lambda: Tags.from_json(text))
        elif keyword == "Software":
            self._software.append(text)

    def _xmp(self, packet: bytes) -> None:
        found = read_xmp(packet)
        if found.problem:
            self._problems.append(f"xmp: the packet {found.problem}")
        source_type = found.values.get(SOURCE_TYPE, "")
        if source_type:
            self._carriers["xmp"] = None
            self._source_types.append(source_type)
        self._record("xmp", found.tags)
        self._software.append(found.values.get(CREATOR_TOOL, ""))

    def _exif(self, block: bytes) -> None:
        found = read_exif(block)
        if found.problem:
            self._problems.append(f"exif: the block {found.problem}")
        self._record("exif", found.tags)
        self._software.append(found.text(SOFTWARE))
        if XMP_PACKET in found.values:  # TIFF keeps the packet in a tag
            self._xmp(found.values[XMP_PACKET])

    def found(self) -> FoundTags:
        if len(set(self._records)) > 1:
            self._problems.append("the carriers hold different records")
        said = self._source_types + [record.digital_source_type for record in self._records]
        if len({value.replace("https://", "http://", 1) for value in said}) > 1:
            self._problems.append("the carriers name different digital source types")
        return FoundTags(
            carriers=tuple(self._carriers),
            digital_source_type=_strongest(said),
            tags=self._records[0] if self._records else None,
            software=printable(next((name for name in self._software if name), "")),
            problems=tuple(dict.fromkeys(printable(problem) for problem in self._problems)),
        )


def _strongest(said: list[str]) -> str | None:
    """The first digital source type that means synthetic, else the first."""
    first = next((value for value in said if is_synthetic_source(value)), said[0] if said else None)
    return None if first is None else printable(first)


def printable(text: str) -> str:
    """Up to 200 characters of a text, without control characters that could harm a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_SAID]).strip()
