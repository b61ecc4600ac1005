"""``synthderm train``: its commands only parse and call."""

from __future__ import annotations

import typer

from .flow import flow
from .lora import lora

train = typer.Typer(
    name="train",
    help="Tune a generator on own images (lora), or train the compact one from nothing (flow).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

train.command()(lora)
train.command()(flow)
