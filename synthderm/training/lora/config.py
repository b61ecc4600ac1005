"""How an adapter is trained: every choice of ``synthderm train lora`` in one place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from synthderm.core import InputError
from synthderm.core.checks import check_range, unknown
from synthderm.core.condition import MODALITIES

PRECISIONS = ("auto", "no", "bf16", "fp16")
OPTIMIZERS = ("adamw", "adamw8bit")
SCHEDULES = ("constant", "cosine")
AUGMENTATIONS = {"none": 1, "flip": 2, "dihedral": 8}
"""Name -> how many variants of each image are encoded."""

FAMILIES = ("compact", "flux", "sd3", "sd")

_MAY_CHANGE = (
    "output", "resume", "device", "validate_every", "patience", "save_every", "samples", "sample_steps",
    "guidance_scale",
)  # fmt: skip
"""Fields that a continued run may change: the weights that follow do not depend on them."""


@dataclass(frozen=True)
class LoraConfig:
    """A training run. ``None`` stands for the default of the base's family.

    Attributes:
        data: folder or zip file of any layout that :func:`~synthderm.data.read_dataset` knows.
        base: "compact", or the folder (or name in the local cache) of a FLUX, Stable Diffusion 3 or Stable Diffusion
            pipeline.
        output: folder of the adapter, its card, samples, figures and state.
        start_from: an adapter to go on from instead of a new one; rank, alpha and layers are then its own.
        family: one of :data:`FAMILIES`; found out from the base by default.
        rank: of the low-rank matrices (Hu et al. 2021, r).
        alpha: the update is scaled by alpha / rank; the rank by default.
        dropout: on the input of the low-rank matrices, 0 to 1.
        target_modules: ends of the names of the layers that get an adapter.
        steps: optimiser steps.
        learning_rate: of AdamW.
        lr_schedule: "constant" or "cosine" (to zero at the last step), after the warm-up.
        warmup_steps: over which the learning rate rises from zero.
        weight_decay: of AdamW.
        max_grad_norm: to which the gradient is clipped; 0 does not clip.
        batch_size: images at a time on each device.
        gradient_accumulation: batches per optimiser step.
        gradient_checkpointing: compute activations twice, keep them not: less memory, slower.
        mixed_precision: "no", "bf16", "fp16" (GPU only), or "auto": bf16 where the processor or GPU is fast with it.
        optimizer: "adamw", or "adamw8bit" (needs bitsandbytes).
        resolution: side of the images, px: centre square, antialiased.
        augmentation: "none", "flip" (left to right) or "dihedral" (all eight turns and flips).
        modality: "dermoscopy" or "clinical", of images for which the set does not say it.
        tones: versions of each training image on other skin tones, by the ratio of two skin colours in linear light
            (:mod:`synthderm.functional.tone_shift`): real sets hold next to no dark skin.
        balance: how much rare classes are drawn more often: a class of n images in proportion to n^(1 - balance).
        condition_dropout: share of images that are shown without their condition, for guidance (Ho and Salimans 2022).
        training_guidance: value that a base with an embedded guidance scale is told while training.
        captions: a captions.jsonl whose captions replace the generated ones.
        max_sequence_length: tokens of a caption that the T5 encoder sees.
        hold_out: share of the images, in whole lesions or patients, that is held out, where the set has no split.
        validate_every: steps between validations; 0: none, and nothing is held out.
        patience: validations without a lower held-out loss after which training stops; 0: never.
        samples: images drawn at a validation.
        sample_steps: steps of the sampler at a validation.
        guidance_scale: of the sampler at a validation.
        ema: decay of the running average of the adapter's weights, which is what is validated and kept; 0: none.
        save_every: steps between saved states, beside those at validations, at the end and at an interruption.
        seed: of everything that is drawn.
        resume: demand that the folder holds a run to continue; without it one of the same configuration is continued,
            and none is started anew.
        device: "auto" or "cpu".
    """

    data: str | Path
    base: str | Path
    output: str | Path
    start_from: str | Path | None = None
    family: str | None = None
    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None
    steps: int | None = None
    learning_rate: float | None = None
    lr_schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 1e-4
    max_grad_norm: float = 1.0
    batch_size: int | None = None
    gradient_accumulation: int = 1
    gradient_checkpointing: bool = False
    mixed_precision: str = "auto"
    optimizer: str = "adamw"
    resolution: int | None = None
    augmentation: str | None = None
    modality: str | None = None
    tones: int | None = None
    balance: float = 0.5
    condition_dropout: float = 0.1
    training_guidance: float = 1.0
    captions: str | Path | None = None
    max_sequence_length: int | None = None
    hold_out: float = 0.1
    validate_every: int = 100
    patience: int = 0
    samples: int | None = None
    sample_steps: int | None = None
    guidance_scale: float | None = None
    ema: float = 0.99
    save_every: int = 100
    seed: int = 0
    resume: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, known in (
            ("mixed_precision", PRECISIONS),
            ("optimizer", OPTIMIZERS),
            ("lr_schedule", SCHEDULES),
            ("device", ("auto", "cpu")),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name, known in (
            ("family", FAMILIES),
            ("augmentation", tuple(AUGMENTATIONS)),
            ("modality", MODALITIES),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown(name, str(value), known)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("rank", "gradient_accumulation", "save_every"):
            check_range(name, getattr(self, name), 1, 10**9)
        for name in ("steps", "batch_size"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), 1, 10**9)
        for name in ("warmup_steps", "validate_every", "patience", "weight_decay", "max_grad_norm"):
            check_range(name, getattr(self, name), 0, 10**9)
        for name in ("dropout", "condition_dropout", "ema"):
            check_range(name, getattr(self, name), 0.0, 0.999999)
        check_range("balance", self.balance, 0.0, 1.0)
        check_range("hold_out", self.hold_out, 0.001, 0.9)
        if self.alpha is not None:
            check_range("alpha", self.alpha, 1e-6, 1e6)
        if self.learning_rate is not None:
            check_range("learning_rate", self.learning_rate, 1e-9, 1.0)
        if self.resolution is not None:
            check_range("resolution", self.resolution, 16, 4096, "px")
        if self.tones is not None:
            check_range("tones", self.tones, 0, 100)
        if self.samples is not None:
            check_range("samples", self.samples, 0, 4096)
        if self.patience and not self.validate_every:
            raise InputError("patience needs a held-out loss: give validate_every above 0, or patience 0")

    def record(self) -> dict[str, Any]:
        """JSON values of every field but the output folder."""
        found = {name: _plain(value) for name, value in asdict(self).items()}
        return {name: value for name, value in found.items() if name not in ("output", "resume")}

    def identity(self) -> dict[str, Any]:
        """The fields that the trained weights depend on; ``steps`` only where the learning rate depends on it."""
        kept = {name: value for name, value in self.record().items() if name not in _MAY_CHANGE}
        kept["held_out"] = self.validate_every > 0
        for name in ("data", "base", "captions", "start_from"):
            if kept[name] is not None and Path(kept[name]).exists():
                kept[name] = str(Path(kept[name]).resolve())
        if self.lr_schedule == "constant":
            del kept["steps"]
        return kept

    def digest(self) -> str:
        """SHA-256 of :meth:`identity`, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def filled(self, defaults: dict[str, Any]) -> LoraConfig:
        """The configuration with a family's defaults in place of each None."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing, **({"alpha": float(self.rank)} if self.alpha is None else {}))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
