"""``synthderm train lora``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..evaluate.quality import Steps
from ..output import Json, print_json, print_table


def lora(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder or zip file of images: with a table, or class folders.")
    ],
    base: Annotated[str, typer.Option(help="compact, or the folder (or cached name) of a FLUX, SD 3 or SD pipeline.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the adapter.")],
    start_from: Annotated[
        str | None, typer.Option(metavar="ADAPTER", help="Go on from this adapter (rank and layers are then its own).")
    ] = None,
    rank: Annotated[int, typer.Option("-r", "--rank", help="Of the low-rank matrices.")] = 16,
    alpha: Annotated[
        float | None, typer.Option(help="The update is scaled by alpha / rank; the rank if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; 500 for compact, else 1000.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; 1e-3 for compact, else 1e-4.")] = None,
    lr_schedule: Annotated[str, typer.Option(help="constant or cosine.")] = "constant",
    warmup_steps: Annotated[int, typer.Option(help="Steps over which the learning rate rises.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(help="Images at a time, on each device; 16 for compact, else 4.")
    ] = None,
    gradient_accumulation: Annotated[int, typer.Option(help="Batches per optimiser step.")] = 1,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, slower.")
    ] = False,
    mixed_precision: Annotated[
        str, typer.Option(help="no, bf16, fp16 (GPU only), or auto: bf16 where it is fast.")
    ] = "auto",
    optimizer: Annotated[str, typer.Option(help="adamw, or adamw8bit (bitsandbytes, GPU only).")] = "adamw",
    resolution: Annotated[int | None, typer.Option(help="Side of the images, px; 128 for compact, else 512.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, flip or dihedral; dihedral for compact, else flip.")
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Own captions: the captions.jsonl of a run, edited.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="dermoscopy or clinical, where the data set does not say it.")
    ] = None,
    tones: Annotated[
        int | None, typer.Option(help="Versions of each image on other skin tones; 2 for compact, else 0.")
    ] = None,
    balance: Annotated[
        float, typer.Option(help="Draw rare classes more often; 0: as they are, 1: all classes equally often.")
    ] = 0.5,
    condition_dropout: Annotated[float, typer.Option(help="Share of images shown without condition.")] = 0.1,
    dropout: Annotated[float, typer.Option(help="Inside the adapter.")] = 0.0,
    target_modules: Annotated[
        str | None, typer.Option(help="Comma-separated ends of the names of the tuned layers.")
    ] = None,
    max_sequence_length: Annotated[
        int | None, typer.Option(help="Tokens of a caption for T5, flux and sd3; 128 if not given.")
    ] = None,
    hold_out: Annotated[float, typer.Option(help="Share of images held out, in whole lesions or patients.")] = 0.1,
    validate_every: Annotated[int, typer.Option(help="Steps between validations; 0: none, nothing held out.")] = 100,
    patience: Annotated[
        int, typer.Option(help="Stop after so many validations without a lower held-out loss; 0: never.")
    ] = 0,
    samples: Annotated[int | None, typer.Option(help="Images drawn at a validation; 64 for compact, else 8.")] = None,
    sample_steps: Annotated[int | None, typer.Option(help="Steps of their sampler.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale of their sampler.")] = None,
    ema: Annotated[float, typer.Option(help="Decay of the running average that is kept; 0: none.")] = 0.99,
    save_every: Annotated[int, typer.Option(help="Steps between saved states.")] = 100,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist that there is a run to continue (else one is begun).")
    ] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Do not use a GPU.")] = False,
    json: Json = False,
) -> None:
    """Tune a generator on own images: a LoRA adapter for the compact flow, FLUX or Stable Diffusion.

    Labels are read as any data set's; tone is measured, captions are made and can be edited. Ctrl-C saves; the same
    command goes on, bit for bit. On several GPUs: accelerate launch "$(which synthderm)" train lora ...

    \b
    Examples:
      synthderm train lora --data my_lesions/ --base compact -o adapter
      synthderm train lora --data HAM10000/ --base models/flux -r 32 --steps 3000 --batch-size 1 \\
        --gradient-accumulation 4 --gradient-checkpointing --mixed-precision bf16 --patience 5 -o adapter
      synthderm train lora --data my_lesions/ --base models/sd --captions adapter/captions.jsonl -o adapter_2
      synthderm generate --generator flow --adapter adapter -o out
    """  # noqa: D301 - \b keeps the lines of the examples apart
    from synthderm.training.lora import Interrupted, LoraConfig, train_lora

    config = LoraConfig(
        data=data, base=base, output=output, start_from=start_from, rank=rank, alpha=alpha, dropout=dropout,
        target_modules=tuple(part.strip() for part in target_modules.split(",")) if target_modules else None,
        steps=steps, learning_rate=lr, lr_schedule=lr_schedule, warmup_steps=warmup_steps, batch_size=batch_size,
        gradient_accumulation=gradient_accumulation, gradient_checkpointing=gradient_checkpointing,
        mixed_precision=mixed_precision, optimizer=optimizer, resolution=resolution, augmentation=augment,
        modality=modality, tones=tones, balance=balance, condition_dropout=condition_dropout, captions=captions,
        max_sequence_length=max_sequence_length, hold_out=hold_out, validate_every=validate_every, patience=patience,
        samples=samples, sample_steps=sample_steps, guidance_scale=guidance, ema=ema, save_every=save_every, seed=seed,
        resume=resume, device="cpu" if cpu else "auto",
    )  # fmt: skip
    try:
        with Steps() as report:
            result = train_lora(config, report, lambda line: print(f"note: {line}", file=sys.stderr))
    except Interrupted as error:
        print(f"synthderm: {error}", file=sys.stderr)
        raise
    if not _is_first_process():
        return
    if json:
        print_json(result.record())
    else:
        show(result.record())


def _is_first_process() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def show(result: Mapping[str, Any]) -> None:
    """Print the figures of a run."""
    before, after = result["before"], result["after"]
    if before and after:
        rows = [["held-out loss", _text(before["held_out_loss"]), _text(after["held_out_loss"])]]
        if before.get("kid") is not None:
            rows.append([f"KID of {after['samples']} samples to held-out images", *_kids(before, after, "kid")])
            rows.append(["KID to training images", *_kids(before, after, "kid_train")])
        title = f"Before and after tuning ({result['held_out_images']} held-out images)"
        print_table(title, ("", "before", "after"), rows)
    classes = ", ".join(f"{code} {n}" for code, n in result["counts"]["classes"].items())
    memory = ", ".join(f"{name.upper()} {value:.2f} GB" for name, value in result["peak_memory_gb"].items())
    versions = f" and {result['tone_versions']} versions on other skin tones" if result["tone_versions"] else ""
    print(f"trained on {result['train_images']} images{versions}: {classes}")
    stopped = ", stopped early" if result["stopped_early"] else ""
    print(f"{result['steps']} steps in {result['seconds']:.0f} s{stopped}; kept: step {result['kept_step']}")
    print(f"highest memory: {memory}")
    print(f"licence of the adapter, from its images: {result['licence']}")
    print(f"wrote {result['folder']}: adapter, card, samples, metrics.jsonl")


def _text(value: float) -> str:
    return f"{value:.4g}"


def _kids(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> list[str]:
    cells = []
    for figures in (before, after):
        ends = figures[f"{name}_interval"]
        cells.append(_text(figures[name]) + (f" [{_text(ends[0])}, {_text(ends[1])}]" if ends else ""))
    return cells
