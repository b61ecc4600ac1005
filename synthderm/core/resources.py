"""Folders of data that ship with the library: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from .checks import InputError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder(name: str) -> Path:
    """The folder ``name`` ("recipes", "checkpoints") of this installation.

    Raises:
        InputError: if the installation has none.
    """
    places = (_PACKAGE / f"_{name}", _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise InputError(f"this installation has no {name} folder; looked in {' and '.join(map(str, places))}")
