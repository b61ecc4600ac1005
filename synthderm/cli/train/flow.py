"""``synthderm train flow``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

UNFINISHED = 1


def flow(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of images, state and result.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR|ZIP", help="Real images: train an adapter on them instead of a base."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Flow that the adapter is for; the shipped one by default.")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Sets of the data that are used; all by default.")
    ] = None,
    licences: Annotated[
        str | None, typer.Option(metavar="SPDX,...", help="Licences that images may have; all by default.")
    ] = None,
    modality: Annotated[str, typer.Option(help="dermoscopy or clinical images of the data.")] = "dermoscopy",
    attribution: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Line that must travel with the images; repeatable.")
    ] = None,
    rank: Annotated[int, typer.Option("-r", "--rank", min=1, help="Of the adapter's updates.")] = 32,
    tones: Annotated[int, typer.Option(min=0, help="Versions of each real image on other skin tones.")] = 2,
    shards: Annotated[int, typer.Option(min=1, help="Files of 256 simulated images for a base.")] = 160,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; 6000 for a base, 1000 for an adapter.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per update.")] = 64,
    learning_rate: Annotated[float, typer.Option("--lr", help="In the units of AdamW.")] = 1e-3,
    width: Annotated[int, typer.Option(help="Of the transformer, a multiple of 64.")] = 256,
    layers: Annotated[str, typer.Option(metavar="N+M", help="Blocks with two streams and with one.")] = "2+6",
    precision: Annotated[str, typer.Option(help="bf16 or fp32.")] = "bf16",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network first: slow start, faster steps.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; the same command goes on.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
) -> None:
    """Train the compact flow: a base on simulated images, or an adapter on real ones.

    The same command, run again, goes on where it stopped.

    \b
    Examples:
      synthderm train flow -o my_flow --shards 160 --steps 6000 --workers 2
      synthderm train flow -o my_flow --width 384 --layers 3+6 --device cuda --minutes 9.5
      synthderm train flow -o open --data train_128.zip --datasets isic2017 --base my_flow/flow
      synthderm generate --generator flow --base my_flow/flow --adapter open --class mel --fst 5 -n 16
    """  # noqa: D301 - \b keeps the lines of the examples apart
    from synthderm.training.flow.adapt import AdapterRecipe, train_adapter
    from synthderm.training.flow.recipe import FlowRecipe, read_layers, train_flow
    from synthderm.training.flow.trainer import FlowTraining

    loop = {"batch_size": batch_size, "learning_rate": learning_rate, "precision": precision, "seed": seed}
    seconds = float("inf") if minutes is None else 60 * minutes
    common = {"device": device, "compile": compile, "seconds": seconds, "report": _tell}
    if data is None:
        two, one = read_layers(layers)
        training = FlowTraining(steps=steps or 6000, **loop)
        recipe = FlowRecipe(shards, width=width, num_layers=two, num_single_layers=one, training=training)
        found = train_flow(recipe, output, workers=workers, **common)
    else:
        training = FlowTraining(
            steps=steps or 1000, warm_up=30, cool_down=0.4, ema=0.15, muon=False, balance=0.5, **loop
        )
        wanted = AdapterRecipe(
            datasets=_names(datasets),
            licences=_names(licences),
            modality=modality,
            rank=rank,
            tones=tones,
            attribution=tuple(attribution or ()),
            training=training,
        )
        found = train_adapter(wanted, data, base, output, **common)
    if found is None:
        _tell(f"time is up; run the same command again to go on in {output}")
        raise typer.Exit(UNFINISHED)
    print(found)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
