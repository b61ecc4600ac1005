"""Metadata tables of any origin: CSV and JSON lines, with errors that say what was found."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from synthderm.core import InputError

from ..records import LeftOut
from ..tree import FileTree

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
MAX_TABLE_BYTES = 256 << 20
MAX_DEPTH = 3
"""How many folders down a table is looked for: a zip often adds one, a split another."""

_EMPTY = frozenset({"", "nan", "na", "n/a", "none", "null", "-"})


@dataclass(frozen=True)
class Table:
    """A metadata file.

    Attributes:
        name: its name in the set.
        columns: as found, in order; of the first row for JSON lines.
        text: its whole content.
    """

    name: str
    columns: tuple[str, ...]
    text: str

    @property
    def folder(self) -> str:
        """The folder that its file names are relative to, "" or ending in a slash."""
        parent = str(PurePosixPath(self.name).parent)
        return "" if parent == "." else parent + "/"

    @property
    def lower_columns(self) -> frozenset[str]:
        """Column names in lower case."""
        return frozenset(column.lower() for column in self.columns)

    def rows(self, left_out: list[LeftOut]) -> Iterator[Row]:
        """Rows in order; those that cannot be read are added to ``left_out``."""
        return self._json_rows(left_out) if self.name.endswith(".jsonl") else self._csv_rows(left_out)

    def _csv_rows(self, left_out: list[LeftOut]) -> Iterator[Row]:
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=_delimiter(self.text))
        next(reader)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                left_out.append(LeftOut(f"{self.name} line {reader.line_num}", f"cannot be read: {error}"))
                continue
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(self.columns):
                reason = f"has {len(fields)} fields, expected {len(self.columns)}"
                left_out.append(LeftOut(f"{self.name} line {reader.line_num}", reason))
                continue
            yield Row(dict(zip(self.columns, fields, strict=True)), f"{self.name} line {reader.line_num}")

    def _json_rows(self, left_out: list[LeftOut]) -> Iterator[Row]:
        for number, line in enumerate(self.text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise ValueError("expected an object in braces")
            except (ValueError, RecursionError) as error:
                left_out.append(LeftOut(f"{self.name} line {number}", f"is no JSON object: {error}"))
                continue
            yield Row(values, f"{self.name} line {number}")


class Row:
    """One row; columns are found whatever their case, and empty values are None."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values = values
        self.where = where
        self._lower = {key.lower(): value for key, value in values.items()}

    def get(self, *names: str) -> str | None:
        """The first value that is not empty among the columns ``names``, as text."""
        for name in names:
            value = self._lower.get(name.lower())
            text = "" if value is None else str(value).strip()
            if text.lower() not in _EMPTY:
                return text
        return None

    def number(self, *names: str) -> float | None:
        """The first such value as a finite number; None if there is none or it is no number."""
        text = self.get(*names)
        try:
            value = float(text) if text is not None else None
        except ValueError:
            return None
        return value if value is not None and abs(value) < float("inf") else None


def find_tables(tree: FileTree) -> tuple[list[Table], list[LeftOut]]:
    """Every table of the set, the outermost first, and those that cannot be read with the reason."""
    names = [
        name
        for name in tree.names
        if name.lower().endswith(TABLE_SUFFIXES) and len(PurePosixPath(name).parts) <= MAX_DEPTH + 1
    ]
    tables, problems = [], []
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        try:
            tables.append(read_table(tree, name))
        except InputError as error:
            problems.append(LeftOut(name, str(error)))
    return tables, problems


def read_table(tree: FileTree, name: str) -> Table:
    """One table with its header.

    Raises:
        InputError: if it is empty, too large, not UTF-8 text, or has no usable header.
    """
    with tree.open(name) as file:
        data = file.read(MAX_TABLE_BYTES + 1)
    where = tree.describe(name)
    if len(data) > MAX_TABLE_BYTES:
        raise InputError(f"{where} is larger than {MAX_TABLE_BYTES:,} bytes; expected a table of metadata")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {error.start}); save it again as CSV in UTF-8") from error
    if not text.strip():
        raise InputError(f"{where} is empty; expected a table of metadata")
    columns = _json_columns(text) if name.lower().endswith(".jsonl") else _csv_columns(text)
    if len(set(columns)) != len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        raise InputError(f"{where} has columns of the same name: {', '.join(map(repr, twice))}")
    return Table(name, columns, text)


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _csv_columns(text: str) -> tuple[str, ...]:
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except (csv.Error, StopIteration):
        return ()
    return tuple(column.strip() for column in header)


def _json_columns(text: str) -> tuple[str, ...]:
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            return tuple(values)
    return ()
