"""The plan that fills what a real set lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from synthderm.core import DIAGNOSES, InputError, parse_diagnoses, parse_fst
from synthderm.core.checks import unknown

from .tone_table import SKIN_TYPES, ToneTable

Target = Literal["balanced", "tone", "class"]
TARGETS: tuple[Target, ...] = get_args(Target)
MAX_PLAN_IMAGES = 10_000_000
"""The largest plan that is made; a larger number is taken for a slip."""

Cell = tuple[str, int]


@dataclass(frozen=True)
class PlanCell:
    """So many images of one class and one skin type."""

    diagnosis: str
    fst: int
    count: int


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        cells: in the order of classes and types; only cells that lack something.
        target: "balanced", "tone", "class" or "per_cell".
        real: class code -> real images of types 1 to 6, for the classes and all types.
        source: the set that was counted.
        modality: modality of most of its images, or None: what ``--modality`` should be.
        not_counted: images that are in no cell, by reason.
    """

    cells: tuple[PlanCell, ...]
    target: str
    real: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = ""
    modality: str | None = None
    not_counted: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Images in all."""
        return sum(cell.count for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """JSON values, with the names of the plan file."""
        return {
            "target": self.target,
            "total": self.total,
            "source": self.source,
            "modality": self.modality,
            "not_counted": dict(self.not_counted),
            "real": {code: list(counts) for code, counts in self.real.items()},
            "cells": [{"class": c.diagnosis, "fst": c.fst, "n": c.count} for c in self.cells],
        }

    def count(self, diagnosis: str, fst: int) -> int:
        """Images planned for one cell."""
        return sum(c.count for c in self.cells if (c.diagnosis, c.fst) == (diagnosis, fst))


def water_fill(counts: Sequence[int], budget: int) -> list[int]:
    """What to add to each count so that the emptiest are raised first, up to a common level.

    Args:
        counts: numbers >= 0.
        budget: how much is added in all, >= 0; with no counts it must be 0.

    Returns:
        Additions >= 0 that sum to ``budget``. Every count that gets something ends at a level L or L + 1; the
        odd ones that get one more are the emptiest, and among equals the first.
    """
    order = sorted(range(len(counts)), key=lambda i: (counts[i], i))
    added = [0] * len(counts)
    left = budget
    level = counts[order[0]] if order else 0
    for filled, following in enumerate(order[1:] + [None], start=1):
        room = left if following is None else (counts[following] - level) * filled
        step, odd = divmod(min(left, room), filled)
        level += step
        left -= step * filled + odd
        if left == 0:
            for rank, i in enumerate(order[:filled]):
                added[i] = level - counts[i] + (rank < odd)
            break
    return added


def share_out(weights: Sequence[int], budget: int) -> list[int]:
    """``budget`` divided in proportion to ``weights`` (equally if all are 0), by largest remainders."""
    weights = list(weights) if sum(weights) else [1] * len(weights)
    total = sum(weights)
    shares = [budget * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(budget * weights[i] % total), i))
    for i in by_remainder[: budget - sum(shares)]:
        shares[i] += 1
    return shares


def make_plan(
    table: ToneTable,
    target: str = "balanced",
    *,
    budget: int | None = None,
    per_cell: int | None = None,
    ratio: float = 1.0,
    classes: str | Sequence[str] | None = None,
    fst: str | int | Sequence[int] | None = None,
) -> Plan:
    """The images that a real set lacks. Exact and deterministic: the cells sum to the budget.

    Args:
        table: what is there.
        target: "balanced": the budget goes to the emptiest cells of class x type first, up to a common level.
            "tone": the same within each class; a class's share of the budget is its share of the real images.
            "class": the budget goes to the emptiest classes first; within a class, evenly to all types.
        budget: images to make; by default ``ratio`` times the real images in the cells of the plan.
        per_cell: instead of a budget: every cell up to so many images; ``target`` does not matter then.
        ratio: synthetic images for each real one, > 0.
        classes: classes of the plan, all by default; any spelling.
        fst: types of the plan, all by default: 5, [5, 6], "4-6".

    Raises:
        InputError: for an unknown target, class or type, a number out of range, ``budget`` with ``per_cell``,
            or no budget where no real image is in a cell.
    """
    codes, types = _chosen(classes, fst)
    if target not in TARGETS:
        raise unknown("target", str(target), TARGETS)
    if per_cell is not None:
        if budget is not None:
            raise InputError("give budget or per_cell, not both")
        _check_number("per_cell", per_cell)
        added = {(c, t): max(0, per_cell - table.count(c, t)) for c in codes for t in types}
        target = "per_cell"
    else:
        added = _fill(table, target, _budget(table, codes, types, budget, ratio), codes, types)
    if sum(added.values()) > MAX_PLAN_IMAGES:
        raise InputError(f"the plan holds {sum(added.values()):,} images; at most {MAX_PLAN_IMAGES:,} are planned")
    return Plan(
        cells=tuple(PlanCell(code, t, n) for (code, t), n in added.items() if n > 0),
        target=target,
        real={code: tuple(table.counts[code]) for code in codes},
        source=table.source,
        modality=table.modality,
        not_counted=_not_counted(table, codes, types),
    )


def _chosen(
    classes: str | Sequence[str] | None, fst: str | int | Sequence[int] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Codes and types of the plan, each in its usual order and once."""
    codes = parse_diagnoses(classes if isinstance(classes, str) else list(classes or ["all"]))
    types = parse_fst("all" if fst is None else fst if isinstance(fst, (str, int)) else list(fst))
    if not codes or not types:
        raise InputError("a plan needs at least one class and one type")
    return tuple(c for c in DIAGNOSES if c in codes), tuple(t for t in SKIN_TYPES if t in types)


def _check_number(name: str, value: int) -> None:
    if isinstance(value, bool) or value != int(value) or not 1 <= value <= MAX_PLAN_IMAGES:
        raise InputError(f"{name} must be a whole number from 1 to {MAX_PLAN_IMAGES:,}, but got {value!r}")


def _budget(table: ToneTable, codes: Sequence[str], types: Sequence[int], budget: int | None, ratio: float) -> int:
    if budget is not None:
        _check_number("budget", budget)
        return int(budget)
    if not 0 < ratio <= 1000:
        raise InputError(f"ratio must be more than 0 and at most 1000, but got {ratio!r}")
    usable = sum(table.count(code, t) for code in codes for t in types)
    if usable == 0:
        raise InputError(
            f"none of the {table.total} real images has one of these classes and a known tone among these "
            "types, so there is nothing to take a ratio of; give a budget (or a number per cell)"
        )
    return max(1, round(usable * ratio))


def _fill(table: ToneTable, target: str, budget: int, codes: Sequence[str], types: Sequence[int]) -> dict[Cell, int]:
    """Additions for every cell, in the order of classes and types."""
    cells = [(code, t) for code in codes for t in types]
    if target == "balanced":
        return dict(zip(cells, water_fill([table.count(*cell) for cell in cells], budget), strict=True))
    per_class = [[table.count(code, t) for t in types] for code in codes]
    sums = [sum(counts) for counts in per_class]
    if target == "tone":
        rows = [water_fill(counts, n) for counts, n in zip(per_class, share_out(sums, budget), strict=True)]
    else:
        rows = [_evenly(counts, n) for counts, n in zip(per_class, water_fill(sums, budget), strict=True)]
    return dict(zip(cells, (n for row in rows for n in row), strict=True))


def _evenly(counts: Sequence[int], budget: int) -> list[int]:
    """``budget`` in equal parts; what does not divide goes to the emptiest."""
    order = sorted(range(len(counts)), key=lambda i: (counts[i], i))
    share, odd = divmod(budget, len(counts))
    return [share + (order.index(i) < odd) for i in range(len(counts))]


def _not_counted(table: ToneTable, codes: Sequence[str], types: Sequence[int]) -> dict[str, int]:
    reasons = {
        "tone unknown": sum(table.unknown_tone[code] for code in codes),
        "class or type left out of the plan": table.usable
        - sum(table.count(code, t) for code in codes for t in types)
        + sum(n for code, n in table.unknown_tone.items() if code not in codes),
        "label is none of the seven classes": sum(map(sum, table.other_labels.values())),
    }
    return {reason: n for reason, n in reasons.items() if n}
