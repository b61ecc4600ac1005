"""The check of many files: a stream of results with a summary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from synthderm.core import InputError
from synthderm.core.checks import unknown
from synthderm.core.images import MAX_PIXELS

from ..watermark import DEFAULT_FPR, Key
from .inspection import Inspector, Settings
from .pool import check_in_processes
from .results import FileResult, Summary
from .sources import Item, Listing

SEARCHES = ("full", "fast")

FEW = 32
"""Up to so many files are checked in this process when ``workers`` is None: starting others takes longer."""

_FEW_BYTES = 64 << 20


class Check:
    """An iterator over the results, once; ``summary`` is complete at its end.

    Args:
        paths: see :func:`check`.
        settings: how files are checked.
        workers: see :func:`check`.
    """

    def __init__(self, paths: Iterable[str | Path], settings: Settings, workers: int | None) -> None:
        self.summary = Summary(fpr=settings.fpr, search=settings.search, keys=[key.id for key in settings.keys])
        self._listing = Listing(paths)
        self._results = _results(iter(self._listing), settings, workers)

    def __iter__(self) -> Iterator[FileResult]:
        """The iterator itself."""
        return self

    def __next__(self) -> FileResult:
        """The next result, counted in the summary."""
        try:
            result = next(self._results)
        finally:
            self.summary.hidden = self._listing.hidden
        self.summary.add(result)
        return result

    def close(self) -> None:
        """End the check early, with its processes."""
        self._results.close()


def _results(items: Iterator[Item], settings: Settings, workers: int | None) -> Iterator[FileResult]:
    if workers is None:
        first = _first(items)
        few = len(first) <= FEW and sum(item.weight for item in first) <= _FEW_BYTES
        items = chain(first, items)
        workers = 1 if few else _processors()
    if workers == 1:
        inspector = Inspector(settings)
        for item in items:
            yield inspector.inspect(item)
    else:
        yield from check_in_processes(items, settings, workers)


def _first(items: Iterator[Item]) -> list[Item]:
    """Up to one more than few files, and no more than 64 MiB of them at once."""
    first: list[Item] = []
    weight = 0
    for item in islice(items, FEW + 1):
        first.append(item)
        weight += item.weight
        if weight > _FEW_BYTES:
            break
    return first


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(
    paths: Iterable[str | Path] | str | Path,
    keys: Iterable[Key] | Key | None = None,
    *,
    fpr: float = DEFAULT_FPR,
    search: str = "full",
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Check:
    """Look for the mark and for metadata of origin in any number of files.

    Memory does not grow with the number of files: they are listed, read and answered as a stream (only the table of
    contents of a zip file is held). Results come in the order of the files: that of ``paths``; within a folder that
    of the names, or of the file system where it has more than 65,536 entries; within an archive its own.

    Whatever a file holds, the check goes on: what cannot be decided is a result with the verdict "error" and the
    reason. Of an animation or several pages the first is looked at, with a note. With two workers or more this holds
    even for a file that kills the process which decodes it; with one worker such a file ends the caller's process.

    The verdict is that of the watermark. Several keys share the rate: each is tested at ``fpr`` divided by their
    number, and the p-value is the smallest one times their number (Bonferroni). Over many files false alarms add up:
    ``summary`` gives the number to be expected.

    Args:
        paths: files, folders, .zip and .tar files (also compressed: gz, bz2, xz).
        keys: :meth:`Key.find` by default.
        fpr: false-positive rate for one file, between 0 and 1.
        search: "full" looks for crops and rotations too, "fast" only reads directly.
        workers: processes; None for one for each processor, or for this process alone if there are up to 32 files.
        max_pixels: largest image that is decoded, width x height.

    Raises:
        InputError: for an ``fpr``, ``search`` or number of workers out of range, or an empty list of keys. Missing
            files raise nothing; they are results.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    keys = (Key.find(),) if keys is None else (keys,) if isinstance(keys, Key) else tuple(dict.fromkeys(keys))
    if not keys:
        raise InputError("expected one key or more, got none; leave keys out for the default key")
    if not 0 < fpr < 1:
        raise InputError(f"fpr must be between 0 and 1, but got {fpr:g}; the usual rate is 1e-6")
    if search not in SEARCHES:
        raise unknown("search", search, SEARCHES)
    if workers is not None and workers < 1:
        raise InputError(f"workers must be 1 or more, but got {workers}")
    return Check(paths, Settings(keys, fpr, search, max_pixels), workers)
