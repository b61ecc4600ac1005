"""How a result is written: every number with its interval and n, beside the protocol, the sets and the versions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthderm.core import InputError
from synthderm.data import write_atomic
from synthderm.provenance import environment

SCHEMA_VERSION = 1
KINDS = ("quality", "audit", "gain")

LEAST_GROUP = 30
"""Fewer images than this in a cell, and its figures are printed as "insufficient"."""


def figure(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """One number as results hold it.

    Args:
        value: the number; None or not finite: there is not enough data, and the figure says "insufficient".
        low: lower end of its 95 % interval, None if it has none.
        high: upper end.
        n: how many images it rests on.
        **extra: further JSON values.
    """
    if value is None or not math.isfinite(value):
        return {"value": None, "interval": None, "n": n, "note": "insufficient", **extra}
    ends = [low, high]
    known = all(end is not None and math.isfinite(end) for end in ends)
    return {"value": float(value), "interval": [float(end) for end in ends] if known else None, "n": n, **extra}


def write_result(
    folder: str | Path,
    kind: str,
    figures: Mapping[str, Any],
    *,
    protocol: str,
    context: Mapping[str, Any],
    pictures: Mapping[str, str] | None = None,
) -> Path:
    """Write ``FOLDER/KIND.json``, whole or not at all.

    Args:
        folder: made if it does not exist.
        kind: one of :data:`KINDS`.
        figures: what was measured; numbers that are not finite become null.
        protocol: what was done, in words.
        context: sets, extractor, options, seeds; the versions are added as "environment".
        pictures: name -> file, relative to the folder.

    Raises:
        InputError: for an unknown kind or a folder that cannot be written.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}")
    path = Path(folder) / f"{kind}.json"
    record = {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol,
        "context": {**context, "environment": environment()},
        "figures": figures,
        "pictures": dict(pictures or {}),
    }
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (text + "\n").encode())
    return path


def read_result(folder: str | Path, kind: str) -> dict[str, Any] | None:
    """The result of a kind in a folder, or None if there is none.

    Raises:
        InputError: if the file is not what :func:`write_result` writes.
    """
    path = Path(folder) / f"{kind}.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != kind or "figures" not in record:
        raise InputError(f"{path} is no result of synthderm evaluate {kind}")
    if record.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path} has the schema version {record.get('schema_version')}, expected {SCHEMA_VERSION}; "
            f"run synthderm evaluate {kind} again"
        )
    return record


def _finite(value: Any) -> Any:
    """JSON values: numbers of numpy and torch as Python's, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
