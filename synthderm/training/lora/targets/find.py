"""The target for a base: found by its name or folder, loaded, and the configuration filled with its defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from synthderm.core import InputError

from ..config import LoraConfig
from .base import Target

COMPACT = "compact"
_COMPACT_PIPELINE = "SkinFlowPipeline"


def family_of(config: LoraConfig) -> str:
    """The family of a configuration's base, without loading it.

    Raises:
        InputError: the base is not on this machine, is of no family that can be tuned, or not of ``config.family``.
    """
    if str(config.base) == COMPACT or _is_compact(Path(config.base)):
        from synthderm.models.flow.load import flow_folder

        flow_folder(None if str(config.base) == COMPACT else config.base)
        found = COMPACT
    else:
        from synthderm.models.bases import find_base

        found = find_base(config.base).family.name
    if config.family not in (None, found):
        raise InputError(f"{config.base} is of the family {found}, not {config.family}; leave --family out")
    return found


def _is_compact(folder: Path) -> bool:
    index = folder / "model_index.json"
    if not index.is_file():
        return False
    try:
        return json.loads(index.read_text(encoding="utf-8")).get("_class_name") == _COMPACT_PIPELINE
    except (ValueError, AttributeError):
        return False


def target_class(family: str) -> type[Target]:
    """The class for a family."""
    if family == "flux":
        from .flux import FluxTarget

        return FluxTarget
    if family == "sd3":
        from .sd3 import StableDiffusion3Target

        return StableDiffusion3Target
    if family == "sd":
        from .stable_diffusion import StableDiffusionTarget

        return StableDiffusionTarget
    from .compact import CompactTarget

    return CompactTarget


def fill(config: LoraConfig) -> tuple[LoraConfig, type[Target]]:
    """The configuration with its base's family and that family's defaults, and the class of its target.

    Raises:
        InputError: the base is not there or cannot be tuned.
    """
    family = family_of(config)
    kind = target_class(family)
    filled = config.filled({"family": family, **kind.defaults})
    return replace(filled, mixed_precision=_precision(config)), kind


def _precision(config: LoraConfig) -> str:
    """The precision of a configuration; for "auto" the fast one of this machine."""
    if config.mixed_precision != "auto":
        return config.mixed_precision
    from synthderm.models.pipelines import choose_device, choose_dtype

    fast = choose_dtype("auto", choose_device(config.device))
    return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(fast, "no")


def open_target(config: LoraConfig, kind: type[Target]) -> Target:
    """Load the base of a filled configuration.

    Raises:
        InputError: it cannot be loaded, or does not fit the configuration.
    """
    return kind(kind.load(config), config)
