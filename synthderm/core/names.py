"""Names of files that nobody has chosen for us."""

from __future__ import annotations


def is_hidden(name: str) -> bool:
    """Whether a part of the name starts with a dot or is the ``__MACOSX`` folder of a zip file."""
    parts = name.split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part not in (".", "..") for part in parts)
