"""What a check finds: one result for each file, and their sum."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from ..tags import FoundTags

FileVerdict = Literal["synthetic", "not_found", "undecided", "error"]

FOUND, NOTHING_FOUND, FAILED = 3, 0, 2


@dataclass(frozen=True)
class FileResult:
    """What was found in one file.

    Attributes:
        path: the file; a member of an archive as ``archive:member``. Bytes that are no UTF-8 are written
            as hexadecimal escapes.
        verdict: of the watermark alone: "synthetic" (found), "not_found", "undecided" (the image cannot carry a mark
            or the search did not settle it), or "error" (nothing could be decided; see ``error``).
        p_value: of the watermark, corrected for every try of the search and for the number of keys; None after an
            error.
        payload: version, generator, run and the payload's own p_value; None if none was read.
        tags: what the metadata says; it is read also from files whose pixels cannot be.
        credentials: state, source type and issuer of Content Credentials; None if there are none.
        watermark: key id and how the mark was found; None if it was not.
        notes: what was done to the pixels before the search (first frame, 16 bit, CMYK, wrong suffix, ...).
        error: why there is no verdict, one line; empty if there is one.
        is_image: False for a file that neither is nor claims to be an image.
    """

    path: str
    verdict: FileVerdict
    p_value: float | None = None
    payload: dict[str, Any] | None = None
    tags: FoundTags = field(default_factory=FoundTags)
    credentials: dict[str, Any] | None = None
    watermark: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    error: str = ""
    is_image: bool = True

    @property
    def says_synthetic(self) -> bool:
        """Whether the metadata, Content Credentials included, says that the image is synthetic."""
        return self.tags.says_synthetic or bool(self.credentials and self.credentials.get("says_synthetic"))

    def to_dict(self) -> dict[str, Any]:
        """``{"path", "verdict", "p_value", "payload", "metadata"}`` as JSON values."""
        metadata = {
            **self.tags.to_dict(),
            "says_synthetic": self.says_synthetic,
            "content_credentials": self.credentials,
            "watermark": self.watermark,
            "notes": list(self.notes),
            "error": self.error or None,
        }
        return {
            "path": self.path,
            "verdict": self.verdict,
            "p_value": self.p_value,
            "payload": self.payload,
            "metadata": metadata,
        }


@dataclass
class Summary:
    """The sum of a check, filled while it runs.

    Attributes:
        files: results so far.
        synthetic: files in which the mark was found.
        not_found: files in which it was not.
        undecided: files that cannot carry it, or where the search settled nothing.
        error: files without a verdict; ``not_images`` of them neither are nor claim to be images.
        not_images: see ``error``.
        synthetic_by_metadata: files whose metadata says synthetic, with or without the mark.
        hidden: hidden files and folders that were passed over.
        fpr: the false-positive rate for one file.
        search: "full" or "fast".
        keys: ids of the keys.
    """

    files: int = 0
    synthetic: int = 0
    not_found: int = 0
    undecided: int = 0
    error: int = 0
    not_images: int = 0
    synthetic_by_metadata: int = 0
    hidden: int = 0
    fpr: float = 0.0
    search: str = "full"
    keys: list[str] = field(default_factory=list)
    _found: int = field(default=0, repr=False)

    def add(self, result: FileResult) -> None:
        """Count one result."""
        self.files += 1
        setattr(self, result.verdict, getattr(self, result.verdict) + 1)
        self.not_images += not result.is_image
        self.synthetic_by_metadata += result.says_synthetic
        self._found += result.verdict == "synthetic" or result.says_synthetic

    @property
    def exit_code(self) -> int:
        """3 if some are synthetic, 2 after errors, 0 if none is found, for a data pipeline.

        3 if the mark or the metadata of any file says synthetic; else 2 if an image could not be checked, or if nothing
        was checked at all; else 0. Files that are no images do not fail a folder that has images too.
        """
        if self._found:
            return FOUND
        checked = self.files - self.error
        return FAILED if self.error > self.not_images or not checked else NOTHING_FOUND

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values, with the false alarms to be expected among the checked files."""
        figures = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        return {**figures, "expected_false_alarms": self.fpr * (self.files - self.error)}


class Checked(Protocol):
    """Results with a summary that is complete at their end."""

    summary: Summary

    def __iter__(self) -> Iterator[FileResult]:
        """The results."""
        ...


def json_pieces(results: Checked, seen: Iterable[FileResult] | None = None) -> Iterator[str]:
    """One JSON object ``{"files": [...], "summary": {...}}`` in pieces, one for each file: it is never held whole.

    Args:
        results: the check.
        seen: the results to write, if something else (a progress bar) draws them from the check.
    """
    yield '{"files": ['
    separator = "\n"
    for result in results if seen is None else seen:
        yield separator + json.dumps(result.to_dict(), allow_nan=False)
        separator = ",\n"
    yield '\n], "summary": ' + json.dumps(results.summary.to_dict(), allow_nan=False) + "}\n"
