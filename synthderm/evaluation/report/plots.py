"""The kinds of drawings on the page: rows of dots or bars with intervals, curves with bands, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .drawing import INK, LINE, QUIET, draw, label, legend_above, tidy
from .text import finite, interval_of, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _FRAME = 21, 64
_LABEL, _TITLE = 28, 34


@dataclass(frozen=True)
class Series:
    """Figures that share a name, a colour and a marker.

    Attributes:
        name: for the legend.
        figures: one figure for each row of a drawing or each x of a curve.
        colour: one of those of :mod:`.drawing`.
        marker: as matplotlib names it; another shape for each series, so that colour is never alone.
        xs: for curves.
        hollow: drawn as an outline, for what a figure is compared with.
    """

    name: str
    figures: Sequence[Any]
    colour: str
    marker: str = "o"
    xs: Sequence[float] = field(default=())
    hollow: bool = False


def dot_rows(
    names: Sequence[str],
    series: Sequence[Series],
    alt: str,
    *,
    x: str,
    title: str = "",
    line: float | None = None,
    limits: tuple[float, float] | None = None,
    bars: bool = False,
    looks: Sequence[tuple[str, str]] | None = None,
) -> str:
    """One row for each name, one dot (or bar) with its interval for each series; "" without any value.

    Args:
        names: labels of the rows, top to bottom.
        series: what is compared; a row without a value stays empty.
        alt: what the drawing shows.
        x: label of the axis, with its unit.
        title: over the drawing.
        line: a value to compare with: no difference, chance.
        limits: of the axis; by default what the values and intervals need.
        bars: for shares, which begin at zero.
        looks: a (colour, marker) for each row instead of one for each series.
    """
    if not any(value_of(figure) is not None for one in series for figure in one.figures):
        return ""
    step = 0.8 / len(series)
    rows = max(len(names), 1) * (1 if len(series) == 1 else 0.62 * len(series) + 0.35)

    def paint(axes: Axes) -> None:
        if line is not None:
            axes.axvline(line, color=INK, linewidth=1, zorder=1)
        for i, one in enumerate(series):
            at = [row - 0.4 + step * (i + 0.5) for row in range(len(names))]
            _row_marks(axes, one, at, bars, step, looks)
        axes.set_yticks(range(len(names)), [label(name, _LABEL) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        if limits:
            axes.set_xlim(*limits)
        axes.locator_params(axis="x", nbins=5)
        tidy(axes, grid="x", x=x)
        axes.tick_params(axis="y", length=0)
        if title:
            axes.set_title(label(title, _TITLE), loc="left", fontsize=11)
        if len(series) > 1:
            legend_above(axes, columns=2)

    return draw(
        paint,
        alt,
        height=round(
            _FRAME + _ROW * rows + (20 if title else 0) + (22 * -(-len(series) // 2) if len(series) > 1 else 0)
        ),
    )


def _row_marks(
    axes: Axes, one: Series, at: Sequence[float], bars: bool, step: float, looks: Sequence[tuple[str, str]] | None
) -> None:
    named = False
    for i, (figure, y) in enumerate(zip(one.figures, at, strict=False)):
        value, ends = value_of(figure), interval_of(figure)
        if value is None:
            _say_why(axes, figure, y)
            continue
        colour, marker = looks[i] if looks else (one.colour, one.marker)
        name = None if named else one.name
        named = True
        if bars:
            axes.barh(y, value, 0.86 * step, color=colour, alpha=0.35 if one.hollow else 0.85, label=name)
        if ends:
            axes.plot(ends, (y, y), color=INK if bars else colour, linewidth=1.3 if bars else 2, zorder=3)
        if not bars:
            face = "#fffffe" if one.hollow else colour
            style = {"markersize": 6.5, "markeredgewidth": 1.5, "markeredgecolor": colour, "markerfacecolor": face}
            axes.plot([value], [y], marker, label=name, zorder=4, **style)


def _say_why(axes: Axes, figure: Any, y: float) -> None:
    """The note of a figure without a value, where its mark would be."""
    note = figure.get("note") if isinstance(figure, Mapping) else None
    if note:
        place = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
        axes.text(0.02, y, label(note), color=QUIET, fontsize=9, fontstyle="italic", **place)


def curves(
    series: Sequence[Series],
    alt: str,
    *,
    x: str,
    y: str,
    log: bool = False,
    ticks: Mapping[float, str] | None = None,
    mark: tuple[float, str] | None = None,
) -> str:
    """Curves of figures with their intervals as bands; "" without any value.

    Args:
        series: each with ``xs``.
        alt: what the drawing shows.
        x: label of the axis, with its unit.
        y: label of the axis, with its unit.
        log: doubling steps across.
        ticks: position -> text; by default as matplotlib sets them.
        mark: a place across with its name, drawn as a dashed line.
    """
    if not any(value_of(figure) is not None for one in series for figure in one.figures):
        return ""

    def paint(axes: Axes) -> None:
        for one in series:
            _curve(axes, one)
        if mark:
            axes.axvline(mark[0], color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            low, high = axes.get_xlim()
            side = "left" if mark[0] < (low + high) / 2 else "right"
            axes.text(mark[0], 1.015, label(mark[1]), transform=axes.get_xaxis_transform(), ha=side, va="bottom")
        if log:
            axes.set_xscale("log", base=2)
        if ticks:
            axes.set_xticks([*ticks], [*ticks.values()])
            axes.minorticks_off()
        axes.locator_params(axis="y", nbins=6)
        tidy(axes, grid="y", x=x, y=y)
        axes.set_title(" ", fontsize=10)

    return draw(paint, alt, height=240)


def _curve(axes: Axes, one: Series) -> None:
    points = sorted(
        (at, value, interval_of(figure))
        for at, figure in zip(one.xs, one.figures, strict=False)
        if (value := value_of(figure)) is not None
    )
    if not points:
        return
    at, values = [p[0] for p in points], [p[1] for p in points]
    face = "#fffffe" if one.hollow else one.colour
    axes.plot(
        *(at, values),
        **{"color": one.colour, "marker": one.marker, "markersize": 6, "markerfacecolor": face, "label": one.name},
        linestyle=(0, (3, 2)) if one.hollow else "-",
    )
    banded = [(a, *ends) for a, _, ends in points if ends]
    if banded:
        across, low, high = zip(*banded, strict=True)
        axes.fill_between(across, low, high, color=one.colour, alpha=0.14, linewidth=0)
        for a, bottom, top in banded:
            axes.plot((a, a), (bottom, top), color=one.colour, linewidth=1.1, alpha=0.75)


def histogram(
    parts: Sequence[tuple[str, Sequence[float], Sequence[float], str]],
    alt: str,
    *,
    x: str,
    threshold: float | None = None,
    above: bool = False,
) -> str:
    """Distributions over the same axis, each as its share in bins; "" without any count.

    Args:
        parts: (name, edges of the bins, counts, colour) each.
        alt: what the drawing shows.
        x: label of the axis.
        threshold: drawn as a dashed line.
        above: what lies above the threshold is what is looked for; else what lies below.
    """
    parts = [part for part in parts if sum(finite(count) or 0 for count in part[2])]
    if not parts:
        return ""

    def paint(axes: Axes) -> None:
        for i, (name, edges, counts, colour) in enumerate(parts):
            total = sum(finite(count) or 0 for count in counts)
            shares = [100 * (finite(count) or 0) / total for count in counts]
            axes.stairs(shares, edges, color=colour, fill=i == 0, alpha=0.3 if i == 0 else 1, linewidth=1.6, label=name)
            if i == 0:
                axes.stairs(shares, edges, color=colour, linewidth=1.4)
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="threshold")
            low, high = axes.get_xlim()
            ends = (threshold, max(high, threshold)) if above else (min(low, threshold), threshold)
            axes.axvspan(*ends, color=LINE, zorder=0)
            axes.set_xlim(min(low, threshold), max(high, threshold))
        axes.set_ylim(bottom=0)
        tidy(axes, grid="y", x=x, y="share of images, %")
        legend_above(axes)

    return draw(paint, alt, height=250)


def square(
    series: Sequence[tuple[str, Sequence[float], Sequence[float], str, Any]],
    alt: str,
    *,
    x: str,
    y: str,
    title: str = "",
    bands: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float], str]] = (),
    markers: bool = False,
    width: int = 220,
) -> str:
    """Curves inside the unit square with its diagonal: ROC and calibration; "" without any curve.

    Args:
        series: (name, xs, ys, colour, line style or marker) each.
        alt: what the drawing shows.
        x: label of the axis.
        y: label of the axis.
        title: over the square.
        bands: (xs, lows, highs, colour) each.
        markers: draw the points of the curves.
        width: px.
    """
    if not series:
        return ""

    def paint(axes: Axes) -> None:
        axes.plot((0, 1), (0, 1), color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        for xs, low, high, colour in bands:
            axes.fill_between(xs, low, high, color=colour, alpha=0.13, linewidth=0)
        for name, xs, ys, colour, style in series:
            look = {"marker": style, "markersize": 4.5} if markers else {"linestyle": style}
            axes.plot(xs, ys, color=colour, linewidth=1.6, label=name, **look)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=label(title, _TITLE))
        axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
        axes.title.set_fontsize(10.5)
        tidy(axes, x=x, y=y)

    return draw(paint, alt, width=width, height=width + 12)
