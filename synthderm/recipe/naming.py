"""The folder that a request goes to when none is named."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from synthderm.core.registry import default_size

from .recipe import WHERE_IT_RUNS, Recipe

_IN_THE_NAME = ("class", "fst", "ita", "num_images", "seed", "size", "modality", "paired", "plan")


def digest(value: Any) -> str:
    """SHA-256, hexadecimal, of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def default_folder(recipe: Recipe, num_images: int) -> Path:
    """A folder of the current one, named after the request: ``synthderm-mel-fst5-n1000-seed0``.

    Flags that the name does not spell out (``set``, ``format``, ...) add four digits of their digest, so that
    two requests never share a default folder.
    """
    flags, standard = recipe.to_flags(), Recipe().to_flags()
    told = (*_IN_THE_NAME, *WHERE_IT_RUNS)
    rest = {name: value for name, value in flags.items() if name not in told and value != standard.get(name)}
    parts = ["synthderm", recipe.plan.stem if recipe.plan else "-".join(recipe.diagnosis)]
    if recipe.fst:
        parts.append("fst" + "_".join(map(str, recipe.fst)))
    if recipe.ita:
        parts.append("_".join(map(str, recipe.tones)))
    parts += [word for word in ("paired",) if recipe.paired]
    parts += [recipe.modality] if recipe.modality == "clinical" else []
    parts += [f"{recipe.size}px"] if recipe.size not in (None, default_size(recipe.generator)) else []
    parts += [f"vary-{recipe.vary.split('=')[0]}"] if recipe.vary else []
    parts += [f"n{num_images}", f"seed{recipe.seed}"]
    parts += [digest(rest)[:4]] if rest else []
    return Path(re.sub(r"[^\w.-]+", "_", "-".join(part for part in parts if part)))
