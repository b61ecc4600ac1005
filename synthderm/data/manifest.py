"""The journal of a run, and the manifest that is made from it."""

from __future__ import annotations

import errno
import json
import os
from array import array
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from synthderm.core import InputError

from .files import HIDDEN, clean_work, make_folder, open_atomic, write_error
from .table import Table, flatten_row

MANIFEST = "metadata.jsonl"

_BYTES = "_bytes"  # in a journal only: size of all files of the row
_FIRST_CHUNK = 8 << 20  # `datasets` finds the types of the columns in the first 10 MB of the manifest
_DELETE_LINE = "delete the line, its image is then made again"


def _typed_rows_first(table: Table) -> list[int]:
    """The indices in order, except that a row which alone shows a column's type moves to the front.

    ``datasets`` takes a column for empty if the first 10 MB hold no value of it, and then fails on the first
    value. This concerns sets of thousands of images with a column that only the later ones have.
    """
    untyped: dict[str, int | None] = {name: None for name, kind in table.columns.items() if kind is not type(None)}
    size = 0
    for row in table.stream():
        found = [name for name, index in untyped.items() if index is None and row[name] is not None]
        for name in found:
            if size < _FIRST_CHUNK:
                del untyped[name]
            else:
                untyped[name] = row["index"]
        if size >= _FIRST_CHUNK and None not in untyped.values():
            break
        size += len(json.dumps(row)) if size < _FIRST_CHUNK else 0
    front = dict.fromkeys(untyped.values())
    return [*front, *(row["index"] for row in table if row["index"] not in front)]


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


def _parse_line(place: str, line: bytes, advice: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        row["index"] = int(row["index"])
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{place}, is damaged; {advice}") from None
    return row


def _read_journal(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(first byte, end, row) of the whole lines of a journal; a torn last line is left out."""
    end = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            start, end = end, end + len(line)
            yield start, end, _parse_line(f"{path}, line {number}", line, _DELETE_LINE)


class JournalRows(Mapping[int, dict[str, Any]]):
    """Rows by index, in order; only where they stand is held (24 bytes each), a row is read when asked for.

    Args:
        paths: the journals.
        places: (N, 3) int64: index, number of the journal, first byte of the line there; sorted by index.
    """

    def __init__(self, paths: Sequence[Path], places: np.ndarray) -> None:
        self._paths, self._places = paths, places

    def _position(self, index: object) -> int | None:
        position = int(np.searchsorted(self._places[:, 0], index))
        return position if position < len(self) and self._places[position, 0] == index else None

    def __getitem__(self, index: int) -> dict[str, Any]:
        position = self._position(index)
        if position is None:
            raise KeyError(index)
        path, start = self._paths[self._places[position, 1]], int(self._places[position, 2])
        with open(path, "rb") as file:
            file.seek(start)
            row = _parse_line(f"{path}, at byte {start}", file.readline(), _DELETE_LINE)
        row.pop(_BYTES, None)
        return row

    def __contains__(self, index: object) -> bool:
        return self._position(index) is not None

    def __iter__(self) -> Iterator[int]:
        return map(int, self._places[:, 0])

    def __len__(self) -> int:
        return len(self._places)


def journal_rows(root: str | Path) -> JournalRows:
    """Rows of the images that are finished, by index, from the journals of every shard.

    An image counts only while all its files are there in full length; one that lost a file, or whose file was
    cut short by a power cut, is made again.

    Raises:
        InputError: if a journal is damaged other than by a torn last line.
    """
    root = Path(root)
    paths = sorted((root / HIDDEN).glob("journal-*.jsonl"))
    found = array("q")
    for number, path in enumerate(paths):
        for start, _, row in _read_journal(path):
            found.extend((row["index"], number, start if _is_whole(root, row) else -1))
    latest_first = np.array(found, np.int64).reshape(-1, 3)[::-1]
    places = latest_first[np.unique(latest_first[:, 0], return_index=True)[1]]
    return JournalRows(paths, places[places[:, 2] >= 0])


def _is_whole(root: Path, row: Mapping[str, Any]) -> bool:
    try:
        return row.get(_BYTES) == sum((root / name).stat().st_size for name in file_names(row))
    except OSError:
        return False


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
            end = max((end for _, end, _ in _read_journal(self.path)), default=0)
        except InputError:
            self.close()
            raise
        if os.fstat(self._file).st_size > end:
            os.ftruncate(self._file, end)

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

    def done(self) -> JournalRows:
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


def merged_rows(root: str | Path, rows: Iterable[Mapping[str, Any]] = ()) -> Table:
    """Uniform rows of all finished images, from the journals and those given. Hold :func:`folder_lock`."""
    noted = journal_rows(root)
    given = {index: row for row in rows if (index := int(row["index"])) not in noted}
    return Table(ChainMap(noted, given))


def write_rows(root: str | Path, table: Table) -> Path:
    """Write uniform rows as the manifest, atomically. Hold :func:`folder_lock`."""
    path = Path(root) / MANIFEST
    with open_atomic(path, root=root) as file:
        for index in _typed_rows_first(table):
            file.write((json.dumps(table.whole(index), allow_nan=False, ensure_ascii=False) + "\n").encode())
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
    lines = enumerate(path.read_bytes().splitlines(), start=1)
    advice = "run the command that made the folder again"
    return [_parse_line(f"{path}, line {number}", line, advice) for number, line in lines]
