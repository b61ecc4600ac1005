"""``synthderm export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json


class Form(StrEnum):
    """What a folder can be exported as."""

    coco = "coco"
    isic = "isic"
    webdataset = "webdataset"


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of synthderm generate.")],
    to: Annotated[Form, typer.Option("--to", help="The form.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file inside DIR (coco) or a folder beside it.")
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per file of a webdataset.")] = 1000,
    json: Json = False,
) -> None:
    """Write a finished folder in the form that other programs read.

    \b
    Examples:
      synthderm export out --to coco
      synthderm export out --to isic -o out-isic
      synthderm export out --to webdataset -o out-shards --shard-size 1000
    """  # noqa: D301
    from synthderm import data

    target = output or Path(f"{folder.resolve()}-{to}")
    if to is Form.coco:
        written = [data.to_coco(folder, output)]
    elif to is Form.isic:
        written = [data.to_isic(folder, target)]
    else:
        written = data.to_webdataset(folder, target, shard_size=shard_size)
    if json:
        print_json({"form": to.value, "written": [str(path) for path in written]})
    else:
        print("\n".join(map(str, written)))
