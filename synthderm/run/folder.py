"""The output folder: whose it is, and how it is made free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from synthderm.core import InputError
from synthderm.data.files import HIDDEN, write_atomic
from synthderm.recipe import Work

_IDENTITY = "identity.json"
_FOLDERS = ("images", "masks", "maps")


def claim_folder(root: Path, work: Work, overwrite: bool = False) -> None:
    """Make ``root`` the folder of this work, or find that it already is.

    Args:
        root: the folder; it may be missing, empty, or hold an earlier part of the same work.
        work: what is to be made.
        overwrite: remove what another recipe made there. Files that this library did not write are never
            touched.

    Raises:
        InputError: if the folder holds other files or, without ``overwrite``, another recipe's images.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file; give --output a folder")
    found = read_identity(root)
    if found is None:
        strangers = sorted(p.name for p in root.iterdir() if p.name != HIDDEN) if root.is_dir() else []
        if strangers:
            raise InputError(
                f"{root} holds files that synthderm did not write ({', '.join(strangers[:3])}); choose another --output"
            )
    elif found != work.identity:
        if not overwrite:
            raise InputError(
                f"{root} holds the output of another recipe ({difference(found, work.identity)}); "
                "choose another --output, or --overwrite to remove what is there"
            )
        clear_folder(root)
    if found != work.identity:
        text = json.dumps(work.identity, indent=1, sort_keys=True) + "\n"
        write_atomic(root / HIDDEN / _IDENTITY, text.encode(), root=root)


def read_identity(root: Path) -> dict[str, Any] | None:
    """The identity of the work that the folder holds, or None."""
    path = root / HIDDEN / _IDENTITY
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); choose another --output") from error


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What differs, shortly: "class ['nv'] there, ['mel'] asked for"."""
    keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    told = [f"{key} {found.get(key)!s:.40} there, {wanted.get(key)!s:.40} asked for" for key in keys[:2]]
    return "; ".join(told) + (f"; and {len(keys) - 2} more" if len(keys) > 2 else "")


def clear_folder(root: Path) -> None:
    """Remove what this library wrote to ``root``, and nothing else.

    Raises:
        InputError: if another process is writing there.
    """
    for lock in sorted((root / HIDDEN).glob("*.lock")):
        try:
            FileLock(lock, timeout=0).acquire().lock.release()
        except Timeout:
            raise InputError(f"another process is writing to {root}; wait for it to end") from None
    for folder in _FOLDERS:
        for path in (root / folder).glob("SYN_*"):
            path.unlink()
    for path in (root / name for name in _written(root)):
        path.unlink(missing_ok=True)
    for folder in (*_FOLDERS, "LICENSES", f"{HIDDEN}/work"):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
    hidden = [path for path in (root / HIDDEN).iterdir() if path.is_file() and path.name != _IDENTITY]
    for path in hidden:
        path.unlink()
    (root / HIDDEN / _IDENTITY).unlink()  # last: a folder that is half cleared still says whose it was


def _written(root: Path) -> list[str]:
    described = (
        "metadata.jsonl rejected.jsonl recipe.resolved.yaml plan.yaml environment.json README.md LICENSE "
        "ATTRIBUTION.txt index.html contact_sheet.png contact_sheet_masks.png annotations.coco.json"
    ).split()
    return described + [f"LICENSES/{path.name}" for path in (root / "LICENSES").glob("*.txt")]
