"""What an image file says about its origin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from synthderm.core import InputError

_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"

TRAINED = _IPTC + "trainedAlgorithmicMedia"
"""Made by a model that learnt from real images."""

ALGORITHMIC = _IPTC + "algorithmicMedia"
"""Made by an algorithm that learnt from no sampled images: the simulator."""

COMPOSITE = _IPTC + "compositeWithTrainedAlgorithmicMedia"
"""A real image of which a learned model changed a part: translations and changes of skin tone."""

DIGITAL_SOURCE_TYPES = (TRAINED, ALGORITHMIC, COMPOSITE)
"""The values that :class:`Tags` takes, of the IPTC vocabulary Digital Source Type."""

SYNTHETIC_SOURCE_TYPES = frozenset({*DIGITAL_SOURCE_TYPES, _IPTC + "compositeSynthetic"})
"""The values of that vocabulary that say, from whatever program, that an image is synthetic at least in part."""

NO_WATERMARK = "none"
"""The ``watermark`` of an image that carries no mark."""

MAX_TEXT = 200
"""Longest text of a field, characters."""

MAX_JSON = 8192
"""Longest record that is read, characters."""

_VERSION_KEY = "synthderm_tags"
_VERSION = 1


@dataclass(frozen=True)
class Tags:
    """The record that goes into an image file. It holds no time, host, user or path: equal images, equal bytes.

    Attributes:
        generator: name of the generator.
        generator_version: its version.
        digital_source_type: one of :data:`DIGITAL_SOURCE_TYPES`.
        watermark: id of the watermark's key (never the key), or "none" for an image without the mark.
        run: number of the run, 0 to 2**32 - 1, the same as in the watermark; None if unknown.
        seed: the image's own seed; None if unknown.
        recipe_digest: digest of the resolved recipe, hexadecimal; empty if unknown.
        licence: SPDX name; empty if unknown.
        software: program with version.

    Raises:
        InputError: for a text that is too long or not printable, a number out of range, or an unknown source type.
    """

    generator: str
    generator_version: str
    digital_source_type: str
    watermark: str = NO_WATERMARK
    run: int | None = None
    seed: int | None = None
    recipe_digest: str = ""
    licence: str = ""
    software: str = "synthderm"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("run", "seed"):
                _check_number(field.name, value, 2**32 if field.name == "run" else 2**64)
            elif not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
                raise InputError(
                    f"{field.name} must be printable text of up to {MAX_TEXT} characters, but got {value!r:.80}"
                )
        if self.digital_source_type not in DIGITAL_SOURCE_TYPES:
            raise InputError(
                f"digital_source_type must be one of {', '.join(DIGITAL_SOURCE_TYPES)}, "
                f"but got {self.digital_source_type!r:.120}"
            )

    @property
    def description(self) -> str:
        """One sentence for people, in every carrier that has a field for it."""
        made = "Real image changed" if self.digital_source_type == COMPOSITE else "Synthetic image made"
        version = f" {self.generator_version}" if self.generator_version else ""
        return (
            f"{made} by {self.software} ({self.generator}{version}); not a photograph of a patient, not for diagnosis"
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of ASCII JSON; the same record gives the same text."""
        return json.dumps({_VERSION_KEY: _VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tags:
        """The record of a mapping that nobody has checked; unknown names are left out.

        Raises:
            InputError: for a missing field or a value that does not fit.
        """
        names = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in names})
        except TypeError as error:
            raise InputError(f"the record is incomplete: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Tags | None:
        """The record of a text that nobody has checked; None if the text is no such record at all.

        Raises:
            InputError: for a record that is too long, damaged, of a later version, or with values that do not fit.
        """
        if not text.lstrip().startswith(f'{{"{_VERSION_KEY}"'):
            return None
        if len(text) > MAX_JSON:
            raise InputError(f"the record is longer than {MAX_JSON} characters")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the record is damaged: {error}") from error
        if values[_VERSION_KEY] != _VERSION:
            raise InputError(
                f"the record is of version {values[_VERSION_KEY]!r:.20}; this library reads version {_VERSION}"
            )
        return cls.from_dict(values)


def _check_number(name: str, value: Any, limit: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise InputError(f"{name} must be a whole number from 0 to {limit - 1}, or None, but got {value!r:.40}")


def source_type_of(generator: str) -> str:
    """The digital source type of a generator's images.

    Args:
        generator: registered name; "simulator" draws by rules, "translator" and "tone" change real images, every
            other one has learnt from images.
    """
    return {"simulator": ALGORITHMIC, "translator": COMPOSITE, "tone": COMPOSITE}.get(generator, TRAINED)
