"""``synthderm recipes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json, print_table

recipes = typer.Typer(
    name="recipes",
    help="List, show and copy the recipes that ship with the library.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@recipes.command()
def ls(json: Json = False) -> None:
    """List the recipes.

    \b
    Example:
      synthderm recipes ls
    """  # noqa: D301
    from synthderm.recipe import describe, shipped_recipes

    found = {name: describe(path) for name, path in shipped_recipes().items()}
    if json:
        print_json({"recipes": [{"name": name, "description": text} for name, text in found.items()]})
    else:
        print_table("", ("recipe", "what it makes"), found.items())


@recipes.command()
def show(name: Name) -> None:
    """Print a recipe, with the command that runs it and what that costs.

    \b
    Example:
      synthderm recipes show paired_tones
    """  # noqa: D301
    from synthderm.recipe import find_recipe

    print(find_recipe(name).read_text(encoding="utf-8"), end="")


@recipes.command()
def cp(
    name: Name,
    destination: Annotated[Path, typer.Argument(help="A folder or a file name.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a recipe, to change it.

    \b
    Examples:
      synthderm recipes cp paired_tones .
      synthderm generate --recipe paired_tones.yaml
    """  # noqa: D301
    from synthderm.core import InputError
    from synthderm.recipe import find_recipe

    source = find_recipe(name)
    target = destination / source.name if destination.is_dir() else destination
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already; choose another name, or --overwrite it")
    target.write_bytes(source.read_bytes())
    print(target)
