"""The state of a run on disk, from which it continues bit for bit."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from synthderm.core import InputError
from synthderm.data import write_atomic

from .config import LoraConfig

STATE, CONFIG = "state.pt", "config.json"

Weights = dict[str, torch.Tensor]


@dataclass
class Best:
    """The lowest held-out loss so far, and when to stop.

    Attributes:
        loss: lowest held-out loss; infinite before the first validation.
        step: after which it was found.
        waited: validations since then.
        weights: the adapter's weights then.
        figures: of the validation then.
    """

    loss: float = math.inf
    step: int = 0
    waited: int = 0
    weights: Weights | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    def offer(self, loss: float, step: int, weights: Weights, figures: dict[str, Any]) -> bool:
        """Take the result of a validation; whether it is the best so far."""
        if loss < self.loss:
            self.loss, self.step, self.waited = loss, step, 0
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
            self.figures = figures
            return True
        self.waited += 1
        return False


@dataclass
class RunState:
    """Everything that a run needs to go on.

    Attributes:
        digest: of the configuration (:meth:`LoraConfig.digest`).
        content: of the examples and the base.
        step: optimiser steps done.
        weights: of the adapter.
        average: their running average; empty without one.
        updates: updates of the average.
        optimiser: state of the optimiser.
        scaler: state of the gradient scaler of fp16; None otherwise.
        best: of the validations.
        first: figures of the validation before training.
        stopped_early: patience has run out.
        seconds: spent training so far.
        processes: that train together.
    """

    digest: str
    content: str = ""
    step: int = 0
    weights: Weights = field(default_factory=dict)
    average: Weights = field(default_factory=dict)
    updates: int = 0
    optimiser: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] | None = None
    best: Best = field(default_factory=Best)
    first: dict[str, Any] = field(default_factory=dict)
    stopped_early: bool = False
    seconds: float = 0.0
    processes: int = 1

    def save(self, folder: Path) -> None:
        """Write ``state.pt``; the old one stays until the new one is whole."""
        file = io.BytesIO()
        torch.save(asdict(self), file)
        write_atomic(folder / STATE, file.getvalue())


def load_state(folder: Path) -> RunState | None:
    """The state in a folder, or None if there is none.

    Raises:
        InputError: if the file is damaged.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        return RunState(**{**found, "best": Best(**found["best"])})
    except Exception as error:  # unpickling fails in many ways
        raise InputError(f"cannot read the state {file}: {error}; choose another output folder") from error


def find_state(folder: Path, config: LoraConfig, processes: int) -> RunState:
    """The state to continue from, or a new one.

    Raises:
        InputError: the folder holds another run, ``config.resume`` asks for a run that is not there, or as many
            processes do not train as before.
    """
    state = load_state(folder)
    if state is None:
        if config.resume:
            raise InputError(f"nothing to resume: {folder} holds no {STATE}; leave --resume out to begin")
        _check_unused(folder, config)
        return RunState(config.digest(), processes=processes)
    if state.digest != config.digest():
        raise InputError(
            f"{folder} holds a run of another configuration, which is in its config.json, at step {state.step}; "
            "give the same options to continue it, or choose another output folder"
        )
    if state.processes != processes:
        raise InputError(
            f"the run in {folder} was trained by {state.processes} processes, got {processes}; use as many again"
        )
    return state


def _check_unused(folder: Path, config: LoraConfig) -> None:
    """Refuse a folder with a model, or a run of another configuration that has not come to its first state."""
    file = folder / CONFIG
    if not file.is_file():
        return
    try:
        same = json.loads(file.read_text(encoding="utf-8")).get("digest") == config.digest()
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        raise InputError(f"{folder} holds another run or a model: see its {CONFIG}; choose another output folder")
