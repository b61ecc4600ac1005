"""``synthderm train``: its commands only parse and call."""

from __future__ import annotations

import typer

from .lora import lora

train = typer.Typer(
    name="train",
    help="Tune a generator on own images (lora).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

train.command()(lora)
