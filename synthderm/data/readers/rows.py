"""Rows of a known layout turned into records."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..images import is_image_name
from ..records import LeftOut, Note, Record
from ..tree import FileTree, is_inside
from .labels import parse_modality, parse_skin_type, says_nothing
from .layouts import Layout
from .tables import Row, Table

_PAIRS = {"12": (1, 2), "34": (3, 4), "56": (5, 6)}


@dataclass
class Reading:
    """What a reader has found so far."""

    records: list[Record] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def add(self, record: Record, where: str) -> None:
        """Take a record, unless its file was listed before."""
        if record.file in self.seen:
            self.left_out.append(LeftOut(record.file, f"is listed a second time ({where})"))
            return
        self.seen.add(record.file)
        self.records.append(record)


def looks_like_mask(name: str) -> bool:
    """Whether a name is that of a mask: a folder called so, or an ending such as ``_segmentation``."""
    path = PurePosixPath(name)
    if path.stem.lower().endswith(("_segmentation", "_mask", "_superpixels")) or "_attribute_" in path.stem.lower():
        return True
    return any("mask" in part.lower() or "segmentation" in part.lower() for part in path.parts[:-1])


class ImageIndex:
    """Finds images and masks by file name or by id."""

    def __init__(self, tree: FileTree) -> None:
        self._names = frozenset(tree.names)
        self.problems = dict(tree.problems)
        self.images = [n for n in tree.names if is_image_name(n) and not looks_like_mask(n)]
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for name in tree.names:
            if is_image_name(name):
                path = PurePosixPath(name)
                for key in {path.name, path.stem}:
                    self._by_key[key].append(name)

    def file(self, name: str, folder: str) -> str | None:
        """A file named by its path, relative to ``folder`` or to the set."""
        for candidate in (folder + name, name):
            plain = str(PurePosixPath(candidate))
            if plain in self._names:
                return plain
        return None

    def images_of(self, key: str) -> list[str]:
        """Images (not masks) whose file name is ``key``, with or without its ending."""
        return [name for name in self._by_key.get(key, ()) if not looks_like_mask(name)]

    def mask_of(self, image: str, endings: tuple[str, ...]) -> str | None:
        """The mask of an image: ``ID_segmentation.png``, or a file of the same name in a folder of masks."""
        stem = PurePosixPath(image).stem
        for ending in endings:
            for name in self._by_key.get(stem + ending, ()):
                return name
        return next((n for n in self._by_key.get(stem, ()) if n != image and looks_like_mask(n)), None)


def read_rows(layout: Layout, table: Table, index: ImageIndex, extra: dict[str, Row], reading: Reading) -> None:
    """Add every row of ``table`` to ``reading``.

    Args:
        layout: what the columns mean.
        table: has the columns that the layout needs.
        index: the files of the set.
        reading: gets the records, and what is left out.
        extra: rows of other tables of the same set, by image id: what a row lacks is taken from there.
    """
    for row in table.rows(reading.left_out):
        named = row.get(*layout.image)
        if named is None:
            reading.left_out.append(LeftOut(row.where, f"has no {' or '.join(layout.image)}"))
            continue
        if "/" not in named:
            named = named.replace("\\", "/")  # written on Windows
        image = _find_image(named, table, index, row, reading)
        if image is None:
            continue
        other = extra.get(PurePosixPath(named).stem)
        if other is not None:
            row = Row({**other.values, **{k: v for k, v in row.values.items() if row.get(k) is not None}}, row.where)
        label, code = layout.labels(row)
        if label is None or says_nothing(label):
            reading.left_out.append(LeftOut(image, f"has no label ({row.where})"))
            continue
        mask = _find_mask(layout, image, table, index, row, reading)
        reading.add(_record(layout, row, image, label, code, mask, named), row.where)


def _find_image(named: str, table: Table, index: ImageIndex, row: Row, reading: Reading) -> str | None:
    if not is_inside(named):
        reading.left_out.append(LeftOut(named, f"points outside the set ({row.where})"))
        return None
    image = index.file(named, table.folder)
    if image is not None:
        return image
    found = index.images_of(PurePosixPath(named).name)
    if not found and is_image_name(named):  # converted to another format
        found = index.images_of(PurePosixPath(named).stem)
    if not found:
        reason = index.problems.get(table.folder + named, "is missing")
        reading.left_out.append(LeftOut(named, f"{reason} ({row.where})"))
        return None
    if len(found) > 1:
        reading.notes.append(Note(found[0], f"taken for {named!r}; {found[1]} has the same name"))
    return found[0]


def _find_mask(layout: Layout, image: str, table: Table, index: ImageIndex, row: Row, reading: Reading) -> str | None:
    named = row.get(*layout.columns.get("mask", ()))
    if named is None:
        return index.mask_of(image, layout.mask_endings) if layout.mask_endings else None
    mask = index.file(named, table.folder) if is_inside(named) else None
    if mask is None:
        reading.notes.append(Note(image, f"its mask {named} is missing"))
    return mask


def _record(layout: Layout, row: Row, image: str, label: str, code: str | None, mask: str | None, named: str) -> Record:
    def column(name: str) -> str | None:
        return row.get(*layout.columns.get(name, ())) or layout.constants.get(name)

    sex, site = column("sex"), column("site")
    ita = row.number(*layout.columns.get("ita_deg", ()))
    estimate = row.number("ita_est") if ita is None else None
    return Record(
        file=image,
        dataset=column("dataset") or layout.name,
        label=label,
        diagnosis=code,
        group=column("group"),
        split=column("split") or folder_split(image),
        fitzpatrick=parse_skin_type(column("fitzpatrick")),
        fitzpatrick_range=_PAIRS.get((column("fitzpatrick_range") or "").removesuffix(".0")),
        ita_deg=ita if estimate is None else estimate,
        ita_is_estimate=estimate is not None,
        mask=mask,
        modality=parse_modality(column("modality")),
        licence=column("licence"),
        age=row.number(*layout.columns.get("age", ())),
        sex=sex.lower() if sex else None,
        site=site.lower() if site else None,
        source_id=column("source_id") or PurePosixPath(named).stem,
        is_synthetic=_is_true(row.values.get("is_synthetic")),
        metadata=row.values,
    )


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes")


_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
           "test": "test", "testing": "test"}  # fmt: skip


def folder_split(name: str) -> str | None:
    """The split that a folder on the way to a file names, or None."""
    return next((_SPLITS[part.lower()] for part in PurePosixPath(name).parts[:-1] if part.lower() in _SPLITS), None)
