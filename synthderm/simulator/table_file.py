"""The colour table's file in the user's cache folder."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where tables are kept: ``SYNTHDERM_CACHE``, else ``synthderm`` in the user's cache folder."""
    if named := os.environ.get("SYNTHDERM_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "synthderm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "synthderm" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "synthderm"


def read_table(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The table in ``path``; None if there is none or it cannot be used."""
    try:
        table = load_file(path)["reflectance"]
    except FileNotFoundError:
        return None
    except (OSError, KeyError, SafetensorError) as error:
        _log.warning("the colour table %s cannot be read (%s) and is made again", path, error)
        return None
    if table.shape != shape:
        _log.warning("the colour table %s has shape %s, not %s, and is made again", path, table.shape, shape)
        return None
    return table


def write_table(path: Path, table: np.ndarray) -> None:
    """Write whole or not at all: a reader never sees half a file, and of two writers the later one stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError as error:
        _log.warning("the colour table is not kept (%s): set SYNTHDERM_CACHE to a writable folder", error)
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save({"reflectance": table}))
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        _log.warning("the colour table is not kept (%s): set SYNTHDERM_CACHE to a writable folder", error)
