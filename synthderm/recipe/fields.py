"""Readers of single values: what a person may write for each flag, and the one form it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthderm.core import MODALITIES, InputError, ParameterValue
from synthderm.core.checks import check_range, unknown
from synthderm.core.tone import ITA_RANGE_DEG

FORMATS = ("png", "jpg", "webp")
SIZE_RANGE_PX = (64, 1024)


@dataclass(frozen=True)
class Tone:
    """One requested tone: a skin type, an ITA, or a range of ITA that each image draws from.

    Attributes:
        fst: type 1 to 6, or None.
        low_deg, high_deg: ITA in degrees; equal for a single angle, None with ``fst``.
    """

    fst: int | None = None
    low_deg: float | None = None
    high_deg: float | None = None

    def __str__(self) -> str:
        if self.low_deg is None:
            return f"fst{self.fst}"
        return f"ita{self.low_deg:g}" + ("" if self.low_deg == self.high_deg else f"..{self.high_deg:g}")


def read_tones(fst: Sequence[int], ita: Sequence[Any]) -> tuple[Tone, ...]:
    """The tones of a request: its types or its angles, and all six types where it names neither."""
    if ita:
        return tuple(Tone(None, low, high) for low, high in ita)
    return tuple(Tone(kind) for kind in (fst or range(1, 7)))


def read_ita(value: Any) -> tuple[tuple[float, float], ...]:
    """Angles as (low, high) pairs from -20, "55,20,-20", "-40..-10" (also "-40:-10"), or a list of these.

    Raises:
        InputError: for text that is no number, and for angles that no skin has.
    """
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(_one_ita(part) for part in parts)


def _one_ita(part: Any) -> tuple[float, float]:
    ends = part if isinstance(part, (list, tuple)) else str(part).replace("..", ":").split(":")
    try:
        numbers = [float(end) for end in ends]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(
            f"ita must be degrees, a list (55,20,-20) or a range (-40..-10), but got {part!r}; "
            "a skin type goes into fst"
        )
    for number in numbers:
        check_range("ita", number, *ITA_RANGE_DEG, "degrees")
    return min(numbers), max(numbers)


def read_shard(value: Any) -> tuple[int, int]:
    """(k, n) from "k/n", with 1 <= k <= n."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split("/")
    try:
        k, n = (int(part) for part in parts)
    except (TypeError, ValueError):
        k, n = 0, 0
    if not 1 <= k <= n:
        raise InputError(f"shard must be k/n with 1 <= k <= n, such as 2/8, but got {value!r}")
    return k, n


def read_assignments(value: Any) -> dict[str, ParameterValue]:
    """Scene parameters from a mapping, "name=value" or a list of these."""
    if isinstance(value, Mapping):
        return {str(name): held for name, held in value.items()}
    held: dict[str, ParameterValue] = {}
    for part in [value] if isinstance(value, str) else value:
        name, equals, text = str(part).partition("=")
        if not (name.strip() and equals and text.strip()):
            raise InputError(f"set must be NAME=VALUE, such as lesion.asymmetry=0.8, but got {part!r}")
        held[name.strip()] = text.strip()
    return held


def read_masks(value: Any) -> str | tuple[str, ...]:
    """The word lesion or all, or a tuple of names."""
    names = list(value) if isinstance(value, (list, tuple)) else str(value).split(",")
    names = [str(name).strip() for name in names]
    if names in (["all"], ["lesion"]):
        return names[0]
    return tuple(dict.fromkeys(name for name in names if name))


def whole_number(name: str, low: int, high: int | None = None) -> Any:
    """A reader of whole numbers in [low, high]."""

    def read(value: Any) -> int:
        try:
            number = int(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            number = None
        if number is None or number != float(value):
            raise InputError(f"{name} must be a whole number, but got {value!r}")
        if high is None:
            if number < low:
                raise InputError(f"{name} must be {low} or more, but got {number}")
            return number
        return int(check_range(name, number, low, high))

    return read


def number(name: str, low: float, high: float) -> Any:
    """A reader of numbers in [low, high]."""

    def read(value: Any) -> float:
        try:
            found = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            found = None
        if found is None:
            raise InputError(f"{name} must be a number between {low:g} and {high:g}, but got {value!r}")
        return check_range(name, found, low, high)

    return read


def text(name: str) -> Any:
    """A reader of text that is not empty; a path is taken too."""

    def read(value: Any) -> str:
        if not str(value).strip():
            raise InputError(f"{name} is empty; leave it out, or give a text")
        return str(value).strip()

    return read


def choice(name: str, options: Sequence[str]) -> Any:
    """A reader that takes one of ``options``."""

    def read(value: Any) -> str:
        if str(value).lower() not in options:
            raise unknown(name, str(value), options)
        return str(value).lower()

    return read


def read_flag(name: str) -> Any:
    """A reader of true and false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, but got {value!r}")
        return value

    return read


def read_path(value: Any) -> Path:
    """A path, with ~ for the home folder."""
    return Path(value).expanduser()


read_modality = choice("modality", MODALITIES)

_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def read_dtype(value: Any) -> str:
    """The word auto, fp32, bf16 or fp16; torch's names of the three are taken too."""
    word = str(value).lower()
    return choice("dtype", ("auto", *_DTYPES.values()))(_DTYPES.get(word, word))


def read_format(value: Any) -> str:
    """png, jpg or webp; "jpeg" is jpg."""
    return choice("format", FORMATS)({"jpeg": "jpg"}.get(str(value).lower(), value))
