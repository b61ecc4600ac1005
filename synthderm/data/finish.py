"""The last step of a run: everything in the output folder that describes the set as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synthderm.provenance import dataset_card, environment
from synthderm.provenance.licences import licence_files

from .contact_sheet import contact_sheet
from .files import clean_work, write_atomic
from .manifest import folder_lock, merged_rows, write_rows
from .page import index_html
from .writers import encode_png


def _described(
    root: Path,
    rows: Sequence[Mapping[str, Any]],
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Sequence[str],
    attribution: Sequence[str],
) -> dict[str, bytes]:
    """Every file of :func:`finish_folder` beside the manifest, by name."""
    made_with = environment()
    told = {
        "recipe": recipe,
        "summary": summary,
        "licences": licences,
        "attribution": attribution,
        "environment": made_with,
    }
    texts = {
        **licence_files(licences, attribution),
        "recipe.resolved.yaml": yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True),
        "environment.json": json.dumps(made_with, indent=1) + "\n",
        "README.md": dataset_card(rows, **told),
        "index.html": index_html(rows, root, **told),
    }
    sheets = {
        name: encode_png(np.asarray(contact_sheet(rows, root, outlines=outlines)))
        for name, outlines in (("contact_sheet.png", False), ("contact_sheet_masks.png", True))
        if rows and (not outlines or "mask_file_name" in rows[0])
    }
    return {**{name: text.encode() for name, text in texts.items()}, **sheets}


def finish_folder(
    root: str | Path,
    rows: Iterable[Mapping[str, Any]] = (),
    *,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Sequence[str],
    attribution: Sequence[str],
) -> Sequence[Mapping[str, Any]]:
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
        The rows of the manifest; the columns that no figure needs are read from the disk when asked for, so that
        the memory for a row stays small.

    Raises:
        InputError: if a file cannot be written.
    """
    root = Path(root)
    with folder_lock(root):
        table = merged_rows(root, rows)
        write_rows(root, table)
        for name, data in _described(root, table, recipe, summary, licences, attribution).items():
            write_atomic(root / name, data, root=root)
        clean_work(root)
    return table
