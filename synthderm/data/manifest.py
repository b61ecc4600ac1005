"""The journal of a run, and the manifest that is made from it."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from synthderm.core import InputError

from .files import HIDDEN, clean_work, make_folder, write_atomic, write_error

MANIFEST = "metadata.jsonl"
FOLDERS = ("images", "masks", "maps")

_BYTES = "_bytes"  # in a journal only: size of all files of the row
_FIRST_CHUNK = 8 << 20  # `datasets` finds the types of the columns in the first 10 MB of the manifest
_FILES_FIRST = ("file_name", "mask_file_name")


def flatten_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``; NaN and infinity become None.

    The scene parameters, which have dotted names already, are lifted out of ``"parameters"`` as they are.

    Raises:
        InputError: if two values end up under one name.
    """
    flat: dict[str, Any] = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                put(key if name == "parameters" else f"{name}.{key}", inner)
            return
        if name in flat:
            raise InputError(f"two values of a manifest row are both called {name!r}")
        flat[name] = None if isinstance(value, float) and not math.isfinite(value) else value

    for name, value in row.items():
        put(name, value)
    return flat


def _column_kind(name: str, values: list[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"the manifest column {name!r} must be of one type, but got {names}")
    return kinds.pop() if kinds else type(None)


def uniform_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Flat rows, sorted by ``index``, that all have the same columns with the same types.

    Missing values are None (in text columns: ""), whole numbers in a column of floats become floats.

    Raises:
        InputError: if a column holds values of two types, naming it.
    """
    flat = sorted((flatten_row(row) for row in rows), key=lambda row: row["index"])
    names = list(dict.fromkeys(name for row in flat for name in row))
    names.sort(key=lambda name: _FILES_FIRST.index(name) if name in _FILES_FIRST else len(_FILES_FIRST))
    kinds = {name: _column_kind(name, [row.get(name) for row in flat]) for name in names}

    def cell(name: str, value: Any) -> Any:
        if value is None:
            return "" if kinds[name] is str and not name.endswith("file_name") else None
        return float(value) if kinds[name] is float else value

    return [{name: cell(name, row.get(name)) for name in names} for row in flat]


def _typed_rows_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in order, except that a row which alone shows a column's type moves to the front.

    ``datasets`` takes a column for empty if the first 10 MB hold no value of it, and then fails on the first
    value. This concerns sets of thousands of images with a column that only the later ones have.
    """
    size, end = 0, 0
    while end < len(rows) and size < _FIRST_CHUNK:
        size += len(json.dumps(rows[end]))
        end += 1
    untyped = [name for name in (rows[0] if rows else ()) if all(row[name] is None for row in rows[:end])]
    front: dict[int, None] = {}
    for name in untyped:
        position = next((i for i in range(end, len(rows)) if rows[i][name] is not None), None)
        if position is not None:
            front[position] = None
    return [rows[i] for i in front] + [row for i, row in enumerate(rows) if i not in front]


@contextmanager
def folder_lock(root: str | Path, timeout_s: float = 600.0) -> Iterator[None]:
    """Hold the output folder while its common files are written, so that shards finish one after the other.

    Raises:
        InputError: if another process holds it for longer than ``timeout_s`` seconds.
    """
    path = make_folder(Path(root) / HIDDEN) / "folder.lock"
    lock = FileLock(path, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process has held {path} for {timeout_s:g} s; wait, then try again") from None
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _parse_lines(path: Path, data: bytes, advice: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            row = json.loads(line)
            row["index"] = int(row["index"])
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{path}, line {number}, is damaged; {advice}") from None
        rows.append(row)
    return rows


def _read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole rows of a journal, and how many bytes at its end belong to none (a torn last line)."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    return _parse_lines(path, data[:end], "delete the line, its image is then made again"), len(data) - end


def journal_rows(root: str | Path) -> dict[int, dict[str, Any]]:
    """Rows of the images that are finished, by index, from the journals of every shard.

    An image counts only while all its files are there in full length; one that lost a file, or whose file was
    cut short by a power cut, is made again.

    Raises:
        InputError: if a journal is damaged other than by a torn last line.
    """
    root = Path(root)
    rows: dict[int, dict[str, Any]] = {}
    for path in sorted((root / HIDDEN).glob("journal-*.jsonl")):
        rows.update({row["index"]: row for row in _read_journal(path)[0]})
    folders = [root / name for name in FOLDERS if (root / name).is_dir()] if rows else []
    sizes = {f"{folder.name}/{e.name}": e.stat().st_size for folder in folders for e in os.scandir(folder)}

    def is_whole(row: dict[str, Any]) -> bool:
        return row.pop(_BYTES, None) == sum(sizes.get(name, -1) for name in file_names(row))

    return {index: row for index, row in sorted(rows.items()) if is_whole(row)}


def file_names(row: Mapping[str, Any]) -> list[str]:
    """The files of a manifest row, relative to its folder."""
    return [value for name, value in row.items() if name.endswith(("file_name", "maps_path")) and value]


class Journal:
    """One line for each finished image, on the disk before the next image begins.

    Each shard has a file of its own below ``<root>/.synthderm``; what is finished is read from all of them,
    so that a run can go on with another number of shards. Use it as a context manager, or close it.

    Args:
        root: the output folder; made if it is not there.
        shard: (k, n) of ``--shard k/n``.

    Raises:
        InputError: if another process writes this shard, the folder cannot be written to, or the journal is
            damaged. A torn last line, which a killed process leaves, is no damage: it is cut off.
    """

    def __init__(self, root: str | Path, shard: tuple[int, int] = (1, 1)) -> None:
        self.root = Path(root)
        hidden = make_folder(self.root / HIDDEN)
        stem = f"{shard[0]}-of-{shard[1]}"
        self.path = hidden / f"journal-{stem}.jsonl"
        self._lock = FileLock(hidden / f"shard-{stem}.lock", timeout=0)
        try:
            self._lock.acquire()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except Timeout:
            raise InputError(
                f"another process is writing shard {shard[0]}/{shard[1]} of {self.root}; wait for it to end"
            ) from None
        except OSError as error:
            raise write_error(self.path, error) from error
        clean_work(self.root)
        try:
            torn = _read_journal(self.path)[1]
        except InputError:
            self.close()
            raise
        if torn:
            os.ftruncate(self._file, os.fstat(self._file).st_size - torn)

    def append(self, row: Mapping[str, Any]) -> None:
        """Note an image whose files are all written.

        Args:
            row: its manifest row; needs "index" and "file_name".

        Raises:
            InputError: if the disk is full or a file of the row is not there.
        """
        flat = flatten_row(row)
        flat[_BYTES] = sum(self._size(name) for name in file_names(flat))
        line = json.dumps(flat, allow_nan=False).encode() + b"\n"
        start = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, start)
            raise write_error(self.path, error) from error

    def _size(self, name: str) -> int:
        try:
            return (self.root / name).stat().st_size
        except OSError as error:
            raise InputError(f"cannot note {self.root / name} as finished: {error.strerror}") from error

    def done(self) -> dict[int, dict[str, Any]]:
        """Row by index of every finished image, over all shards; see :func:`journal_rows`."""
        return journal_rows(self.root)

    def close(self) -> None:
        """Close the file and let other processes have the shard."""
        os.close(self._file)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def merged_rows(root: str | Path, rows: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Uniform rows of all finished images, from the journals and those given. Hold :func:`folder_lock`."""
    by_index: dict[int, Mapping[str, Any]] = {int(row["index"]): row for row in rows}
    return uniform_rows((by_index | journal_rows(root)).values())


def write_rows(root: str | Path, rows: list[dict[str, Any]]) -> Path:
    """Write uniform rows as the manifest, atomically. Hold :func:`folder_lock`."""
    path = Path(root) / MANIFEST
    lines = (json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in _typed_rows_first(rows))
    write_atomic(path, "".join(lines).encode(), root=root)
    return path


def write_manifest(root: str | Path, rows: Iterable[Mapping[str, Any]] = ()) -> Path:
    """Write ``metadata.jsonl`` in the form of a Hugging Face ImageFolder, sorted by ``index``.

    The rows of every shard's journal are taken in under a lock: whichever shard ends last writes the whole
    set. ``load_dataset("imagefolder", data_dir=root)`` then gives ``image``, ``mask`` and
    ``attribute_<name>`` as images, and the scene parameters as flat columns (``"lesion.asymmetry"``).

    Args:
        root: the output folder.
        rows: rows beside those in the journals; a row of the journals wins.

    Raises:
        InputError: if the columns do not agree or the file cannot be written.
    """
    with folder_lock(root):
        return write_rows(root, merged_rows(root, rows))


def read_manifest(root: str | Path) -> list[dict[str, Any]]:
    """The rows of ``metadata.jsonl``.

    Raises:
        InputError: if it is not there or damaged, naming the line.
    """
    path = Path(root) / MANIFEST
    if not path.is_file():
        raise InputError(f"{root} has no {MANIFEST}; give a folder that `synthderm generate` has finished")
    return _parse_lines(path, path.read_bytes(), "run the command that made the folder again")
