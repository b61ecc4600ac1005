"""The report: one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from synthderm.core import InputError
from synthderm.data import write_atomic

from . import audit, gain, quality
from .audit_answers import audit_answers
from .gain_answers import gain_answers
from .layout import section
from .method import method_part, raw_part
from .read import KINDS, Result, find_results
from .verdict import verdict_box

TITLE = "Evaluation of synthetic skin images"

_READING = (
    "Every line is made from the result files alone. An interval that holds zero shows no difference; it does not show "
    "that there is none. Groups with too few images are called insufficient."
)


def report(
    folders: str | Path | Iterable[str | Path],
    output: str | Path = "report.html",
    *,
    title: str = TITLE,
    overwrite: bool = False,
) -> Path:
    """Write the page of all results in the given folders.

    Reads ``quality.json``, ``audit.json`` and ``gain.json`` (any of them, also several of a kind) with the pictures
    and predictions beside them, in the folders and in their direct subfolders. The page opens without a network,
    and the same results give the same bytes.

    Args:
        folders: one or several.
        output: the HTML file; its folder is made.
        title: the heading.
        overwrite: replace a file that is there.

    Returns:
        The file.

    Raises:
        InputError: if a folder is missing, holds no result, a result is damaged, or ``output`` is there already.
    """
    found = find_results([folders] if isinstance(folders, (str, Path)) else folders)
    return write_report(found, output, title=title, overwrite=overwrite)


def write_report(results: Sequence[Result], output: str | Path, *, title: str = TITLE, overwrite: bool = False) -> Path:
    """Write the page of results that are read; see :func:`report`.

    Raises:
        InputError: if ``output`` is a folder, or is there already.
    """
    path = Path(output)
    if path.is_dir():
        raise InputError(f"expected a file for the report, but {path} is a folder; name a file: {path}/report.html")
    if path.exists() and not overwrite:
        raise InputError(f"{path} is there already; choose another --output, or --overwrite to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, report_html(results, title=title).encode())
    return path


def report_html(results: Sequence[Result], *, title: str = TITLE) -> str:
    """The text of the page; see :func:`report`."""
    by_kind: dict[str, list[Result]] = {kind: [r for r in results if r.kind == kind] for kind in KINDS}
    answers = [
        *gain_answers(by_kind["gain"], gain.MISSING),
        *quality.quality_answers(by_kind["quality"]),
        *audit_answers(by_kind["audit"], audit.MISSING),
    ]
    parts = {
        "helps": _section("helps", by_kind["gain"], gain, gain.gain_part),
        "quality": _section("quality", by_kind["quality"], quality, quality.quality_part),
        "audit": _section("audit", by_kind["audit"], audit, audit.audit_part),
        "method": _closing("method", "How it was measured", "".join(map(method_part, results))),
        "files": _closing("files", "The result files", raw_part(results)),
    }
    titles = (gain.QUESTION, quality.QUESTION, audit.QUESTION, "How it was measured", "The result files")
    links = zip(parts, titles, strict=True)
    template = files("synthderm.evaluation.report").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(title),
        subtitle=escape(_subtitle(results)),
        reading=escape(_READING),
        verdict=verdict_box(answers),
        links="".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links),
        sections="\n".join(parts.values()),
    )


def _section(anchor: str, results: Sequence[Result], module: Any, show: Any) -> str:
    return section(anchor, module.QUESTION, results, show, module.LEAD, module.MISSING)


def _closing(anchor: str, title: str, body: str) -> str:
    head = f'<h2 id="{anchor}-title">{escape(title)}</h2>'
    return f'<section id="{anchor}" aria-labelledby="{anchor}-title">{head}{body}</section>'


def _subtitle(results: Sequence[Result]) -> str:
    """The sets that were judged, each once, with their digests."""
    found: dict[str, None] = {}
    for result in results:
        sets = result.part("context", "sets")
        for role, value in sets.items() if isinstance(sets, dict) else ():
            about = value if isinstance(value, dict) else {"name": value}
            shown = about.get("path") or about.get("name") or role
            count = f", {about['n']:,} images" if isinstance(about.get("n"), int) else ""
            found[f"{role}: {shown}{count}"] = None
    return "; ".join(found) or f"{len(results)} results"
