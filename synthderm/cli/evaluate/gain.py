"""``synthderm evaluate gain``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..output import Json, print_json, print_table, progress_bar

_NOT_SHOWN = ("accuracy", "normalised_accuracy_range", "normalised_dice_range")
_ARMS = "real,real+replay,real+synthetic,synthetic,real+heavy-aug"


def gain(
    real_train: Annotated[Path, typer.Option(metavar="DIR", help="Real images to train on: folder or zip file.")],
    real_test: Annotated[Path, typer.Option(metavar="DIR", help="Real images to score on; may be the same folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the result and of finished runs.")],
    synthetic: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Synthetic images; needed by the arms that draw them.")
    ] = None,
    train_split: Annotated[str | None, typer.Option(help="Split of --real-train that is used.")] = None,
    test_split: Annotated[str | None, typer.Option(help="Split of --real-test that is used.")] = None,
    task: Annotated[str, typer.Option(help="classification or segmentation (of the lesion).")] = "classification",
    arms: Annotated[str, typer.Option(metavar="NAME,...", help="What is compared.")] = _ARMS,
    ratios: Annotated[str, typer.Option(metavar="R,...", help="Added images for each real training image.")] = "1",
    n_real: Annotated[
        str | None, typer.Option(metavar="N,...", help="Real images that an arm may see; all by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions, at least 5.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the experiment.")] = 0,
    classifier: Annotated[
        str, typer.Option(help="small, timm:NAME, transformers:FOLDER or module:attr; small or module:attr for masks.")
    ] = "small",
    label_by: Annotated[
        str, typer.Option(help="diagnosis, label (as found) or a column that holds the label.")
    ] = "diagnosis",
    size: Annotated[int | None, typer.Option(help="Pixels per side; 64 by default, 96 for masks.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of every arm; 1000, 600 for masks.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step; 64, 16 for masks.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate; 0.003 by default.")] = None,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 where the processor has it.")] = "fp32",
    validation: Annotated[float, typer.Option(help="Share of the real images kept for choosing a checkpoint.")] = 0.2,
    score: Annotated[
        str | None, typer.Option(help="What is judged: balanced_accuracy (the default) or macro_auroc; dice.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2000,
    workers: Annotated[int, typer.Option(help="Processes, one thread each; 0 is none but this one.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Allow fewer than five seeds.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove the runs of another experiment.")] = False,
    reuse: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Output of an earlier gain on the same real sets: take over its runs without synthetic images.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure what synthetic images do for a classifier that is scored on real ones.

    The same network is trained on real images alone, with as many repeated real ones added (replay), with synthetic
    ones, on synthetic ones alone, and with stronger augmentation, for the same number of steps. A difference is called
    a gain only against replay. The same command, run again, continues what was stopped.

    \b
    Examples:
      synthderm evaluate gain --real-train train/ --synthetic out/ --real-test test/ -o gain
      synthderm evaluate gain --real-train pack.zip --train-split train --real-test pack.zip --test-split val
          --synthetic out/ --ratios 0.5,1,1.75,4 --n-real 250,500,1000,2500 --workers 8 -o gain
      synthderm evaluate gain --task segmentation --real-train train/ --synthetic out/ --real-test test/ -o masks
    """  # noqa: D301
    from synthderm.evaluation.gain import GainConfig
    from synthderm.evaluation.gain import gain as run

    config = GainConfig(
        task=task,
        classifier=classifier,
        size=size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        label_by=label_by,
        arms=tuple(part.strip() for part in arms.split(",")),
        ratios=_numbers("ratios", ratios, float),
        n_real=_numbers("n-real", n_real or "", int),
        validation=validation,
        seeds=seeds,
        seed=seed,
        resamples=resamples,
        score=score,
        force=force,
    )
    with progress_bar("runs") as progress:
        result = run(
            real_train,
            synthetic,
            real_test,
            output,
            config,
            train_split=train_split,
            test_split=test_split,
            workers=workers,
            overwrite=overwrite,
            reuse=reuse,
            progress=progress,
            log=None if sys.stderr.isatty() else _log,
        )
    if json:
        print_json(result)
    else:
        show(result)
        print(f"\nwrote {output / 'gain.json'}")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _numbers(option: str, text: str, kind: Callable[[str], Any]) -> tuple[Any, ...]:
    from synthderm.core import InputError

    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"--{option} expects numbers with commas between them, got {text!r}") from None


def show(result: Mapping[str, Any]) -> None:
    """Print the tables of a result: arms, differences, verdicts."""
    figures, options = result["figures"], result["context"]["options"]
    for name, about in result["context"]["sets"].items():
        for label, n in about.get("other_labels", {}).items():
            print(f"note: left out {n} images of {name} with the label {label!r}, which is none of the classes")
    names = [name for name in figures["arms"][0]["scores"] if name not in _NOT_SHOWN]
    rows = [
        (row["n_real"], row["arm"], row["n_train"], row["n_added"], row["n_seeds"])
        + tuple(_figure(row["scores"][name]) for name in names)
        for row in figures["arms"]
    ]
    columns = ("real images", "arm", "drawn", "added", "seeds", *(name.replace("_", " ") for name in names))
    tested = result["context"]["sets"]["real-test"]
    print_table(f"Scores on {tested['n']} real test images ({tested['groups']} lesions or patients)", columns, rows)
    rows = [
        (row["n_real"], row["arm"], row["against"], row["score"].replace("_", " "), _figure(row["difference"], True))
        + (row["verdict"],)
        for row in figures["differences"]
        if row["fst"] is None and row["score"] != "ece"
    ]
    columns = ("real images", "arm", "less", "score", "difference", "verdict")
    print_table(f"Differences ({options['level']:.0%} intervals, paired over lesions and repetitions)", columns, rows)
    for curve in figures["curves"]["dose"]:
        if curve["saturation"] is not None and curve["score"] == options["score"]:
            at, best = curve["saturation"], curve["best"]
            print(f"{curve['n_real']} real images: a dose of {at:g}:1 is not shown to differ from the best, {best:g}:1")


def _figure(figure: Mapping[str, Any], signed: bool = False) -> str:
    """Value and interval, such as 0.812 (0.790 to 0.831)."""
    if figure["value"] is None:
        return f"{figure.get('note', '-')} (n {figure['n']})"
    sign = "+" if signed else ""
    value = f"{figure['value']:{sign}.3f}"
    ends = figure["interval"]
    return value if ends is None else f"{value} ({ends[0]:{sign}.3f} to {ends[1]:{sign}.3f})"
