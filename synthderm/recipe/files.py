"""Recipe files: YAML, the user's own or those that ship with the library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from synthderm.core import InputError
from synthderm.core.checks import unknown
from synthderm.core.resources import shipped_folder

from .recipe import Recipe, known_flags, merged


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every recipe that ships with the library."""
    return {path.stem: path for path in sorted(shipped_folder("recipes").glob("*.yaml"))}


def find_recipe(name: str | Path) -> Path:
    """The file of a path or a shipped recipe's name.

    Raises:
        InputError: if there is none, with near matches.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(name) in shipped:
        return shipped[str(name)]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise InputError(f"{path}: no such recipe file; `synthderm recipes ls` lists those that ship")
    raise unknown("recipe", str(name), shipped)


def read_flags(path: Path) -> dict[str, Any]:
    """Field names and values of a recipe file; a plan beside it may be named relative to it.

    Raises:
        InputError: if it is not a YAML mapping, or has a key that is no flag (with near matches).
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a YAML mapping such as 'class: melanoma', but got {content!r:.60}")
    flags = known_flags(content, str(path))
    if isinstance(flags.get("plan"), str) and (path.parent / flags["plan"]).is_file():
        flags["plan"] = path.parent / flags["plan"]
    return flags


def load_recipe(name: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe from a file (or a shipped name), with ``flags`` on top.

    Raises:
        InputError: for an unknown file, key or value; the message names the file.
    """
    over = known_flags(flags or {}, "the flags")
    if name is None:
        return Recipe(**over)
    path = find_recipe(name)
    base = read_flags(path)
    try:
        Recipe(**base)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Recipe(**merged(base, over))


def describe(path: Path) -> str:
    """The first line of a recipe's header comment."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()
