"""Splits that no lesion and no patient crosses."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields

from synthderm.core import InputError
from synthderm.core.checks import unknown

from .records import Record

DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
_COLUMNS = tuple(field.name for field in fields(Record))

Stratum = str | Callable[[Record], object] | None


def split_by_group(
    records: Iterable[Record],
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    stratify: Stratum = "diagnosis",
) -> dict[str, list[Record]]:
    """Split records so that all images of a lesion or patient land on one side.

    Groups go, the largest first and in an order drawn from the seed, to the part that lacks most images of
    the group's stratum (its most common one) and, among equals, most images at all. A part is thus off its
    share of a stratum by no more than about the size of a group. The result depends on the set of records and
    the seed alone, not on the order of the records.

    Args:
        records: their ``group_key`` is what must not cross.
        fractions: name of each part -> its share; positive numbers that sum to 1.
        seed: another seed, another split.
        stratify: a field of :class:`Record`, a function of a record, or None.

    Returns:
        The records of each part, in their given order; every record is in exactly one part.

    Raises:
        InputError: for fractions that do not sum to 1 or are not positive, or an unknown field.
    """
    _check_fractions(fractions)
    records = list(records)
    stratum_of = _stratum_function(stratify)
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for record in records:
        groups[record.group_key][str(stratum_of(record))] += 1
    side = _assign(groups, fractions, seed)
    parts: dict[str, list[Record]] = {name: [] for name in fractions}
    for record in records:
        parts[side[record.group_key]].append(record)
    return parts


def _check_fractions(fractions: Mapping[str, float]) -> None:
    if not fractions or min(fractions.values()) <= 0 or not math.isclose(sum(fractions.values()), 1.0):
        raise InputError(f"fractions must be positive numbers that sum to 1, but got {dict(fractions)}")


def _stratum_function(stratify: Stratum) -> Callable[[Record], object]:
    if stratify is None:
        return lambda record: None
    if callable(stratify):
        return stratify
    if stratify not in _COLUMNS:
        raise unknown("field to stratify by", stratify, _COLUMNS)
    return lambda record: getattr(record, stratify)


def _assign(
    groups: Mapping[tuple[str, str], Counter[str]], fractions: Mapping[str, float], seed: int
) -> dict[tuple[str, str], str]:
    """The part of every group."""
    stratum = {key: min(counts, key=lambda name: (-counts[name], name)) for key, counts in groups.items()}
    size = {key: counts.total() for key, counts in groups.items()}
    lacking: dict[str, dict[str, float]] = {part: defaultdict(float) for part in fractions}
    for part, fraction in fractions.items():
        for key, name in stratum.items():
            lacking[part][name] += fraction * size[key]
    overall = {part: sum(lacks.values()) for part, lacks in lacking.items()}
    order = {key: hashlib.sha256(repr((seed, key)).encode()).digest() for key in groups}
    side = {}
    for key in sorted(groups, key=lambda key: (-size[key], order[key])):
        name = stratum[key]
        part = max(fractions, key=lambda part: (lacking[part][name], overall[part]))
        lacking[part][name] -= size[key]
        overall[part] -= size[key]
        side[key] = part
    return side
