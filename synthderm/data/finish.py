"""The last step of a run: everything in the output folder that describes the set as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from synthderm.provenance.environment import environment

from .files import clean_work, write_atomic
from .manifest import folder_lock, merged_rows, write_rows


def finish_folder(
    root: str | Path,
    rows: Iterable[Mapping[str, Any]] = (),
    *,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Iterable[str],
    attribution: Iterable[str],
) -> list[dict[str, Any]]:
    """Write what describes a finished run: manifest, recipe, environment, licences, card, sheet and page.

    Every shard may call it when it ends: it works under a lock on what all the journals hold by then, so that
    the last shard describes the whole set.

    Args:
        root: the output folder.
        rows: manifest rows beside those in the journals.
        recipe: the resolved recipe, plain values only.
        summary: further figures of the run for the card; the same in every run of the recipe.
        licences: SPDX names of the licences of the images.
        attribution: lines that must travel with the images.

    Returns:
        The rows of the manifest.

    Raises:
        InputError: if a file cannot be written.
    """
    root = Path(root)
    with folder_lock(root):
        table = merged_rows(root, rows)
        write_rows(root, table)

        def put(name: str, text: str) -> None:
            write_atomic(root / name, text.encode(), root=root)

        put("recipe.resolved.yaml", yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))
        put("environment.json", json.dumps(environment(), indent=1) + "\n")
        clean_work(root)
    return table
