"""Plans as YAML files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from synthderm.core import InputError, parse_diagnosis, tone_band
from synthderm.core.checks import unknown

from .files import make_folder, write_error
from .planning import MAX_PLAN_IMAGES, Plan, PlanCell

VERSION = 1
_KEYS = ("plan_version", "target", "total", "source", "modality", "real", "not_counted", "cells")
_CELL_KEYS = ("class", "fst", "n")
_HEADER = """\
# What {source} lacks: {total:,} images by class and skin type ({target}).
# Make exactly these:  synthderm generate --plan {name}
# A cell may be changed, added or taken out by hand; total must stay the sum of the cells' n.
"""


def plan_to_yaml(plan: Plan, name: str = "plan.yaml") -> str:
    """The text of a plan file called ``name``."""
    head = {"plan_version": VERSION, **plan.to_json()}
    del head["real"], head["cells"]  # written below, one line for each class and cell
    source = " ".join(plan.source.split()) or "the real set"
    lines = [_HEADER.format(source=source, total=plan.total, target=plan.target, name=name)]
    lines.append(yaml.safe_dump(head, sort_keys=False, allow_unicode=True))
    lines.append("real:  # images of types 1 to 6\n" if plan.real else "real: {}\n")
    lines += [f"  {code}: [{', '.join(map(str, counts))}]\n" for code, counts in plan.real.items()]
    lines.append("cells:\n" if plan.cells else "cells: []\n")
    lines += [f"  - {{class: {c.diagnosis}, fst: {c.fst}, n: {c.count}}}\n" for c in plan.cells]
    return "".join(lines)


def write_plan(plan: Plan, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a plan file: whole or not at all.

    Raises:
        InputError: if the file is there already and ``overwrite`` is False, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file, such as {path / 'plan.yaml'}")
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{path} is there already; choose another name, or overwrite it on purpose")
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(plan_to_yaml(plan, path.name), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise write_error(path, error) from error
    return path


def read_plan(path: str | Path) -> Plan:
    """Read and check a plan file.

    Raises:
        InputError: naming the file, for anything that is not a plan: unreadable, no YAML, an unknown key or
            class (with near matches), a type or number out of range, a cell named twice, a total that is not
            the sum of the cells.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the plan {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the plan {path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return _parse(content)
    except InputError as error:
        raise InputError(f"the plan {path}: {error}") from error


def _parse(content: Any) -> Plan:
    if not isinstance(content, Mapping):
        raise InputError(f"expected keys such as 'cells:', but got {type(content).__name__}")
    for key in content:
        if key not in _KEYS:
            raise unknown("key", str(key), _KEYS)
    if content.get("plan_version", VERSION) != VERSION:
        raise InputError(f"plan_version must be {VERSION}, but got {content['plan_version']!r}")
    rows = content.get("cells")
    if not isinstance(rows, list):
        raise InputError("cells must be a list such as [{class: mel, fst: 5, n: 100}]")
    cells = tuple(_parse_cell(row, number) for number, row in enumerate(rows, 1))
    names = [(cell.diagnosis, cell.fst) for cell in cells]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            raise InputError(f"cell {number} names class {name[0]}, fst {name[1]} a second time")
    total = sum(cell.count for cell in cells)
    if "total" in content and content["total"] != total:
        raise InputError(f"total is {content['total']!r}, but the cells sum to {total}; correct one of the two")
    if total > MAX_PLAN_IMAGES:
        raise InputError(f"holds {total:,} images; at most {MAX_PLAN_IMAGES:,} are made from one plan")
    return Plan(
        cells=cells,
        target=str(content.get("target", "by hand")),
        real=_parse_real(content.get("real") or {}),
        source=str(content.get("source") or ""),
        modality=_parse_modality(content.get("modality")),
        not_counted=_parse_counts(content.get("not_counted") or {}),
    )


def _whole(name: str, value: Any, low: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_PLAN_IMAGES:
        raise InputError(f"{name} must be a whole number from {low} to {MAX_PLAN_IMAGES:,}, but got {value!r}")
    return value


def _parse_cell(row: Any, number: int) -> PlanCell:
    if not isinstance(row, Mapping):
        raise InputError(f"cell {number} must be like {{class: mel, fst: 5, n: 100}}, but got {row!r}")
    for key in row:
        if key not in _CELL_KEYS:
            raise unknown(f"key in cell {number}", str(key), _CELL_KEYS)
    for key in _CELL_KEYS:
        if key not in row:
            raise InputError(f"cell {number} has no {key!r}; expected {', '.join(_CELL_KEYS)}")
    try:
        code = parse_diagnosis(str(row["class"]))
        fst = tone_band(_whole("fst", row["fst"])).fst
    except InputError as error:
        raise InputError(f"cell {number}: {error}") from error
    return PlanCell(code, fst, _whole(f"n of cell {number}", row["n"]))


def _parse_real(real: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(real, Mapping):
        raise InputError("real must hold class: [six counts]")
    parsed = {}
    for name, counts in real.items():
        if not isinstance(counts, list) or len(counts) != 6:
            raise InputError(f"real counts of {name} must be a list of six, but got {counts!r}")
        parsed[parse_diagnosis(str(name))] = tuple(_whole(f"real count of {name}", n) for n in counts)
    return parsed


def _parse_modality(value: Any) -> str | None:
    if value is not None and value not in ("dermoscopy", "clinical"):
        raise unknown("modality", str(value), ("dermoscopy", "clinical"))
    return value


def _parse_counts(counts: Any) -> dict[str, int]:
    if not isinstance(counts, Mapping):
        raise InputError("not_counted must hold reason: number")
    return {str(reason): _whole(f"not_counted of {reason}", n) for reason, n in counts.items()}
