"""``synthderm generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from synthderm.run import RunSummary

GIVEN_UP = 1


def generate(
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A recipe that ships (synthderm recipes ls) or a YAML file."),
    ] = None,
    diagnosis: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME,...|all",
            help="nv, mel, bcc, akiec, bkl, df, vasc; names and ISIC spellings too. Images take turns.",
        ),
    ] = None,
    fst: Annotated[
        str | None,
        typer.Option(metavar="TYPES", help="Skin types: 5, 1,3,6, 4-6, all or uniform (the default)."),
    ] = None,
    ita: Annotated[
        str | None,
        typer.Option(metavar="DEG", help="Tone in degrees of ITA instead: -20, 55,20,-20 or -40..-10."),
    ] = None,
    num_images: Annotated[int | None, typer.Option("-n", "--num-images", help="Images in all, 12 by default.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder; by default a fresh one named after the request."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Image i depends on (seed, i) alone; 0 by default.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels per side, 64 to 1024; 256 by default, flow 128.")] = None,
    modality: Annotated[str | None, typer.Option(help="dermoscopy (the default) or clinical.")] = None,
    generator: Annotated[str | None, typer.Option(help="See synthderm info; simulator by default.")] = None,
    masks: Annotated[
        str | None, typer.Option(metavar="NAME,...|all", help="Masks to write beside the lesion's.")
    ] = None,
    gates: Annotated[
        bool | None, typer.Option("--gates/--no-gates", help="Draw images that miss tone or class again (the default).")
    ] = None,
    maps: Annotated[
        bool | None, typer.Option("--maps", help="Also write float maps: melanin, blood, height, normals.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="png (the default), jpg or webp.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per call of the generator.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one per processor by default; 0 is none but this one.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Make part K of N, in the same folder or another.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Hold a scene parameter; repeatable. See info --parameters."),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Fill the cells of a file of synthderm plan.")] = None,
    paired: Annotated[bool | None, typer.Option("--paired", help="The same lesion on every requested tone.")] = None,
    vary: Annotated[
        str | None,
        typer.Option(metavar="NAME[=VALUES]", help="Sweep a parameter, fst, ita or class; all else is fixed."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Class, tone and look in words: 'irregular dark melanoma on brown skin'."),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What not to show (flux, sd3, sd).")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="PATH|ID", help="Model to draw with: a folder, or an id in the hub's cache.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(metavar="NAME|PATH|ID", help="LoRA adapter for it; its licence goes to the images.")
    ] = None,
    adapter_weight: Annotated[float | None, typer.Option(help="How strongly it is applied, 1 as trained.")] = None,
    num_inference_steps: Annotated[
        int | None, typer.Option("--steps", "--num-inference-steps", help="Denoising steps.")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option("--guidance", "--guidance-scale", help="How closely a request is followed.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels per side that a large model draws, before it is resized to --size.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="Look of the images, one of the flow's.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    offload: Annotated[
        str | None, typer.Option(help="model or sequential: keep idle parts of a large model off the GPU.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="int8 or nf4 weights of a large model, on a GPU.")] = None,
    overwrite: Annotated[
        bool | None, typer.Option("--overwrite", help="Remove the output of another recipe from the folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Make images with masks and metadata.

    The same command, run again, continues what was stopped: it makes only what is missing.

    \b
    Examples:
      synthderm generate --class melanoma --fst 5 -n 1000
      synthderm generate --class all --fst uniform -n 4200 --masks all -o balanced
      synthderm generate --class nv,mel --ita -40..-10 -n 200 --modality clinical --size 512
      synthderm generate --class mel --fst all --paired -n 60
      synthderm generate --class mel --fst 2 --set lesion.asymmetry=0.8 -n 20
      synthderm generate --class mel --fst 2 --vary lesion.asymmetry -n 8
      synthderm generate --plan plan.yaml -o filled
      synthderm generate --class bcc -n 100000 -o big --shard 2/8
      synthderm generate --recipe paired_tones -o pairs
      synthderm generate --prompt "irregular dark melanoma on brown skin" -n 20
      synthderm generate --generator flux --base black-forest-labs/FLUX.1-dev --adapter my_adapter --class mel -n 8
    """  # noqa: D301 - \b keeps the lines of the examples apart
    flags = {name: value for name, value in locals().items() if name not in ("recipe", "json")}
    from synthderm import run

    with progress_bar("images") as progress:
        summary = run.generate(recipe, progress, **flags)
    if json:
        print_json(summary.to_dict())
    else:
        show(summary)
    if summary.given_up:
        raise typer.Exit(GIVEN_UP)


def show(summary: RunSummary) -> None:
    """Print the summary of a run: what was made, and the tone that was asked for beside the measured one."""
    rate = summary.images_per_second
    speed = f" in {summary.seconds:.0f} s ({rate} images/s)" if rate else ""
    print(f"made {summary.made} images{speed}; {summary.present} of {summary.requested} are in {summary.output}")
    rows = [
        (
            row.fst,
            f"{row.low_deg:g} to {row.high_deg:g}",
            row.images,
            f"{row.inside} ({row.inside / row.images:.1%})",
            row.mean_deg,
            row.error_deg,
        )
        for row in summary.tone
    ]
    columns = ("type", "ITA band, deg", "images", "measured inside", "mean ITA, deg", "mean error, deg")
    print_table("Skin tone, requested and measured (ITA of healthy skin; the type is a proxy)", columns, rows)
    if summary.licence:
        print(f"licence of the images: {summary.licence}")
    for note in summary.notes:
        print(f"note: {note}")
    for reason, count in summary.rejected.items():
        print(f"redrawn: {count} times, {reason}")
    for lost in summary.given_up:
        print(f"NOT MADE: {lost['isic_id']} ({lost['reason']}: {lost['detail']})")
    if summary.present:
        print(f"look at {summary.output / 'index.html'}")
