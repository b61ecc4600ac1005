"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from synthderm.core import InputError

HIDDEN = ".synthderm"
"""Folder inside an output folder for the journal, locks and unfinished files; data set loaders skip it."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MACHINE = hashlib.sha256(str(uuid.getnode()).encode()).hexdigest()[:8]  # tells machines that share a folder apart
_ONE_DAY_S = 86_400
_numbers = itertools.count()


def sha256(data: bytes | Path) -> str:
    """SHA-256 of bytes or of a file's content, as 64 hexadecimal digits.

    Raises:
        InputError: if the file cannot be read.
    """
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    try:
        with open(data, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {data}: {error.strerror}") from error


def free_bytes(path: Path) -> int:
    """Free space, bytes, on the file system of ``path`` (of its nearest parent that exists)."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def write_error(path: Path, error: OSError) -> InputError:
    """A one-line error for what could not be written, with the free space if the disk is full."""
    if error.errno in _FULL:
        free = free_bytes(path) / 1e6
        return InputError(
            f"cannot write {path}: the disk is full ({free:.1f} MB free); "
            "free some space, then run the same command again to continue"
        )
    return InputError(f"cannot write {path}: {error.strerror}; choose a folder that you may write to")


def make_folder(path: Path) -> Path:
    """The folder, made with its parents if it was not there.

    Raises:
        InputError: if it cannot be made, or a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"cannot make the folder {path}: a file of that name is in the way") from None
    except OSError as error:
        raise write_error(path, error) from error
    return path


def _temporary(path: Path, root: Path | None) -> Path:
    name = f"{_MACHINE}-{os.getpid()}-{next(_numbers)}.part"
    return make_folder(path.parent) / f".{name}" if root is None else make_folder(root / HIDDEN / "work") / name


@contextmanager
def open_atomic(path: str | Path, *, root: str | Path | None = None, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that is at no moment half-written under its name.

    The bytes go to a hidden ``.part`` file, reach the disk (fsync), and the file is then renamed
    (``os.replace``), which a file system does as a whole or not at all. A process that is killed leaves at most
    the ``.part`` file; after an error in the block there is not even that, and ``path`` is as it was.

    Args:
        path: the file; an old one is replaced, its folder is made.
        root: the output folder, on the same file system: unfinished files go to ``<root>/.synthderm/work``,
            where :func:`clean_work` finds them. Without it they lie beside the file.
        sync: wait for the disk. Without it the file is safe from a killed process but not from a power cut.

    Raises:
        InputError: if the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    part = _temporary(path, None if root is None else Path(root))
    try:
        make_folder(path.parent)
        with open(part, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes, *, root: str | Path | None = None, sync: bool = True) -> str:
    """Write a whole file through :func:`open_atomic`; SHA-256 of ``data``.

    Raises:
        InputError: if the disk is full or the folder cannot be written to; ``path`` is then as it was.
    """
    with open_atomic(path, root=root, sync=sync) as file:
        file.write(data)
    return sha256(data)


def _is_left_over(part: Path) -> bool:
    """Whether the writer of an unfinished file is gone: a dead process here, or a day has passed."""
    machine, pid, _ = part.stem.split("-")
    if machine != _MACHINE:
        return time.time() - part.stat().st_mtime > _ONE_DAY_S
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, another user's
        return False
    return False


def clean_work(root: str | Path) -> int:
    """Remove the unfinished files of processes that were killed; how many there were."""
    count = 0
    for part in (Path(root) / HIDDEN / "work").glob("*-*-*.part"):
        try:
            if _is_left_over(part):
                part.unlink()
                count += 1
        except FileNotFoundError:  # another process was faster
            continue
    return count
