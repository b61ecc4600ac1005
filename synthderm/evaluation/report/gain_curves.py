"""Curves of the training experiment: score over dose and over real images, ROC, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .arms import Arm, arm_of
from .differences import headline_scores, level_text
from .drawing import VARIABLES
from .layout import panel, row, rows
from .names import score_name, short_class_name
from .plots import Series, curves, square
from .predictions import Predictions, calibration, read_predictions, roc
from .read import Result, mappings
from .text import finite, number, safe, value_of

_DOSED = ("real+synthetic", "real+replay", "real+replay-matched")
_STYLES = {"real": "-", "real+synthetic": "-", "real+replay": (0, (5, 2)), "synthetic": (0, (1, 1.4))}
_GRID = 101


@dataclass(frozen=True)
class _Point:
    n_real: Any
    arm: Arm
    scores: dict[str, Any]


def _points(result: Result) -> list[_Point]:
    return [
        _Point(line.get("n_real"), arm_of(line), dict(line.get("scores") or {}))
        for line in result.rows("arms")
    ]  # fmt: skip


def curve_panels(result: Result) -> list[str]:
    """Score over dose at each number of real images, and over real images at a dose near one to one."""
    points, scores = _points(result), headline_scores(result)[:2]
    note = f"Bands: {level_text(result)} interval of the score itself, not of a difference."
    sizes = sorted({point.n_real for point in points if finite(point.n_real) is not None}) or [None]
    dose = rows([_dose(result, [p for p in points if p.n_real == n], score, n) for n in sizes] for score in scores)
    size = row(_size(points, score) for score in scores) if len(sizes) > 1 else ""
    typical = typical_arms(point.arm for point in points)
    dosed = legend((arm for arm in typical if arm.kind in _DOSED), dosed=False) if any(dose) else ""
    return [
        panel("How much synthetic data?", dosed, *dose, note=f"At 0 there are real images only. {note}", wide=True)
        if any(dose)
        else "",
        panel("How much real data?", legend(typical), size, note=note, wide=True) if size else "",
    ]


def _dose(result: Result, points: Sequence[_Point], score: str, n_real: Any) -> str:
    """Score over the dose of synthetic and of repeated real images, from the same start."""
    base = [(0.0, point.scores.get(score)) for point in points if point.arm.kind == "real"]
    series = []
    for kind in _DOSED:
        dosed = [(p.arm.ratio, p.scores.get(score)) for p in points if p.arm.kind == kind and p.arm.ratio is not None]
        if dosed:
            series.append(_series(Arm(kind, None), base + dosed, Arm(kind, None).kind_name))
    ticks = {x: f"{x:g}" for x in sorted({x for one in series for x in one.xs})}
    if len(ticks) < 2:
        return ""
    sized = f", {number(n_real)} real images" if finite(n_real) is not None else ""
    return curves(
        series,
        f"{score_name(score)} over the dose{sized}",
        x=f"added images for each real one{sized}",
        y=score_name(score),
        ticks=ticks,
        mark=_saturation(result, score, n_real),
    )


def _series(arm: Arm, points: Sequence[tuple[float, Any]], name: str) -> Series:
    points = sorted(points, key=lambda point: point[0])
    hollow = arm.kind == "real+replay-matched"
    xs, figures = [x for x, _ in points], [figure for _, figure in points]
    return Series(name, figures, arm.colour, arm.marker, xs, hollow)


def _saturation(result: Result, score: str, n_real: Any) -> tuple[float, str] | None:
    """The least dose from which on no more is shown, as the result says; None where that is the largest."""
    for curve in mappings(result.figures("curves").get("dose")):
        if curve.get("score", score) == score and curve.get("n_real", n_real) == n_real:
            at = value_of(curve.get("saturation"))
            doses = [finite(point.get("ratio")) or 0.0 for point in mappings(curve.get("points"))]
            if at is not None and at < max(doses, default=0.0):
                return at, f"levels off at {at:g}:1"
    return None


def _size(points: Sequence[_Point], score: str) -> str:
    """Score over the number of real images, for one dose of each kind of arm."""
    series = []
    for arm in typical_arms(point.arm for point in points):
        here = [(float(p.n_real), p.scores.get(score)) for p in points if p.arm == arm and finite(p.n_real) is not None]
        if any(value_of(figure) is not None for _, figure in here):
            series.append(_series(arm, here, arm.short))
    ticks = {x: number(int(x)) for x in sorted({x for one in series for x in one.xs})}
    x = "real training images (doubling scale)"
    return curves(series, f"{score_name(score)} over real images", x=x, y=score_name(score), log=True, ticks=ticks)


def typical_arms(arms: Iterable[Arm]) -> list[Arm]:
    """One arm of each kind, at the dose that is nearest to one to one."""
    best: dict[str, Arm] = {}
    for arm in sorted(set(arms), key=lambda arm: (abs(math.log(arm.ratio)) if arm.ratio else 0.0, arm.rank)):
        best.setdefault(arm.kind, arm)
    return sorted(best.values(), key=lambda arm: arm.rank)


def prediction_panels(result: Result) -> list[str]:
    """ROC curves by class and calibration, from the predictions of the runs with the most real images."""
    found = read_predictions(result)
    if not found:
        return []
    most = max((finite(one.n_real) or 0 for one in found), default=0)
    found = [one for one in found if (finite(one.n_real) or 0) == most]
    arms = typical_arms(one.arm for one in found if one.arm.kind != "real+heavy-aug")
    chosen = sorted((one for one in found if one.arm in arms), key=lambda one: one.arm.rank)
    sized = f"{number(int(most))} real training images" if most else "all arms"
    seeds = f"{sized}, mean over {len(chosen[0].preds)} seeds" if len(chosen[0].preds) > 1 else f"{sized}, one seed"
    return [
        panel(f"ROC by class ({seeds})", legend(arms), row(_roc_drawings(chosen), narrow=True), wide=True,
              note="Each class against all others. Bands: the range over seeds. Dotted: chance."),
        panel(f"Calibration ({sized})", legend(arms), row(_calibration_drawings(chosen), narrow=True), wide=True,
              note="Test images of all seeds in ten bins of the probability of the class that is named. On the dotted "
              "line a probability is right as often as it says."),
    ]  # fmt: skip


def legend(arms: Iterable[Arm], *, dosed: bool = True) -> str:
    """Colours and markers with the names of arms, as HTML; without doses where a drawing shows several."""
    keys = "".join(
        f'<span><i style="color:var({VARIABLES[arm.colour]})" aria-hidden="true">{arm.sign}</i>'
        f"{safe(arm.name if dosed else arm.kind_name)}</span>"
        for arm in arms
    )
    return f'<p class="keys">{keys}</p>'


def _roc_drawings(chosen: Sequence[Predictions]) -> list[str]:
    import numpy as np

    grid, drawings = np.linspace(0, 1, _GRID), []
    for place, name in enumerate(chosen[0].classes):
        labels = chosen[0].labels == place
        if not 0 < labels.sum() < len(labels):
            continue
        each = [(one.arm, np.stack([roc(labels, preds[:, place], grid) for preds in one.preds])) for one in chosen]
        drawings.append(
            square(
                [(arm.name, grid, ys.mean(0), arm.colour, _STYLES.get(arm.kind, "-")) for arm, ys in each],
                f"ROC curves of {short_class_name(name)}",
                x="false-positive rate",
                y="true-positive rate",
                title=f"{short_class_name(name)} (n {int(labels.sum()):,})",
                bands=[(grid, ys.min(0), ys.max(0), arm.colour) for arm, ys in each if len(ys) > 1],
            )
        )
    return drawings


def _calibration_drawings(chosen: Sequence[Predictions]) -> list[str]:
    import numpy as np

    drawings = []
    for one in chosen:
        preds = np.concatenate(one.preds)
        confidence, right, count = calibration(np.tile(one.labels, len(one.preds)), preds)
        kept = count > 0
        points = (one.arm.name, confidence[kept], right[kept], one.arm.colour, one.arm.marker)
        alt = f"calibration of {one.arm.name}"
        x, y = "probability of the named class", "share that is right"
        drawings.append(square([points], alt, x=x, y=y, title=one.arm.name, markers=True))
    return drawings
