"""What a finished set holds, counted and measured from its manifest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthderm.core import DIAGNOSES, TONE_BANDS, find_diagnosis, ita_to_fst, tone_band

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ToneFigures:
    """Requested against measured tone of the images of one requested type.

    Attributes:
        fst: the requested type, 1 to 6.
        n: images requested of it.
        inside: of these, images whose measured ITA lies in the band of the type.
        measured: images by measured type, a count for each of 1 to 6; the last entry counts those whose
            skin has no ITA.
        ita_mean_deg, ita_sd_deg: of the measured ITA, degrees; None without a measurement.
        ita_error_deg: mean absolute difference of measured and requested ITA, degrees; None without both.
    """

    fst: int
    n: int
    inside: int
    measured: tuple[int, ...]
    ita_mean_deg: float | None
    ita_sd_deg: float | None
    ita_error_deg: float | None


@dataclass(frozen=True)
class SetFigures:
    """The figures of a set, as the dataset card, the page and the summary print them.

    Attributes:
        n: images.
        classes: code -> images, in the order of :data:`synthderm.core.DIAGNOSES`.
        tones: one entry for each requested type, light to dark.
        redrawn: images that took more than one attempt.
        draws: attempts in all.
        sizes: "WxH" -> images.
        values: column -> its distinct values (as text), for generator, version and image type.
    """

    n: int
    classes: dict[str, int]
    tones: tuple[ToneFigures, ...]
    redrawn: int
    draws: int
    sizes: dict[str, int]
    values: dict[str, tuple[str, ...]]

    @property
    def inside_share(self) -> float | None:
        """Share of images whose measured tone lies in the requested band; None if no tone was requested."""
        n = sum(tone.n for tone in self.tones)
        return sum(tone.inside for tone in self.tones) / n if n else None


def diagnosis_of(row: Row) -> str:
    """The class code of a row; its text as it stands if no class has that name, "" if it has none."""
    text = str(row.get("dx") or row.get("diagnosis") or "")
    return find_diagnosis(text) or text


def requested_fst(row: Row) -> int | None:
    """The requested type of a row: ``fst_requested``, else the band of ``ita_requested_deg``."""
    if row.get("fst_requested") is not None:
        return int(row["fst_requested"])
    ita = row.get("ita_requested_deg")
    return None if ita is None else ita_to_fst(ita)


def measured_ita(row: Row) -> float | None:
    """The measured ITA of a row, degrees; None if its skin has none."""
    ita = row.get("ita_deg")
    return None if ita is None or not math.isfinite(ita) else float(ita)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def tone_figures(fst: int, rows: Sequence[Row]) -> ToneFigures:
    """Figures of the rows that were requested as type ``fst``."""
    measured = [ita for row in rows if (ita := measured_ita(row)) is not None]
    types = Counter(ita_to_fst(ita) for ita in measured)
    errors = [
        abs(ita - row["ita_requested_deg"])
        for row in rows
        if (ita := measured_ita(row)) is not None and row.get("ita_requested_deg") is not None
    ]
    mean = _mean(measured)
    return ToneFigures(
        fst=fst,
        n=len(rows),
        inside=sum(ita in tone_band(fst) for ita in measured),
        measured=(*(types[band.fst] for band in TONE_BANDS), len(rows) - len(measured)),
        ita_mean_deg=mean,
        ita_sd_deg=math.sqrt(_mean([(ita - mean) ** 2 for ita in measured])) if measured else None,
        ita_error_deg=_mean(errors),
    )


def set_figures(rows: Iterable[Row]) -> SetFigures:
    """Count and measure a set from its manifest rows; images without a class or tone count in ``n`` only."""
    rows = list(rows)
    classes = Counter(diagnosis_of(row) for row in rows)
    by_tone: dict[int, list[Row]] = {}
    for row in rows:
        if (fst := requested_fst(row)) is not None:
            by_tone.setdefault(fst, []).append(row)
    attempts = [int(row.get("attempts") or 1) for row in rows]
    order = [*DIAGNOSES, *sorted(set(classes) - set(DIAGNOSES) - {""})]
    return SetFigures(
        n=len(rows),
        classes={code: classes[code] for code in order if classes[code]},
        tones=tuple(tone_figures(fst, by_tone[fst]) for fst in sorted(by_tone)),
        redrawn=sum(n > 1 for n in attempts),
        draws=sum(attempts),
        sizes=dict(Counter(f"{row['width']}x{row['height']}" for row in rows if row.get("width"))),
        values={
            name: tuple(dict.fromkeys(str(row[name]) for row in rows if row.get(name) not in (None, "")))
            for name in ("generator", "generator_version", "image_type")
        },
    )
