"""``synthderm plan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json, print_rich, progress_bar

_SHOWN = 10


def plan(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Folder or zip file of a real data set.")],
    target: Annotated[str, typer.Option(help="What is evened out: balanced, tone or class.")] = "balanced",
    budget: Annotated[
        int | None, typer.Option("-n", "--num-images", help="Images to plan; by default as many as real ones.")
    ] = None,
    per_cell: Annotated[
        int | None, typer.Option(help="Instead: fill every cell of class x type up to so many images.")
    ] = None,
    ratio: Annotated[float, typer.Option(help="Instead: synthetic images for each real one.")] = 1.0,
    classes: Annotated[
        str | None, typer.Option("--class", metavar="NAME,...", help="Classes of the plan, all by default.")
    ] = None,
    fst: Annotated[str | None, typer.Option(metavar="TYPES", help="Types of the plan, all by default: 5, 4-6.")] = None,
    reader: Annotated[str, typer.Option(help="Layout of the set; found out by default.")] = "auto",
    tone_from: Annotated[
        str, typer.Option(help="Where tones come from: auto, column, ita, stated or pixels.")
    ] = "auto",
    check_images: Annotated[str, typer.Option(help="decode, header or none.")] = "decode",
    output: Annotated[Path, typer.Option("-o", "--output", help="The plan's file.")] = Path("plan.yaml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a plan that is there.")] = False,
    json: Json = False,
) -> None:
    """Count a real data set by class and skin type, and write what it lacks as a plan.

    Reads HAM10000 and ISIC layouts, PAD-UFES-20, Fitzpatrick17k and DDI style tables, plain class folders,
    and folders that this program wrote. Files that cannot be used are listed, the rest is read.

    \b
    Examples:
      synthderm plan HAM10000/ --target balanced
      synthderm plan train.zip --per-cell 500 -o plan.yaml
      synthderm plan PAD-UFES-20/ --target tone --class mel,bcc --fst 5,6 -n 2000
      synthderm generate --plan plan.yaml
    """  # noqa: D301
    from synthderm import data

    with progress_bar("reading") as progress:
        real = data.read_dataset(
            dataset, reader=reader, tone_from=tone_from, check_images=check_images, progress=progress
        )
    table = data.tone_table(real)
    made = data.make_plan(table, target, budget=budget, per_cell=per_cell, ratio=ratio, classes=classes, fst=fst)
    path = data.write_plan(made, output, overwrite=overwrite)
    if json:
        cells = [{"class": cell.diagnosis, "fst": cell.fst, "n": cell.count} for cell in made.cells]
        print_json(
            {"plan": str(path), "total": made.total, "cells": cells, "table": table.to_json()}
            | {"read": real.summary()}
        )
        return
    read = real.summary()
    sources = ", ".join(f"{name} {count:,}" for name, count in read["tone_sources"].items())
    print(f"read {len(real):,} images as {real.reader}: {real.why}", file=sys.stderr)
    print(f"tones come from: {sources}", file=sys.stderr)
    for note in real.notes[:_SHOWN]:
        print(f"note: {note.file}: {note.text}", file=sys.stderr)
    if len(real.notes) > _SHOWN:
        print(f"note: {len(real.notes) - _SHOWN} more; --json lists them all", file=sys.stderr)
    for item in real.left_out[:_SHOWN]:
        print(f"left out: {item.file}: {item.reason}", file=sys.stderr)
    if len(real.left_out) > _SHOWN:
        print(f"left out: {len(real.left_out) - _SHOWN} more; --json lists them all", file=sys.stderr)
    print_rich(data.format_table(table, made))
    print(f"wrote {path}: {made.total:,} images. Make them: synthderm generate --plan {path}")
