"""``synthderm watermark``: look for the mark, make a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, counter, print_table

if TYPE_CHECKING:
    from synthderm.provenance.check import FileResult, Summary

watermark = typer.Typer(
    name="watermark",
    help="Tell which images are synthetic: look for the invisible mark and for metadata of origin.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
key = typer.Typer(name="key", help="Private keys.", no_args_is_help=True, rich_markup_mode=None)
watermark.add_typer(key)


@watermark.command()
def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR|SHARD...", help="Images, folders, .zip and .tar files.")
    ],
    keys: Annotated[
        list[Path] | None,
        typer.Option(
            "--key", metavar="FILE", help="Key file; repeatable. SYNTHDERM_WATERMARK_KEY, else the public key."
        ),
    ] = None,
    fpr: Annotated[float, typer.Option(help="False-positive rate for one file.")] = 1e-6,
    search: Annotated[
        str, typer.Option(help="full: crops and small rotations too, about a second an unmarked image; fast: not.")
    ] = "full",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each processor by default.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="List the files without a mark too.")] = False,
    json: Json = False,
) -> None:
    """Look for the watermark, and for what metadata says, in any number of files.

    Files with a mark, or whose metadata says synthetic, are listed, and every file that could not be checked. The
    p-value is an upper bound, corrected for everything that was tried, whatever the image shows.

    Exit status: 0 none found, 3 some found, 2 an error or nothing checked.

    \b
    Examples:
      synthderm watermark check out/
      synthderm watermark check train.tar images.zip photo.jpg --json
      synthderm watermark check incoming/ --search fast --workers 8 || echo "not clean"
    """  # noqa: D301
    from synthderm.provenance.check import check as run
    from synthderm.provenance.check import json_pieces
    from synthderm.provenance.watermark import Key

    found = run(paths, [Key.load(path) for path in keys] if keys else None, fpr=fpr, search=search, workers=workers)
    with counter("files") as count:
        results = _counted(found, count)
        if json:
            for piece in json_pieces(found, results):
                print(piece, end="")
            print()
        else:
            for result in results:
                if everything or result.verdict != "not_found" or result.says_synthetic:
                    print(_line(result))
    if not json:
        _show(found.summary)
    raise typer.Exit(found.summary.exit_code)


def _counted(results: Iterable[FileResult], count: Callable[[], None]) -> Iterator[FileResult]:
    for result in results:
        yield result
        count()


def _line(result: FileResult) -> str:
    """``synthetic  p 1e-30  out/images/a.png  flow, run 12ab34; metadata: png_text, xmp``."""
    p_value = "" if result.p_value is None else f"p {result.p_value:.1e}"
    told = [result.error] if result.error else []
    if result.payload:
        told.append(f"{result.payload['generator']}, run {result.payload['run']:06x}")
    if result.tags.carriers:
        says = "says synthetic" if result.says_synthetic else "does not say synthetic"
        told.append(f"metadata ({', '.join(result.tags.carriers)}) {says}")
    return f"{result.verdict:<10} {p_value:<9} {result.path}  {'; '.join([*told, *result.notes])}".rstrip()


def _show(summary: Summary) -> None:
    figures = summary.to_dict()
    rows = [
        ("marked as synthetic", summary.synthetic),
        ("metadata says synthetic, marked or not", summary.synthetic_by_metadata),
        ("no mark found", summary.not_found),
        ("undecided: too small or flat to carry a mark", summary.undecided),
        ("not checked", summary.error),
        ("... of which no images", summary.not_images),
    ]
    print_table(f"{summary.files} files, {summary.search} search, keys {', '.join(summary.keys)}", ("", "files"), rows)
    if summary.hidden:
        print(f"passed over: {summary.hidden} hidden files or folders")
    print(f"false alarms to be expected at a rate of {summary.fpr:g}: {figures['expected_false_alarms']:.1g}")


@key.command()
def new(path: Annotated[Path, typer.Argument(metavar="FILE", help="New file, readable by you alone.")]) -> None:
    """Write a new private key. Keep it: without it nobody can find the marks that it makes.

    \b
    Examples:
      synthderm watermark key new lab.key
      SYNTHDERM_WATERMARK_KEY=lab.key synthderm watermark check out/
    """  # noqa: D301
    from synthderm.provenance.watermark import Key

    made = Key.random()
    made.save(path)
    print(f"wrote {path}: key {made.id}; set SYNTHDERM_WATERMARK_KEY={path} to use it")
