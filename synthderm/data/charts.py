"""Tables and charts of the page, as HTML and SVG text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from synthderm.core import TONE_BANDS
from synthderm.provenance.card import TONE_HEAD, class_names, tone_cells
from synthderm.provenance.figures import SetFigures, measured_ita

Row = Mapping[str, Any]

_SKIN = ("#f3d9c8", "#e9c3a5", "#d9a67f", "#bd8459", "#8a5a3b", "#4d3022")  # for legends only
_MAX_POINTS = 1500


def _panel(title: str, body: str, wide: bool = False) -> str:
    return f'<section class="panel{" wide" if wide else ""}"><h2>{title}</h2>{body}</section>'


def _class_panel(figures: SetFigures) -> str:
    names, most = class_names(figures), max(figures.classes.values(), default=1)
    return "".join(
        f'<div class="bar"><span>{escape(names[code])}</span>'
        f'<span><i style="width:{100 * count / most:.1f}%"></i></span><span>{count}</span></div>'
        for code, count in figures.classes.items()
    )


def _swatch(fst: int) -> str:
    return f'<span class="swatch" style="background:{_SKIN[fst - 1]}"></span>'


def _tone_panel(figures: SetFigures) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in TONE_HEAD)
    lines = ""
    for tone in figures.tones:
        cells = "".join(f"<td>{cell}</td>" for cell in tone_cells(tone))
        lines += f"<tr>{cells.replace('<td>', '<td>' + _swatch(tone.fst), 1)}</tr>"
    return (
        f"<table><tr>{head}</tr>{lines}</table>"
        f"<p>Inside the requested band: <b>{100 * (figures.inside_share or 0):.1f} %</b> of {figures.n} "
        f"images. Redrawn because a draw was turned down: {figures.redrawn} ({figures.draws} draws in all).</p>"
        "<p class='quiet'>ITA is the individual typology angle, measured on the healthy skin of every "
        "image. The type is a band of it, a proxy: a Fitzpatrick type is found by asking a person.</p>"
    )


def _confusion_panel(figures: SetFigures) -> str:
    head = "".join(f"<th>{band.fst}</th>" for band in TONE_BANDS)
    lines = ""
    for tone in figures.tones:
        cells = ""
        for fst, count in enumerate(tone.measured, start=1):
            style = "" if not count else ' class="hit"' if fst == tone.fst else ' class="miss"'
            cells += f"<td{style}>{count or ''}</td>"
        lines += f"<tr><td>{_swatch(tone.fst)}{tone.fst}</td>{cells}</tr>"
    return (
        '<table><tr><th></th><th colspan="7" style="text-align:center">measured type</th></tr>'
        f"<tr><th>requested</th>{head}<th>none</th></tr>{lines}</table>"
    )


def _scatter(rows: Iterable[Row]) -> str:
    """Requested (across) against measured ITA (up), degrees, with the bands as squares; "" without points."""
    points = [
        (row["ita_requested_deg"], ita)
        for row in rows
        if row.get("ita_requested_deg") is not None and (ita := measured_ita(row)) is not None
    ]
    if not points:
        return ""
    points = points[:: max(1, len(points) // _MAX_POINTS)]
    low, high, size, edge = -80.0, 75.0, 360, 34

    def x(deg: float) -> float:
        return round(edge + (min(max(deg, low), high) - low) / (high - low) * size, 1)

    def y(deg: float) -> float:
        return round(edge / 2 + size - (x(deg) - edge), 1)

    bands = "".join(
        f'<rect class="band" x="{x(band.low_deg)}" y="{y(band.high_deg)}" '
        f'width="{x(band.high_deg) - x(band.low_deg):.1f}" '
        f'height="{y(band.low_deg) - y(band.high_deg):.1f}"/>'
        for band in TONE_BANDS
    )
    ticks = "".join(
        f'<line class="axis" x1="{x(t)}" x2="{x(t)}" y1="{y(low)}" y2="{y(high)}"/>'
        f'<line class="axis" x1="{x(low)}" x2="{x(high)}" y1="{y(t)}" y2="{y(t)}"/>'
        f'<text x="{x(t)}" y="{y(low) + 13}" text-anchor="middle">{t}</text>'
        f'<text x="{edge - 5}" y="{y(t) + 3}" text-anchor="end">{t}</text>'
        for t in (-60, -30, 0, 30, 60)
    )
    dots = "".join(f'<circle cx="{x(a)}" cy="{y(b)}" r="2.2"/>' for a, b in points)
    return (
        f'<svg viewBox="0 0 {edge + size + 8} {size + edge + 14}" role="img" '
        f'aria-label="requested against measured ITA">{bands}{ticks}{dots}'
        f'<text x="{edge + size / 2}" y="{size + edge + 10}" text-anchor="middle">'
        "across: requested ITA, degrees; up: measured; squares: the bands</text></svg>"
    )


def panels(figures: SetFigures, rows: Sequence[Row]) -> str:
    """The panels of a page: classes, requested against measured tone, as HTML."""
    found = [_panel("Classes", _class_panel(figures))] if figures.classes else []
    if figures.tones:
        found += [_panel("Images by type", _confusion_panel(figures))]
        found += [_panel("Requested against measured tone", _tone_panel(figures), wide=True)]
        if scatter := _scatter(rows):
            found.insert(2, _panel("Requested against measured ITA", scatter))
    return "\n".join(found)
