"""``synthderm evaluate report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..output import Json, print_json


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of quality, audit and gain.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Put the results of the other evaluate commands on one page that opens without a network.

    Any of them, also several of a kind, in the folders themselves or in their direct subfolders; what is missing is
    said on the page.

    \b
    Examples:
      synthderm evaluate report quality audit gain -o report.html
      synthderm evaluate report results/ -o results/report.html --title "Simulated nevi"
    """  # noqa: D301
    from synthderm.evaluation.report import find_results, write_report

    results = find_results(folders)
    path = write_report(results, output, overwrite=overwrite, **({"title": title} if title else {}))
    found = [{"kind": result.kind, "folder": str(result.folder)} for result in results]
    if json:
        print_json({"report": str(path), "results": found})
        return
    for each in found:
        print(f"{each['kind']}: {each['folder']}")
    print(f"wrote {path}")
