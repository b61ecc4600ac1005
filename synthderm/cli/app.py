"""The program ``synthderm``: its commands, and how its errors look."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import synthderm

from .evaluate import evaluate
from .export import export
from .generate import generate
from .info import info
from .plan import plan
from .recipes import recipes
from .train import train
from .watermark import watermark

INTERRUPTED = 130
FAILED = 2

app = typer.Typer(
    name="synthderm",
    help="Synthetic dermatology images with exact masks and measured skin tone. For research; not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(plan)
app.add_typer(recipes)
app.command()(info)
app.command()(export)
app.add_typer(evaluate)
app.add_typer(train)
app.add_typer(watermark)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"synthderm {synthderm.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: runs a command, and turns every error that a user can cause into one line.

    Exit status: 0 all made, 1 some images could not be made, 2 an error, 130 interrupted.
    """
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:  # the option parser has caught the Ctrl-C
            raise KeyboardInterrupt
    except BaseException as error:
        if os.environ.get("SYNTHDERM_TRACEBACK"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        line, status = describe(error)
        if line is None:
            raise
        print(f"synthderm: {line}", file=sys.stderr)
    sys.exit(status or 0)


def describe(error: BaseException) -> tuple[str | None, int]:
    """One line and an exit status for an error that a user can cause; (None, 2) for a fault of the program."""
    from synthderm.core.checks import SynthdermError

    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted; run the same command again to continue", INTERRUPTED
    if hasattr(error, "format_message"):  # what the option parser raises
        return f"error: {_one_line(error.format_message())} (see --help)", FAILED
    if isinstance(error, SynthdermError):
        return f"error: {_one_line(str(error))}", FAILED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"error: {where}{error.strerror or _one_line(str(error))}", FAILED
    return None, FAILED


def _one_line(text: str) -> str:
    return " ".join(text.split())
