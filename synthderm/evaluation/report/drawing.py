"""Turns a matplotlib figure into SVG text that follows the colours and the font of the page around it."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from .text import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, LINE, CARD = "#18181b", "#6b7280", "#e4e4e7", "#fffffe"
REAL, REPLAY, MIXED, ONLY, HEAVY, OTHER = "#3f3f46", "#c2410c", "#0072b2", "#9d4edd", "#00795a", "#8a6d00"
"""Colours of the arms, told apart also by people who see no red or no green (after Okabe & Ito 2008)."""

VARIABLES = {
    INK: "--ink",
    QUIET: "--quiet",
    LINE: "--line",
    CARD: "--card",
    REAL: "--real",
    REPLAY: "--replay",
    MIXED: "--mixed",
    ONLY: "--only",
    HEAVY: "--heavy",
    OTHER: "--other",
}
"""Colour in a figure -> variable of the page's style, so that one drawing serves light and dark."""

WIDTH = 340
"""Width of a drawing, px: that of a phone's screen less the margins."""

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "synthderm",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "path.simplify": False,
}


def draw(paint: Callable[[Axes], None], alt: str, *, width: int = WIDTH, height: int = 230) -> str:
    """Runs ``paint`` on empty axes and returns the drawing as an ``<svg>`` element.

    Args:
        paint: draws into the axes it is given, with the colours of this module.
        alt: what the drawing shows, for people who do not see it.
        width: px.
        height: px.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser has the letter
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        paint(figure.subplots())
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return _inline(buffer.getvalue(), alt)


def _inline(svg: str, alt: str) -> str:
    """Only the ``<svg>`` element: no metadata, no rules that reach beyond it, no identifier that another one has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="(0 0 (\S+) \S+)"', svg)
    if box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    head = f'<svg viewBox="{box[1]}" style="--width:{box[2]}px" role="img" aria-label="{escape(alt, quote=True)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    svg = _identifiers(svg)
    svg = re.sub(r'style="[^"]*"', lambda m: _style(m[0]), svg)
    return re.sub(r"\s*\n\s*", " ", svg).strip()


def _style(text: str) -> str:
    text = re.sub(r"font-family:[^;\"]*;?|stroke-linejoin: miter;?", "", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    return text


def _identifiers(svg: str) -> str:
    """Keeps the identifiers that are pointed at, with the drawing's own digest before them."""
    used = set(re.findall(r'(?:href="#|url\(#)([\w.]+)', svg))
    digest = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r' id="([\w.]+)"', lambda m: f' id="s{digest}{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'xlink:href="#', f'href="#s{digest}', svg)
    return re.sub(r"url\(#", f"url(#s{digest}", svg)


def label(name: Any, most: int = 24) -> str:
    """A name to draw: one line, shortened, without the straight quotes that could end an attribute."""
    return shortened(plain(name), most).replace('"', "\N{RIGHT DOUBLE QUOTATION MARK}")


def tidy(axes: Axes, *, grid: str = "both", x: str = "", y: str = "") -> None:
    """Axis labels, and grid lines along one axis only."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(False)
    axes.grid(True, axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=3)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """A legend over the axes from the left edge of the drawing, so that it never lies on the data."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside upper left", ncols=columns, borderaxespad=0.2, columnspacing=1.4)
