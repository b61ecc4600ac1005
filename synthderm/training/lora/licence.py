"""The licence of an adapter, from those of the images that it was trained on."""

from __future__ import annotations

from collections.abc import Iterable

from synthderm.models.bases import UNKNOWN_LICENCE

_STRICTNESS = (
    "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
)  # fmt: skip
"""Licences of dermatology data sets, from what asks for least to what asks for most."""


def spdx(name: str | None) -> str:
    """The SPDX name for what a data set calls its licence ("CC BY-NC 4.0"); unknown ones are said to be unknown."""
    plain = "-".join((name or "").upper().replace("_", "-").split())
    plain = {"CC0": "CC0-1.0", "CC-0": "CC0-1.0", "CC-BY": "CC-BY-4.0", "CC-BY-NC": "CC-BY-NC-4.0"}.get(plain, plain)
    return plain if plain in _STRICTNESS else UNKNOWN_LICENCE


def strictest(names: Iterable[str | None]) -> str:
    """What holds for all images together: the licence that asks for most; unknown if one of them is unknown."""
    found = {spdx(name) for name in names}
    if UNKNOWN_LICENCE in found or not found:
        return UNKNOWN_LICENCE
    return max(found, key=_STRICTNESS.index)
