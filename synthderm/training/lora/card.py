"""The card of an adapter: README.md with the data, the licences, the compute and every figure, good or bad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from synthderm.core import DIAGNOSES, TONE_BANDS

if TYPE_CHECKING:
    from .config import LoraConfig
    from .result import LoraResult


def adapter_card(
    result: LoraResult,
    config: LoraConfig,
    *,
    base: str,
    licence: str,
    attribution: Sequence[str],
    network: str,
    versions: Mapping[str, Any],
    diverged: str | None = None,
) -> str:
    """The text of README.md.

    Args:
        result: figures of the run.
        config: of the run, filled.
        base: name or path of the base.
        licence: SPDX name.
        attribution: lines that must travel with the images.
        network: class of the tuned network.
        versions: see :func:`synthderm.provenance.environment`.
        diverged: why the run ended before its time.
    """
    name = Path(base).name if Path(base).exists() else base
    sections = [
        _header(name, licence),
        f"# LoRA adapter for {name}\n",
        f"Rank {config.rank}, alpha {config.alpha:g}, {result.parameters:,} trained numbers in the layers "
        f"{', '.join(config.target_modules)} of a {network}. Images made with it are synthetic; they are for research "
        "and not for diagnosis."
        + (f" It went on from the adapter {Path(config.start_from).name}." if config.start_from else "")
        + "\n",
        *([f"**The run broke off: {diverged}. This is the last good adapter.**\n"] if diverged else []),
        _use(result.family, base, config.resolution),
        _data(result),
        _figures(result, config),
        _compute(result, config, versions),
        _limits(result),
        "## Licence and attribution\n\n" + "".join(f"- {line}\n" for line in (f"Licence: {licence}", *attribution)),
    ]
    return "\n".join(sections)


def _header(base: str, licence: str) -> str:
    values = {
        "library_name": "diffusers",
        "base_model": base,
        "license": licence.lower() if licence.startswith("CC") else "other",
        "tags": ["lora", "dermatology", "synthetic", "medical"],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _use(family: str, base: str, size: int) -> str:
    generator = "flow" if family == "compact" else f"{family} --base {base}"
    return (
        "## Use\n\n```\n"
        f"synthderm generate --generator {generator} --adapter THIS_FOLDER --size {size} -o out\n```\n\n"
        "`pytorch_lora_weights.safetensors` is in the format of diffusers, with alpha in its header; any program that "
        "loads diffusers adapters takes it.\n"
    )


def _data(result: LoraResult) -> str:
    classes = result.counts["classes"]
    rows = [(f"`{code}` {DIAGNOSES[code].name}", classes.get(code, 0)) for code in DIAGNOSES]
    tones = result.counts["fst"]
    tone_rows = [(f"{band.fst} ({band.name})", tones.get(str(band.fst), 0)) for band in TONE_BANDS]
    tone_rows += [("not measurable", tones["unknown"])] if "unknown" in tones else []
    licences = [(name, n) for name, n in result.counts["licences"].items()]
    return (
        f"## Data\n\n{result.train_images} training images, {result.held_out_images} held out (no lesion or patient is "
        "on both sides).\n\n"
        + table(("class", "training images"), rows)
        + "\n\nSkin tone, measured from the pixels (ITA bands, a proxy of Fitzpatrick types):\n\n"
        + table(("type", "training images"), tone_rows)
        + (
            f"\n\nBeside them {result.tone_versions} versions of these images on other skin tones, all types equally "
            "often: the ratio of two skin colours in linear light. They show no structure that dark skin alone has."
            if result.tone_versions
            else ""
        )
        + "\n\n"
        + table(("licence of the images", "training images"), licences)
        + "\n"
    )


def _figures(result: LoraResult, config: LoraConfig) -> str:
    if not result.before or not result.after:
        return "## Figures\n\nNone: the run was not validated. Nothing is known of how good its images are.\n"
    before, after = result.before, result.after
    rows = [
        ("held-out loss", figure(before["held_out_loss"]), figure(after["held_out_loss"])),
        *((title, _kid(before, name), _kid(after, name)) for name, title in _KIDS.items()),
    ]
    seen = f"{after.get('samples', 0)} samples against {after.get('kid_images', 0)} held-out"
    return (
        f"## Figures\n\nBefore tuning, and of this adapter (best after step {result.kept_step} of {result.steps}):\n\n"
        + table(("", "before", "adapter"), rows)
        + f"\n\nKID [95 % interval] in the features of `derm`: {seen} and {after.get('kid_train_images', 0)} training "
        f"images, {config.sample_steps} sampler steps, guidance {config.guidance_scale:g}. It has no bias, but below "
        "some 100 images on either side it scatters widely: compare by `synthderm evaluate quality` with many images "
        "before you rely on it. The held-out images chose the step, so that the adapter's figures on them are a little "
        "too good; those on training images fall by mere copying, too.\n"
    )


_KIDS = {"kid": "kernel distance (KID) to held-out images", "kid_train": "kernel distance (KID) to training images"}


def _kid(figures: Mapping[str, Any], name: str) -> str:
    if figures.get(name) is None:
        return "not measured"
    interval = figures.get(f"{name}_interval")
    return figure(figures[name]) + (f" [{figure(interval[0])}, {figure(interval[1])}]" if interval else "")


def _compute(result: LoraResult, config: LoraConfig, versions: Mapping[str, Any]) -> str:
    memory = ", ".join(f"{name.upper()} {value:.2f} GB" for name, value in result.peak_memory_gb.items())
    packages = ", ".join(f"{name} {number}" for name, number in versions["packages"].items() if number)
    rows = [
        ("steps", f"{result.steps}{' (stopped early)' if result.stopped_early else ''}"),
        ("images per step", config.batch_size * config.gradient_accumulation),
        ("time in training steps", f"{result.seconds:.0f} s"),
        ("highest memory of the process", memory),
        ("optimiser", f"{config.optimizer}, learning rate {config.learning_rate:g}, {config.lr_schedule}"),
        ("precision", config.mixed_precision),
        ("running average of the weights", f"decay {config.ema:g}" if config.ema else "none"),
        ("resolution", f"{config.resolution} px, augmentation {config.augmentation}"),
        ("seed", config.seed),
        ("versions", f"synthderm {versions['synthderm']}, {packages}"),
    ]
    return "## Compute\n\n" + table(("", ""), rows) + "\n"


def _limits(result: LoraResult) -> str:
    lines = []
    if result.unseen:
        lines.append(f"It has seen no image of {', '.join(result.unseen)}; what it draws for them is the base's guess.")
    if result.before and result.after and result.after["held_out_loss"] >= result.before["held_out_loss"]:
        lines.append("Its held-out loss is not below that of the base: it has learnt nothing that generalises.")
    missing = [str(band.fst) for band in TONE_BANDS if band.fst not in result.tones]
    if missing:
        lines.append(f"It has seen no skin of type {', '.join(missing)}; such requests rest on the base alone.")
    shifted = [str(fst) for fst in result.tones if str(fst) not in result.counts["fst"]]
    if shifted:
        lines.append(f"It knows skin of type {', '.join(shifted)} from tone-shifted images alone, not from real skin.")
    if result.train_images < 500:
        lines.append(
            f"{result.train_images} images are few: it may repeat them. `synthderm evaluate audit` looks for copies."
        )
    if result.held_out_images:
        lines.append(
            "`training_images.safetensors` holds blurred 24 px descriptors of the training images, by which `generate` "
            "rejects copies: their licence and their need of protection are those of the images."
        )
    if result.family == "sd":
        lines.append("The safety checker of Stable Diffusion is off, since it blanks skin: look at images before use.")
    lines.append("Nobody has judged its images: whether they show what they should is for `synthderm evaluate` to say.")
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def figure(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, rule, *rows))
