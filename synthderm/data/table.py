"""The rows of a set as one table that is not held in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthderm.core import InputError

_FILES_FIRST = ("file_name", "mask_file_name")

# The columns that the figures of a set and the choice of the images to show need, by their place in a row: those
# of which every image has its own value, and those of which many have the same.
_OWN = {name: i for i, name in enumerate(("index", "lesion_id", "ita_deg", "ita_requested_deg"))}
_SHARED = {
    name: i
    for i, name in enumerate(
        ("dx", "diagnosis", "fst_requested", "attempts", "width", "height")
        + ("generator", "generator_version", "image_type")
    )
}


def flatten_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``; NaN and infinity become None.

    The scene parameters, which have dotted names already, are lifted out of ``"parameters"`` as they are.

    Raises:
        InputError: if two values end up under one name.
    """
    flat: dict[str, Any] = {}
    for name, value in (cell for item in row.items() for cell in _cells(*item)):
        if name in flat:
            raise InputError(f"two values of a manifest row are both called {name!r}")
        flat[name] = value
    return flat


def _cells(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _cells(key if name == "parameters" else f"{name}.{key}", inner)
    else:
        yield name, None if isinstance(value, float) and not math.isfinite(value) else value


class ManifestRow(Mapping[str, Any]):
    """A row of a :class:`Table`: the columns of every figure are in memory, the others are read when asked for."""

    __slots__ = ("_own", "_shared", "_table")

    def __init__(self, table: Table, own: tuple[Any, ...], shared: tuple[Any, ...]) -> None:
        self._table, self._own, self._shared = table, own, shared

    def __getitem__(self, name: str) -> Any:
        if name in _OWN:
            return self._table.cell(name, self._own[_OWN[name]])
        if name in _SHARED:
            return self._table.cell(name, self._shared[_SHARED[name]])
        return self._table.whole(self._own[0])[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.columns)

    def __len__(self) -> int:
        return len(self._table.columns)


class Table(Sequence[Mapping[str, Any]]):
    """Flat rows, sorted by ``index``, that all have the same columns with the same types.

    Missing values are None (in text columns: ""), whole numbers in a column of floats become floats. Only the
    columns that every figure of a set needs are held, some 300 bytes for each row; ``source`` is read again for
    the others, which have some hundred values.

    Args:
        source: rows by index, such as :func:`journal_rows` gives.

    Attributes:
        columns: name -> type, in the order of the manifest; the type of None where there is no value.

    Raises:
        InputError: if a column holds values of two types, naming it.
    """

    def __init__(self, source: Mapping[int, Mapping[str, Any]]) -> None:
        self._source, self._rows, self._last = source, [], (None, {})
        kinds: dict[str, set[type]] = {}
        known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for index in sorted(source):
            row = flatten_row(source[index])
            for name, value in row.items():
                kinds.setdefault(name, set()).add(type(value))
            shared = tuple(row.get(name) for name in _SHARED)
            own = (index, *(row.get(name) for name in _OWN if name != "index"))
            self._rows.append(ManifestRow(self, own, known.setdefault((*map(type, shared), *shared), shared)))
        names = sorted(kinds, key=lambda name: _FILES_FIRST.index(name) if name in _FILES_FIRST else len(_FILES_FIRST))
        self.columns = {name: _column_kind(name, kinds[name]) for name in names}

    def cell(self, name: str, value: Any) -> Any:
        """A value as the column ``name`` has it; KeyError if there is no such column."""
        kind = self.columns[name]
        if value is None:
            return "" if kind is str and not name.endswith("file_name") else None
        return float(value) if kind is float else value

    def whole(self, index: int) -> dict[str, Any]:
        """All columns of the row ``index``; the last one that was asked for is kept."""
        if self._last[0] != index:
            row = flatten_row(self._source[index])
            self._last = (index, {name: self.cell(name, row.get(name)) for name in self.columns})
        return self._last[1]

    def stream(self) -> Iterator[dict[str, Any]]:
        """The rows with all columns, one at a time."""
        return (self.whole(row["index"]) for row in self._rows)

    def __getitem__(self, position: Any) -> Any:
        return self._rows[position]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _column_kind(name: str, kinds: set[type]) -> type:
    kinds = kinds - {type(None)}
    if kinds == {int, float}:
        return float
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"the manifest column {name!r} must be of one type, but got {names}")
    return kinds.pop() if kinds else type(None)
