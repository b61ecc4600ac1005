"""metrics.jsonl: every figure of a run, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthderm.data import write_atomic

JOURNAL = "metrics.jsonl"


class Journal:
    """Figures that are added line by line; lines after the step of a state that is continued are dropped."""

    def __init__(self, folder: Path, step: int, *, writes: bool = True) -> None:
        self.file, self.writes = folder / JOURNAL, writes
        if writes:
            kept = [row for row in read_journal(self.file) if row["step"] <= step] if step else []
            write_atomic(self.file, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def add(self, **figures: Any) -> None:
        """One line."""
        if self.writes:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")


def read_journal(file: Path) -> list[dict[str, Any]]:
    """The lines of a journal; a last line that a killed process left half-written is not among them."""
    if not file.is_file():
        return []
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
