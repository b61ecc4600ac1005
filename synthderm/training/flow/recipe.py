"""The recipe of the flow that ships: simulated images, a fitted front end, a base, and its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from synthderm.core import InputError
from synthderm.models.flow import STYLES, ConditionEncoder, LappedKLT, SkinFlowPipeline, Velocity
from synthderm.models.pipelines import quiet

from .images import FlowImages, to_input
from .simulate import load_shards, shard_path, simulated_images
from .trainer import FlowTrainer, FlowTraining

FIT_ON = 4000
"""Images that the front end is fitted on."""

SHIFT = 1.5
"""Time shift of the sampler's noise levels (Esser et al. 2024, eq. 23): of 1, 1.25, 1.5, 2, 3 and 4 the one
with the least Frechet distance at eight steps (``python eval/flow.py shifts``)."""

SHARD_SIZE = "15MB"
"""Largest file of weights: hosts and clones of repositories take small files better."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class FlowRecipe:
    """What a base is made of.

    Attributes:
        shards: files of 256 simulated images.
        data_seed: of the simulated images.
        size: px per side.
        num_components: numbers per token of the front end.
        width: of the transformer, a multiple of 64.
        num_layers: blocks with two streams.
        num_single_layers: blocks with one stream.
        training: the loop.
    """

    shards: int = 160
    data_seed: int = 77
    size: int = 128
    num_components: int = 96
    width: int = 256
    num_layers: int = 2
    num_single_layers: int = 6
    training: FlowTraining = field(default_factory=FlowTraining)


def train_flow(
    recipe: FlowRecipe,
    output: Path,
    *,
    device: str = "cpu",
    compile: bool = False,
    workers: int = 1,
    seconds: float = float("inf"),
    report: Report = print,
) -> Path | None:
    """Train a base, or go on where an earlier call stopped.

    ``output`` holds ``images/`` (shards), ``state/`` (weights, running average, optimiser) and, once it is finished,
    ``flow/``: the pipeline.

    Args:
        recipe: what.
        output: folder.
        device: where the network is trained; the images are kept there too.
        compile: compile the network first.
        workers: processes that simulate.
        seconds: stop after so long, with everything saved.
        report: told what is going on.

    Returns:
        The folder of the pipeline; None if time was up before the last step.

    Raises:
        InputError: if the folder holds another recipe.
        SynthdermError: if the loss is no longer a number.
    """
    start = time.monotonic()
    claim(output, asdict(recipe))
    images = output / "images"
    for there in simulated_images(images, recipe.shards, seed=recipe.data_seed, size=recipe.size, workers=workers):
        report(f"{there} of {recipe.shards} shards of simulated images")
        if time.monotonic() - start > seconds:
            return None
    data = load_shards([shard_path(images, n) for n in range(recipe.shards)])
    front_end, encoder = _fitted(recipe, data, output / "parts")
    torch.manual_seed(recipe.training.seed)
    network = Velocity.fresh(encoder, front_end, recipe.width, recipe.num_layers, recipe.num_single_layers)
    trainer = FlowTrainer(network, front_end, recipe.training, device, compile)
    data = data.to(device)
    if trainer.resume(output / "state"):
        report(f"goes on after step {trainer.step}")
    left = seconds - (time.monotonic() - start)
    done = trainer.train(lambda step: data, output / "state", seconds=left, report=lambda row: report(str(row)))
    return save_pipeline(trainer.average, front_end, output / "flow") if done else None


def read_layers(text: str) -> tuple[int, int]:
    """Blocks with two streams and with one, from "2+6".

    Raises:
        InputError: for anything else.
    """
    try:
        two, one = (int(part) for part in text.split("+"))
    except ValueError:
        two, one = -1, -1
    if min(two, one) < 0 or two + one < 1:
        raise InputError(f"layers must be two numbers such as 2+6, but got {text!r}")
    return two, one


def save_pipeline(network: Velocity, front_end: LappedKLT, folder: Path) -> Path:
    """Write a flow as a diffusers folder: bfloat16 transformer, everything else float32."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    with quiet():
        transformer = network.transformer.to("cpu", torch.bfloat16)
    parts = (front_end.to("cpu"), network.condition_encoder.to("cpu"))
    for part in parts:
        part.register_to_config(_name_or_path="")  # else the folder of this machine that it was read from
    pipeline = SkinFlowPipeline(transformer, *parts, FlowMatchEulerDiscreteScheduler(shift=SHIFT))
    pipeline.save_pretrained(str(folder), max_shard_size=SHARD_SIZE)
    return folder


def claim(output: Path, record: dict[str, Any]) -> None:
    """Write down what a folder is for, or find that it is for the same.

    Raises:
        InputError: if it is for something else.
    """
    path, told = output / "recipe.json", json.loads(json.dumps(record))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in told if found.get(key) != told[key]]
        if other:
            raise InputError(
                f"{output} holds the training of another recipe ({', '.join(other)} differ); choose another --output"
            )
        return
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _fitted(recipe: FlowRecipe, data: FlowImages, folder: Path) -> tuple[LappedKLT, ConditionEncoder]:
    """Front end and condition encoder, fitted to the data once."""
    if not (folder / "condition_encoder").is_dir():
        batches = (data.select(torch.arange(i, min(i + 128, len(data)))) for i in range(0, min(FIT_ON, len(data)), 128))
        inputs = (to_input(batch.images, batch.masks) for batch in batches)
        front_end = LappedKLT.fit(
            inputs, size=recipe.size, num_components=recipe.num_components, mask_weight=0.35, power=0.5
        )
        torch.manual_seed(recipe.training.seed)
        encoder = ConditionEncoder(knots=data.knots())
        keep_skin_colours(encoder, data)
        front_end.save_pretrained(str(folder / "front_end"))
        encoder.save_pretrained(str(folder / "condition_encoder"))
    return (
        LappedKLT.from_pretrained(str(folder / "front_end")),
        ConditionEncoder.from_pretrained(str(folder / "condition_encoder")),
    )


def keep_skin_colours(encoder: ConditionEncoder, data: FlowImages) -> None:
    """Give an encoder the skin colours of its training images whose ITA can be measured (b* of 4.5 or more)."""
    for number, style in enumerate(STYLES):
        labs = data.skin_lab[data.style == number]
        labs = labs[labs[:, 2] >= 4.5]
        if len(labs) > 1:
            encoder.keep_colours(style, labs)
