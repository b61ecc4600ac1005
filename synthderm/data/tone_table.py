"""How many images a set has of each class and skin type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synthderm.core import DIAGNOSES

from .records import RealSet, Record

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from .planning import Plan

SKIN_TYPES = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class ToneTable:
    """Counts by class and skin type.

    Attributes:
        counts: class code -> number of images of types 1 to 6; all seven classes are there.
        unknown_tone: class code -> number of images whose tone is not known.
        other_labels: label that is none of the seven -> counts of types 1 to 6 and of unknown tone (seven).
        source: what was counted.
        modality: modality of most of the images, or None.
        tone_sources: where the tones come from -> number of images.
    """

    counts: Mapping[str, tuple[int, ...]]
    unknown_tone: Mapping[str, int]
    other_labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = ""
    modality: str | None = None
    tone_sources: Mapping[str, int] = field(default_factory=dict)

    def count(self, diagnosis: str, fst: int) -> int:
        """Images of a class code and a type 1 to 6."""
        return self.counts[diagnosis][fst - 1]

    @property
    def usable(self) -> int:
        """Images in a cell: class among the seven and tone known."""
        return sum(sum(row) for row in self.counts.values())

    @property
    def total(self) -> int:
        """All images."""
        return self.usable + sum(self.unknown_tone.values()) + sum(map(sum, self.other_labels.values()))

    def rows(self) -> list[dict[str, Any]]:
        """One row for each class, then one for each other label.

        Keys: ``label, in_plan, fst_1 .. fst_6, unknown, total``.
        """
        rows = [(code, True, (*row, self.unknown_tone[code])) for code, row in self.counts.items()]
        rows += [(label, False, row) for label, row in self.other_labels.items()]
        names = [*(f"fst_{fst}" for fst in SKIN_TYPES), "unknown"]
        return [
            {"label": label, "in_plan": in_plan, **dict(zip(names, row, strict=True)), "total": sum(row)}
            for label, in_plan, row in rows
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON values: the rows with the totals and where the tones come from."""
        return {
            "source": self.source,
            "total": self.total,
            "usable": self.usable,
            "modality": self.modality,
            "tone_sources": dict(self.tone_sources),
            "rows": self.rows(),
        }


def _most_common(values: Iterable[str | None]) -> str | None:
    counts = _count(values)
    counts.pop(None, None)
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _count(values: Iterable[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def tone_table(records: RealSet | Iterable[Record], source: str | None = None) -> ToneTable:
    """Count records by class and skin type.

    Args:
        records: their ``fst`` is what counts.
        source: what was counted; the path of a :class:`RealSet` by default.
    """
    path = str(records.tree.path) if isinstance(records, RealSet) else ""
    counts = {code: [0] * 7 for code in DIAGNOSES}
    others: dict[str, list[int]] = {}
    records = list(records)
    for record in records:
        row = counts[record.diagnosis] if record.diagnosis else others.setdefault(record.label, [0] * 7)
        row[6 if record.fst is None else record.fst - 1] += 1
    return ToneTable(
        counts={code: tuple(row[:6]) for code, row in counts.items()},
        unknown_tone={code: row[6] for code, row in counts.items()},
        other_labels={label: tuple(others[label]) for label in sorted(others)},
        source=path if source is None else source,
        modality=_most_common(record.modality for record in records),
        tone_sources=_count(record.tone_source for record in records),
    )


_ROMAN = ("I", "II", "III", "IV", "V", "VI")
_SHOWN_OTHERS = 12


def _folded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with all but the most frequent labels that are no class put together."""
    classes = [row for row in rows if row["in_plan"]]
    others = sorted((row for row in rows if not row["in_plan"]), key=lambda row: -row["total"])
    shown, rest = others[:_SHOWN_OTHERS], others[_SHOWN_OTHERS:]
    if rest:
        numbers = {name: sum(row[name] for row in rest) for name in rest[0] if name not in ("label", "in_plan")}
        shown.append({"label": f"{len(rest)} more labels", "in_plan": False, **numbers})
    return classes + shown


def format_table(table: ToneTable, plan: Plan | None = None) -> RichTable:
    """The table for a terminal; with a plan, each cell also shows what is added ("12 +300")."""
    from rich.markup import escape
    from rich.table import Table as RichTable

    def cells(numbers: list[int], added: list[int]) -> list[str]:
        return [f"{n:,} [bold]+{more:,}[/bold]" if more else f"{n:,}" for n, more in zip(numbers, added, strict=True)]

    title = f"Images by class and skin type: {escape(table.source)}" if table.source else None
    shown = RichTable("class", title=title)
    for name in (*_ROMAN, "unknown", "total"):
        shown.add_column(name, justify="right")
    sums, all_added = [0] * 8, [0] * 8
    for row in _folded(table.rows()):
        numbers = [*(row[f"fst_{t}"] for t in SKIN_TYPES), row["unknown"], row["total"]]
        planned = [plan.count(row["label"], t) if plan and row["in_plan"] else 0 for t in SKIN_TYPES]
        added = [*planned, 0, sum(planned)]
        name = escape(row["label"]) + ("" if row["in_plan"] else " (no class)")
        shown.add_row(name, *cells(numbers, added), style=None if row["in_plan"] else "dim")
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        all_added = [a + b for a, b in zip(all_added, added, strict=True)]
    shown.add_section()
    shown.add_row("total", *cells(sums, all_added))
    return shown
