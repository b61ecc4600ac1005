"""How much memory a run takes, and what helps when there is too little."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from synthderm.core import InputError
from synthderm.models.pipelines import is_out_of_memory

from .config import LoraConfig


def peak_memory(device: torch.device) -> dict[str, float]:
    """Highest memory so far, GB: ``{"cpu": ...}``, and ``"gpu"`` on a GPU."""
    found = {} if math.isnan(resident := _resident()) else {"cpu": round(resident, 3)}
    if device.type == "cuda":
        found["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
    return found


def _resident() -> float:
    """Highest resident memory of this process, GB; nan where the system does not tell (Windows)."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return math.nan
    return getrusage(RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)  # bytes on macOS, else kB


@contextmanager
def memory_hint(config: LoraConfig, doing: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that names the options that help and are not in use yet.

    Raises:
        InputError: instead of the error.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"out of memory while {doing}; {hint(config)}") from error


def hint(config: LoraConfig) -> str:
    """What to try, most effective first."""
    ideas = []
    if config.batch_size > 1:
        more = config.gradient_accumulation * config.batch_size
        ideas.append(f"--batch-size 1 --gradient-accumulation {more}")
    if not config.gradient_checkpointing:
        ideas.append("--gradient-checkpointing")
    if config.mixed_precision == "no":
        ideas.append("--mixed-precision bf16")
    if config.optimizer == "adamw":
        ideas.append("--optimizer adamw8bit")
    ideas += [f"a --resolution below {config.resolution}", f"a rank below {config.rank}", "--samples 0"]
    return "what helps: " + ", ".join(ideas)
