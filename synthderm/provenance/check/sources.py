"""Files to check, one after the other: from folders, zip and tar files, without a list of them in memory."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, BinaryIO

from synthderm.core import InputError
from synthderm.core.names import is_hidden

MAX_MEMBER = 256 << 20
"""Largest member of an archive that is unpacked, bytes."""

MAX_SORTED = 65_536
"""Folders of up to so many entries are read in the order of their names, larger ones in that of the file system."""

_MAX_DEPTH = 200
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVE_SUFFIXES = (".zip", *_TAR_SUFFIXES)


@dataclass(frozen=True)
class Item:
    """One file to check.

    Attributes:
        name: how results call it.
        path: the file, if it lies on disk.
        data: its bytes, if it lay in an archive.
        problem: why it cannot be opened; empty if it can.
    """

    name: str
    path: str | None = None
    data: bytes | None = None
    problem: str = ""

    @property
    def weight(self) -> int:
        """Bytes that the item holds in memory."""
        return len(self.data or b"")

    def open(self) -> BinaryIO:
        """The file, for reading.

        Raises:
            InputError: if it is no regular file or cannot be read.
        """
        if self.data is not None:
            return io.BytesIO(self.data)
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):  # opening a pipe would wait for ever
                raise InputError("is no regular file (a folder, pipe or device)")
            return open(self.path, "rb")
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}") from error


@dataclass
class Listing:
    """Iterates over the files of paths. Hidden names (first sign a dot, ``__MACOSX``) are counted, not listed.

    Args:
        paths: files, folders (with all folders in them; links are followed, each folder once), zip and tar files,
            also inside folders. Archives within archives are named as problems.

    Attributes:
        hidden: hidden files and folders passed over so far.
    """

    paths: Iterable[str | Path]
    hidden: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set, repr=False)

    def __iter__(self) -> Iterator[Item]:
        """The files, in the order of the paths."""
        for path in self.paths:
            text = os.path.expanduser(os.fspath(path))
            if os.path.isdir(text):
                yield from self._folder(text, 0)
            elif os.path.lexists(text):
                yield from self._file(text)
            else:
                yield Item(shown(text), problem="does not exist")

    def _folder(self, folder: str, depth: int) -> Iterator[Item]:
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in self._seen:  # a link that leads back
                return
            self._seen.add((status.st_dev, status.st_ino))
            if depth > _MAX_DEPTH:
                raise OSError(0, f"more than {_MAX_DEPTH} folders inside each other")
            with os.scandir(folder) as entries:
                for entry in _sorted_if_few(entries):
                    yield from self._entry(entry, depth)
        except OSError as error:
            yield Item(shown(folder), problem=f"cannot be listed: {error.strerror or error}")

    def _entry(self, entry: os.DirEntry[str], depth: int) -> Iterator[Item]:
        if self._is_hidden(entry.name):
            return
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            yield Item(shown(entry.path), problem=f"cannot be read: {error.strerror or error}")
            return
        yield from self._folder(entry.path, depth + 1) if is_folder else self._file(entry.path)

    def _is_hidden(self, name: str) -> bool:
        hidden = is_hidden(name)
        self.hidden += hidden
        return hidden

    def _file(self, path: str) -> Iterator[Item]:
        lower = path.lower()
        if lower.endswith(_ARCHIVE_SUFFIXES) and os.path.isfile(path):
            members = self._zip(path) if lower.endswith(".zip") else self._tar(path)
            try:
                yield from members
            except Exception as error:  # tarfile, zipfile, zlib, lzma, bz2 and gzip each raise their own
                yield Item(shown(path), problem=f"the archive is damaged or ends too early: {error}")
        else:
            yield Item(shown(path), path=path)

    def _zip(self, path: str) -> Iterator[Item]:
        """The members of a zip file. Its table of contents is in memory, about half a kilobyte for each."""
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir() or self._is_hidden(info.filename):
                    continue
                name = shown(f"{path}:{info.filename}")
                problem = "is encrypted; unpack it with its password first" if info.flag_bits & 1 else ""
                yield _member(name, info.filename, info.file_size, problem, lambda info=info: archive.open(info))

    def _tar(self, path: str) -> Iterator[Item]:
        """The members of a tar file, read once from its beginning to its end."""
        with tarfile.open(path, "r|*") as archive:
            for info in archive:
                archive.members = []  # tarfile keeps all it has seen
                if info.isdir() or self._is_hidden(info.name):
                    continue
                name = shown(f"{path}:{info.name}")
                problem = "" if info.isreg() else "is a link, pipe or device inside a tar file"
                yield _member(name, info.name, info.size, problem, lambda info=info: archive.extractfile(info))


def _sorted_if_few(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    first = list(islice(entries, MAX_SORTED + 1))
    if len(first) <= MAX_SORTED:
        first.sort(key=lambda entry: entry.name)
    return chain(first, entries)


def _member(name: str, inner: str, size: int, problem: str, open_member: Callable[[], IO[bytes]]) -> Item:
    """A member of an archive with its bytes, or why it has none. A cut-off archive raises."""
    if not problem and inner.lower().endswith(_ARCHIVE_SUFFIXES):
        problem = "is an archive inside an archive; unpack it first"
    if not problem and size > MAX_MEMBER:
        problem = f"unpacks to {size:,} bytes, more than {MAX_MEMBER >> 20} MiB"
    if problem:
        return Item(name, problem=problem)
    try:
        with open_member() as file:
            return Item(name, data=file.read(size))
    except tarfile.ReadError:
        raise
    except Exception as error:  # zlib, lzma, bz2, CRC, ...: a damaged member raises any of them
        return Item(name, problem=f"cannot be unpacked: {error}")


def shown(path: str) -> str:
    """A path as text that can be written as UTF-8: other bytes appear as hexadecimal escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
