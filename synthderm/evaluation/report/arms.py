"""How the arms of a training experiment are named, ordered and coloured, the same everywhere on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .drawing import HEAVY, MIXED, ONLY, OTHER, REAL, REPLAY
from .text import finite, plain

REPLAYS = ("real+replay", "real+replay-matched")
"""Arms whose dose is made of resampled real images: what a synthetic dose must beat."""

_LOOKS = {
    "real": (REAL, "s", "real only", "real only"),
    "real+replay": (REPLAY, "D", "real + replay", "+ replay"),
    "real+replay-matched": (REPLAY, "d", "real + matched replay", "+ matched replay"),
    "real+synthetic": (MIXED, "o", "real + synthetic", "+ synthetic"),
    "synthetic": (ONLY, "^", "synthetic only", "synthetic only"),
    "real+heavy-aug": (HEAVY, "v", "real, heavy augmentation", "heavy augment."),
}
_ORDER = list(_LOOKS)
_SIGNS = {
    "s": "\N{BLACK SQUARE}",
    "D": "\N{BLACK DIAMOND}",
    "d": "\N{WHITE DIAMOND}",
    "^": "\N{BLACK UP-POINTING TRIANGLE}",
    "v": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "P": "\N{HEAVY GREEK CROSS}",
}


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        kind: ``"real+synthetic"`` and so on.
        ratio: added images for each real one; None where none are added.
    """

    kind: str
    ratio: float | None

    @property
    def name(self) -> str:
        """The plain name with its dose."""
        return f"{self.kind_name}{self._dose}"

    @property
    def short(self) -> str:
        """A name for narrow places."""
        return f"{_LOOKS[self.kind][3] if self.kind in _LOOKS else plain(self.kind)}{self._dose}"

    @property
    def _dose(self) -> str:
        return "" if self.ratio is None or self.kind == "synthetic" else f" {self.ratio:g}:1"

    @property
    def kind_name(self) -> str:
        """The plain name without the dose."""
        return _LOOKS[self.kind][2] if self.kind in _LOOKS else plain(self.kind)

    @property
    def colour(self) -> str:
        """One of the colours of :mod:`.drawing`."""
        return _LOOKS[self.kind][0] if self.kind in _LOOKS else OTHER

    @property
    def marker(self) -> str:
        """As matplotlib names it."""
        return _LOOKS[self.kind][1] if self.kind in _LOOKS else "P"

    @property
    def sign(self) -> str:
        """The marker as a letter, for legends in HTML."""
        return _SIGNS.get(self.marker, "\N{BLACK CIRCLE}")

    @property
    def rank(self) -> tuple[int, str, float]:
        """Sorts arms for tables and drawings."""
        place = _ORDER.index(self.kind) if self.kind in _LOOKS else len(_ORDER)
        return place, self.kind, self.ratio or 0.0


def arm_of(row: Mapping[str, Any], key: str = "arm") -> Arm:
    """The arm of a line of the result; ``"real+synthetic@2"`` is the arm with its ratio in one word."""
    kind, _, behind = str(row.get(key) or "?").partition("@")
    ratio = finite(row.get("ratio"))
    if behind:
        try:
            ratio = float(behind)
        except ValueError:
            kind = f"{kind}@{behind}"
    if kind in ("real", "real+heavy-aug"):
        ratio = None
    return Arm(kind, ratio)
