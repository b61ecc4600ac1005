"""Reading a data set: find the reader, make the records, check the images, find the tones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synthderm.core import InputError
from synthderm.core.checks import unknown

from ..images import MAX_PIXELS
from ..inspection import CHECKS, Inspector
from ..records import LeftOut, Note, RealSet
from ..tone import TONE_SOURCES
from ..tree import FileTree, open_tree
from . import folders
from .layouts import LAYOUTS, Layout
from .rows import ImageIndex, Reading, read_rows
from .tables import Row, Table, find_tables

READERS: dict[str, str] = {layout.name: layout.title for layout in LAYOUTS} | {folders.NAME: folders.TITLE}
"""Name of every reader -> what it reads."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


def read_dataset(
    path: str | Path,
    *,
    reader: str = "auto",
    tone_from: str = "auto",
    check_images: str = "decode",
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RealSet:
    """Read a public data set, an ImageFolder or an own output folder, from a folder or a zip file.

    Nothing is unpacked to disk. What cannot be used is in ``left_out`` with the reason; all else is read.

    Args:
        path: folder or .zip file.
        reader: a name of :data:`READERS`, or "auto": found out from the columns of its tables.
        tone_from: "auto": for each record the set's Fitzpatrick column, else its ITA column, else the pixels;
            or only "column" (Fitzpatrick), "ita", "stated" (the first two) or "pixels".
        check_images: "decode": every image is decoded, so that truncated ones are found; "header": only
            opened; "none": not touched, except those whose tone must be measured.
        max_pixels: images with more pixels are left out.
        workers: threads; the number of cores, at most 8, by default.
        progress: called while images are checked.

    Raises:
        InputError: if the path is no folder or zip file, no reader fits (saying which columns were found and
            which were expected), or an option is unknown.
    """
    for name, value, known in (
        ("reader", reader, ("auto", *READERS)),
        ("tone_from", tone_from, TONE_SOURCES),
        ("check_images", check_images, CHECKS),
    ):
        if value not in known:
            raise unknown(name, str(value), known)
    tree = open_tree(path)
    index = ImageIndex(tree)
    found = _find_reader(tree, index, reader)
    reading = Reading(left_out=[*found.problems])
    for table in found.tables:
        read_rows(found.layout, table, index, found.extra, reading)
    if found.layout is None:
        folders.read_folders(index, _plain_name(tree.path), reading)
    _list_the_rest(index, reading)
    inspector = Inspector(tree, tone_from, check_images, max_pixels)
    records, left_out, notes = inspector.run(reading.records, workers, progress)
    return RealSet(
        tree=tree,
        reader=found.name,
        why=found.why,
        records=tuple(records),
        left_out=(*reading.left_out, *left_out),
        notes=(*found.notes, *reading.notes, *notes),
    )


@dataclass
class _Found:
    """A reader with its tables."""

    name: str
    why: str
    layout: Layout | None
    tables: list[Table]
    extra: dict[str, Row]
    problems: list[LeftOut]
    notes: list[Note]


def _plain_name(path: Path) -> str:
    return path.stem if path.suffix.lower() == ".zip" else path.resolve().name


def _find_reader(tree: FileTree, index: ImageIndex, reader: str) -> _Found:
    tables, problems = find_tables(tree)
    if reader != folders.NAME:
        for layout in LAYOUTS:
            if reader not in ("auto", layout.name):
                continue
            fitting = [table for table in tables if layout.fits(table)]
            if fitting:
                return _with_layout(layout, fitting, tables, problems)
    if reader in ("auto", folders.NAME):
        known = folders.known_folders(index)
        if known or (reader == folders.NAME and index.images):
            why = f"class folders {', '.join(known[:7])}" if known else "asked for; no folder is a known class"
            notes = [Note(t.name, f"not used: its columns ({_columns(t)}) are unknown") for t in tables]
            return _Found(folders.NAME, why, None, [], {}, problems, notes)
    raise _no_reader(tree, index, reader, tables, problems)


def _with_layout(layout: Layout, fitting: list[Table], tables: list[Table], problems: list[LeftOut]) -> _Found:
    """The reader for a layout; other tables with the same image ids complete its rows."""
    extra: dict[str, Row] = {}
    notes = [Note(item.file, f"not used: {item.reason}") for item in problems]
    bad_rows: list[LeftOut] = []
    for table in tables:
        if table in fitting:
            continue
        key = next((c for c in table.columns if c.lower() in {name.lower() for name in layout.image}), None)
        if key is None:
            notes.append(Note(table.name, f"not used: its columns ({_columns(table)}) are not those of {layout.title}"))
            continue
        for row in table.rows(bad_rows):
            name = row.get(key)
            if name is not None:
                stem = PurePosixPath(name).stem
                before = extra[stem].values if stem in extra else {}
                extra[stem] = Row({**row.values, **before}, row.where)
    names = ", ".join(table.name for table in fitting)
    why = f"{names} has the columns {layout.evidence(fitting[0])}"
    return _Found(layout.name, why, layout, fitting, extra, bad_rows, notes)


def _columns(table: Table) -> str:
    shown = ", ".join(table.columns[:12])
    return shown + ", ..." if len(table.columns) > 12 else shown


def _expected(reader: str) -> str:
    wanted: Iterable[Layout] = [layout for layout in LAYOUTS if reader in ("auto", layout.name)]
    return "; ".join(f"{layout.name}: {layout.expected()}" for layout in wanted)


def _no_reader(
    tree: FileTree, index: ImageIndex, reader: str, tables: list[Table], problems: list[LeftOut]
) -> InputError:
    where = str(tree.path)
    if tables:
        found = "; ".join(f"{table.name} has the columns {_columns(table)}" for table in tables[:3])
        return InputError(f"{where}: no reader fits. Found: {found}. Expected one of: {_expected(reader)}")
    if problems:
        return InputError(f"{where}: no table can be read: {problems[0].reason}")
    if not index.images:
        return InputError(f"{where} holds no table (.csv, .jsonl) and no images")
    return InputError(
        f"{where} holds {len(index.images):,} images, but no table (.csv, .jsonl) and no folder named after "
        f"a class; expected a table ({_expected(reader)}) or folders such as nv/ and melanoma/"
    )


def _list_the_rest(index: ImageIndex, reading: Reading) -> None:
    """List the entries that cannot be read at all, and say how many images of the set no row names."""
    named = reading.seen | {item.file for item in reading.left_out}
    reading.left_out += [LeftOut(name, why) for name, why in index.problems.items() if name not in named]
    unlisted = [name for name in index.images if name not in named]
    if unlisted:
        text = f"in no row of the table, and so not read; {len(unlisted):,} such images in all"
        reading.notes.append(Note(unlisted[0], text))
