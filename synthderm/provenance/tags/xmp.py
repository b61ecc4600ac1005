"""XMP packets: one is written, and any is read for the few properties that tell where an image comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from synthderm.core import InputError

from .record import Tags

MAX_PACKET = 2 << 20
"""Longest packet that is read, bytes."""

_MAX_DEPTH = 100
_MAX_TEXT = 4096

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
DC = "http://purl.org/dc/elements/1.1/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OWN = "urn:synthderm:tags:1#"

SOURCE_TYPE = (IPTC, "DigitalSourceType")
CREATOR_TOOL = (XMP, "CreatorTool")

_KNOWN = {SOURCE_TYPE, CREATOR_TOOL, (IPTC, "AISystemUsed")}
_NUMBERS = ("run", "seed")


def xmp_packet(tags: Tags) -> bytes:
    """The packet, UTF-8 without padding: IPTC source type and AI system, Dublin Core, and every field of the record.

    Properties as in the XMP specification, part 1 (ISO 16684-1), and the IPTC Photo Metadata Standard 2025.1.
    """
    own = {name: value for name, value in tags.to_dict().items() if value not in (None, "")}
    simple = {
        "xmp:CreatorTool": tags.software,
        "Iptc4xmpExt:DigitalSourceType": tags.digital_source_type,
        "Iptc4xmpExt:AISystemUsed": tags.generator,
        "Iptc4xmpExt:AISystemVersionUsed": tags.generator_version,
        **{f"synthderm:{name}": str(value) for name, value in own.items()},
    }
    spaces = {"xmp": XMP, "dc": DC, "Iptc4xmpExt": IPTC, "synthderm": OWN}
    head = [f'xmlns:{name}="{uri}"' for name, uri in spaces.items()]
    body = [f"{name}={quoteattr(value)}" for name, value in simple.items() if value]
    texts = {"dc:description": tags.description, "dc:rights": tags.licence}
    alternatives = "".join(
        f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></{name}>\n'
        for name, text in texts.items()
        if text
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">\n'
        '<rdf:Description rdf:about=""\n' + "\n".join(head + body) + ">\n"
        f"{alternatives}</rdf:Description>\n"
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


@dataclass
class XmpProperties:
    """What was found in a packet.

    Attributes:
        values: (namespace, name) -> text, of the properties that are looked for.
        problem: why the packet was not read to its end; empty if it was.
    """

    values: dict[tuple[str, str], str] = field(default_factory=dict)
    problem: str = ""

    def tags(self) -> Tags | None:
        """The record in the packet; None if it has none.

        Raises:
            InputError: for a record with values that do not fit.
        """
        own = {name: value for (space, name), value in self.values.items() if space == OWN}
        return Tags.from_dict({name: _number(name, value) for name, value in own.items()}) if own else None


def _number(name: str, value: str) -> str | int:
    if name not in _NUMBERS:
        return value
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise InputError(f"{name} must be a whole number, but got {value!r:.40}")
    return int(value)


class _Refused(Exception):
    pass


class _Reader:
    """Keeps the first value of every wanted property, whether attribute, element or the first item of a list."""

    def __init__(self) -> None:
        self.found = XmpProperties()
        self._path: list[tuple[str, str]] = []
        self._text: list[str] = []
        self._inside: int | None = None  # depth of the wanted element that is open

    def parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        # XMP has no document type; without one there are no entities that grow or point to files.
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        return parser

    def _refuse(self, *_: object) -> int:
        raise _Refused("has a document type or entities, which XMP does not allow")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise _Refused(f"is nested deeper than {_MAX_DEPTH} elements")
        key = _key(name)
        self._path.append(key)
        resource = attributes.get(f"{RDF} resource")
        if resource is not None:
            self._keep(key, resource)
        if key == (RDF, "Description"):
            for attribute, value in attributes.items():
                self._keep(_key(attribute), value)
        if self._inside is None and _wanted(key):
            self._inside, self._text = len(self._path), []

    def _characters(self, text: str) -> None:
        if self._inside is not None and sum(map(len, self._text)) < _MAX_TEXT:
            self._text.append(text)

    def _end(self, name: str) -> None:
        key = self._path.pop()
        if self._inside is None:
            return
        if key == (RDF, "li") and "".join(self._text).strip():
            self._keep(self._path[self._inside - 1], "".join(self._text))
            self._text = []
        if len(self._path) < self._inside:
            self._keep(key, "".join(self._text))
            self._inside = None

    def _keep(self, key: tuple[str, str], value: str) -> None:
        value = value.strip()[:_MAX_TEXT]
        if _wanted(key) and value:
            self.found.values.setdefault(key, value)


def _key(name: str) -> tuple[str, str]:
    space, _, local = name.rpartition(" ")
    return space, local


def _wanted(key: tuple[str, str]) -> bool:
    return key in _KNOWN or key[0] == OWN


def read_xmp(packet: bytes) -> XmpProperties:
    """The properties of a packet that nobody has checked. It raises nothing; what was read before a fault is kept."""
    reader = _Reader()
    if len(packet) > MAX_PACKET:
        return XmpProperties(problem=f"is longer than {MAX_PACKET >> 20} MiB")
    try:
        reader.parser().Parse(packet.strip(b"\0 \r\n\t"), True)
    except _Refused as refused:
        return XmpProperties(problem=str(refused))
    except (expat.ExpatError, ValueError, LookupError) as error:
        reader.found.problem = f"is damaged: {error}"
    return reader.found
