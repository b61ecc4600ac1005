"""Finds and reads the results of the other evaluation commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthderm.core import InputError

from ..result import read_result

KINDS = ("gain", "quality", "audit")
"""Kinds of results, in the order of the page; the file of a kind is ``KIND.json``."""


@dataclass(frozen=True)
class Result:
    """One result file.

    Attributes:
        kind: one of :data:`KINDS`.
        folder: where the file lies; pictures and predictions are found beside it.
        name: a short name of the folder for headings.
        text: the file as it is.
        body: the file, parsed.
    """

    kind: str
    folder: Path
    name: str
    text: str
    body: Mapping[str, Any]

    def part(self, *names: str) -> Any:
        """The value under nested names; None where one of them is missing."""
        value: Any = self.body
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def figures(self, *names: str) -> Mapping[str, Any]:
        """A mapping under ``figures``; empty where it is missing or something else."""
        return mapping(self.part("figures", *names))

    def rows(self, *names: str) -> list[Mapping[str, Any]]:
        """A list of mappings under ``figures``; empty where it is missing or something else."""
        return mappings(self.part("figures", *names))


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; empty for anything else."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []


def find_results(folders: Iterable[str | Path]) -> list[Result]:
    """All results in the given folders and in their direct subfolders, each once, by kind and then as given.

    Raises:
        InputError: if a folder is not there, holds no result, or a result is damaged.
    """
    found: dict[tuple[str, Path], Result] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f"expected a folder with results, but {folder} is none; make one: synthderm evaluate")
        results = [result for place in _places(folder) for kind in KINDS if (result := _read(place, kind))]
        if not results:
            names = ", ".join(f"{kind}.json" for kind in KINDS)
            raise InputError(
                f"expected {names} in {folder}, but got none of them; run synthderm evaluate quality, audit or gain"
            )
        for result in results:
            found.setdefault((result.kind, result.folder.resolve()), result)
    if not found:
        raise InputError("expected at least one folder with results, but got none")
    return [result for kind in KINDS for result in found.values() if result.kind == kind]


def _places(folder: Path) -> list[Path]:
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]


def _read(folder: Path, kind: str) -> Result | None:
    body = read_result(folder, kind)
    if body is None:
        return None
    text = (folder / f"{kind}.json").read_text(encoding="utf-8")
    return Result(kind, folder, folder.resolve().name, text, body)
