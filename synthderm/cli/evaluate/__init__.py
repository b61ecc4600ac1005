"""``synthderm evaluate``: its commands only parse and call."""

from __future__ import annotations

import typer

from .audit import audit
from .gain import gain
from .quality import quality
from .report import report

evaluate = typer.Typer(
    name="evaluate",
    help="Judge a set of synthetic images: quality, honesty (audit), what it does for a classifier (gain), report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

evaluate.command()(quality)
evaluate.command()(audit)
evaluate.command()(gain)
evaluate.command()(report)
