"""What a run reports: how many images, how fast, and the tone that was asked for beside the one measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from synthderm.core import tone_band


@dataclass(frozen=True)
class ToneRow:
    """Images of one requested type.

    Attributes:
        fst: the type that was asked for, or the type of the angle that was.
        low_deg, high_deg: its band.
        images: how many.
        inside: how many measure inside the band.
        mean_deg: mean measured ITA, degrees; None where no image shows measurable skin.
        error_deg: mean of |measured - requested| ITA, degrees; None where no angle is known.
    """

    fst: int
    low_deg: float
    high_deg: float
    images: int
    inside: int
    mean_deg: float | None
    error_deg: float | None


@dataclass(frozen=True)
class RunSummary:
    """Figures of one run and of the folder that it wrote to.

    Attributes:
        output: the folder.
        recipe_id: eight digits that identify the recipe; part of every image id.
        requested: images of the whole recipe.
        in_shard: images of this run's shard.
        made: images that this run made.
        present: images in the folder at its end.
        classes: images in the folder by class code.
        given_up: the last rejection of every image that no attempt got right.
        rejected: redraws by reason, over the folder.
        tone: requested against measured, by type.
        workers: processes; 0 is the calling one.
        seconds: wall time of making the images, start of the processes included.
        licence: of the images, as the generator states it.
        notes: what of the request was not followed, or should be known.
    """

    output: Path
    recipe_id: str
    requested: int
    in_shard: int
    made: int
    present: int
    classes: dict[str, int]
    given_up: list[dict[str, Any]]
    rejected: dict[str, int]
    tone: list[ToneRow]
    workers: int
    seconds: float
    licence: str = ""
    notes: tuple[str, ...] = ()

    @property
    def images_per_second(self) -> float | None:
        """Images of this run by its wall time; None if it made none."""
        return round(self.made / self.seconds, 2) if self.made and self.seconds else None

    @property
    def complete(self) -> bool:
        """Whether every image of the whole recipe is in the folder."""
        return self.present == self.requested

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            **asdict(self),
            "output": str(self.output),
            "seconds": round(self.seconds, 2),
            "images_per_second": self.images_per_second,
            "complete": self.complete,
        }


def tone_rows(rows: Iterable[Mapping[str, Any]]) -> list[ToneRow]:
    """Requested against measured tone of manifest rows, by requested type."""
    groups: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["fst_requested"]].append(row)
    return [_tone_row(fst, groups[fst]) for fst in sorted(groups)]


def _tone_row(fst: int, rows: list[Mapping[str, Any]]) -> ToneRow:
    band = tone_band(fst)
    told = [row for row in rows if row["ita_deg"] is not None]  # without gates an image may show no skin
    measured = [row["ita_deg"] for row in told]
    errors = [
        abs(row["ita_deg"] - row["ita_requested_deg"]) for row in told if row.get("ita_requested_deg") is not None
    ]
    return ToneRow(
        fst=fst,
        low_deg=band.low_deg,
        high_deg=band.high_deg,
        images=len(rows),
        inside=sum(ita in band for ita in measured),
        mean_deg=round(fmean(measured), 2) if measured else None,
        error_deg=round(fmean(errors), 2) if errors else None,
    )
