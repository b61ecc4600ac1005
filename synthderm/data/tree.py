"""A folder or a zip file as one flat list of names that can be opened."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from synthderm.core import InputError
from synthderm.core.names import is_hidden

MAX_FILE_BYTES = 256 << 20
"""The largest member that is read from a zip file, 256 MiB uncompressed."""


class FileTree(Protocol):
    """Files by name.

    Attributes:
        path: the folder or the zip file.
        names: every regular file, relative, with forward slashes, sorted; hidden files are not listed.
        problems: (name, reason) of entries that are not listed because they cannot be read safely.
    """

    path: Path
    names: tuple[str, ...]
    problems: tuple[tuple[str, str], ...]

    def open(self, name: str) -> BinaryIO:
        """The file, for reading; raises InputError if that fails."""
        ...

    def describe(self, name: str) -> str:
        """The name as an error message shows it."""
        ...


def is_inside(name: str) -> bool:
    """Whether a relative name stays inside its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


class FolderTree:
    """A folder; links are followed, each folder once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: set[tuple[int, int]] = set()
        names: list[str] = []
        problems: list[tuple[str, str]] = []
        try:
            self._list(path, "", names, problems)
        except OSError as error:
            raise InputError(f"cannot list the folder {path}: {error.strerror or error}") from error
        self.names = tuple(sorted(names))
        self.problems = tuple(problems)

    def _list(self, folder: Path, prefix: str, names: list[str], problems: list[tuple[str, str]]) -> None:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in self._seen:  # a link that leads back
            return
        self._seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                name = prefix + entry.name
                try:
                    if entry.is_dir():
                        self._list(Path(entry.path), name + "/", names, problems)
                    elif entry.is_file():
                        names.append(name)
                    else:
                        problems.append((name, "is no regular file (a broken link, pipe or device)"))
                except OSError as error:
                    problems.append((name, f"cannot be listed: {error.strerror or error}"))

    def open(self, name: str) -> BinaryIO:
        """The file, for reading.

        Raises:
            InputError: if it is missing, unreadable, or no regular file.
        """
        path = self.path / name
        if not path.is_file():  # opening a pipe would wait for ever
            raise InputError(f"{path} is missing or no regular file")
        try:
            return path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error

    def describe(self, name: str) -> str:
        """The path of the file."""
        return str(self.path / name)


class ZipTree:
    """A zip file, read in place: nothing is unpacked to disk. Threads and worker processes may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._process = -1
        self._infos: dict[str, zipfile.ZipInfo] = {}
        problems: list[tuple[str, str]] = []
        for info in self._open_archive().infolist():
            if info.is_dir() or is_hidden(info.filename):
                continue
            if not is_inside(info.filename):
                problems.append((info.filename, "its name points outside the zip file"))
            elif info.flag_bits & 1:
                problems.append((info.filename, "is encrypted; unpack it with its password first"))
            elif info.file_size > MAX_FILE_BYTES:
                problems.append((info.filename, f"unpacks to {info.file_size:,} bytes, more than 256 MiB"))
            else:
                self._infos[info.filename] = info
        self.names = tuple(sorted(self._infos))
        self.problems = tuple(problems)

    def _open_archive(self) -> zipfile.ZipFile:
        if self._archive is None or self._process != os.getpid():  # a fork would share the file position
            try:
                self._archive = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise InputError(f"cannot read the zip file {self.path}: {error}") from error
            self._process = os.getpid()
        return self._archive

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None, "_process": -1}

    def open(self, name: str) -> BinaryIO:
        """The member, unpacked in memory.

        Raises:
            InputError: if it is missing or damaged.
        """
        info = self._infos.get(name)
        if info is None:
            raise InputError(f"{self.describe(name)} is missing")
        try:
            return io.BytesIO(self._open_archive().read(info))
        except Exception as error:  # zlib, lzma, bz2, CRC, ...: a damaged member raises any of them
            raise InputError(f"cannot unpack {self.describe(name)}: {error}") from error

    def describe(self, name: str) -> str:
        """``archive.zip:member``."""
        return f"{self.path}:{name}"


def open_tree(path: str | Path) -> FolderTree | ZipTree:
    """The folder or zip file at ``path``.

    Raises:
        InputError: if it is neither, or cannot be listed.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return FolderTree(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipTree(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; expected a folder or a .zip file of images")
    raise InputError(f"{path} is neither a folder nor a readable zip file")
