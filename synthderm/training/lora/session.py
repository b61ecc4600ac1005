"""What a run holds while it trains: the base with its adapter, the data, the optimiser, the processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from synthderm.core import InputError

from .adapter import AdapterWeights, RunningAverage
from .cache import Tensors
from .config import LoraConfig
from .draws import Draws, class_weights
from .encoding import Encoded
from .optimisation import make_optimiser
from .state import RunState, Weights
from .targets.base import Target


@dataclass
class Session:
    """A run that is ready to train.

    Attributes:
        config: filled with the family's defaults.
        accelerator: of the processes.
        target: the base.
        model: the tuned network, wrapped where several processes train.
        adapter: its trained weights.
        average: their running average.
        optimiser: prepared by the accelerator.
        encoded: latents and conditions.
        draws: which examples come when.
        train: indices of the examples that are trained on.
        held_out: indices of those that are not.
    """

    config: LoraConfig
    accelerator: Any
    target: Target
    model: nn.Module
    adapter: AdapterWeights
    average: RunningAverage
    optimiser: Any
    encoded: Encoded
    draws: Draws
    train: list[int]
    held_out: list[int]

    def kept(self) -> Weights:
        """What a run is judged by and leaves behind: the running average, or the weights themselves."""
        return self.average.weights if self.config.ema else self.adapter.weights()

    def batch(self, indices: Sequence[int], variants: Sequence[int], dropped: Sequence[bool]) -> tuple[Any, Tensors]:
        """Latents and conditions of some examples, on the device."""
        device = self.accelerator.device
        examples = [None if d else self.encoded.examples[i] for i, d in zip(indices, dropped, strict=True)]
        conditions = self.encoded.conditions(examples)
        latents = self.encoded.latents(indices, variants).to(device)
        return latents, {name: value.to(device) for name, value in conditions.items()}

    def into(self, state: RunState) -> None:
        """Write the present weights, averages and optimiser into a state."""
        state.weights = self.adapter.weights()
        state.average, state.updates = self.average.weights, self.average.updates
        state.optimiser = self.optimiser.state_dict()
        scaler = self.accelerator.scaler
        state.scaler = scaler.state_dict() if scaler is not None else None

    def restore(self, state: RunState) -> None:
        """Continue from a state."""
        if not state.step:
            return
        self.adapter.load(state.weights)
        self.average.weights = {name: value.clone() for name, value in state.average.items()}
        self.average.updates = state.updates
        self.optimiser.load_state_dict(state.optimiser)
        if self.accelerator.scaler is not None and state.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)


def make_accelerator(config: LoraConfig) -> Any:
    """The processes and devices of this run.

    Raises:
        InputError: if the precision is not possible here.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # another run of this process may have had another precision
    cpu = config.device == "cpu"
    if config.mixed_precision == "fp16" and (cpu or not torch.cuda.is_available()):
        raise InputError("--mixed-precision fp16 needs a GPU, and there is none; use bf16 or no")
    return Accelerator(
        cpu=cpu,
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.gradient_accumulation,
    )


def wrap(model: nn.Module, accelerator: Any) -> nn.Module:
    """The network for training: itself, or one that shares gradients among processes.

    Not ``accelerator.prepare_model``, which lets the network's own ``forward`` cast to float32 for good; the
    validation uses that same network inside its pipeline.
    """
    if accelerator.num_processes == 1:
        return model
    devices = [accelerator.device] if accelerator.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=devices)


def make_session(
    config: LoraConfig, accelerator: Any, target: Target, encoded: Encoded, adapter: AdapterWeights
) -> Session:
    """The session of a new run; its optimiser knows the adapter's weights alone."""
    optimiser = accelerator.prepare_optimizer(make_optimiser(config, adapter.parameters()))
    places = range(len(encoded.examples))
    train = [i for i in places if not encoded.examples[i].held_out]
    weights = class_weights([encoded.examples[i].diagnosis for i in train], config.balance)
    return Session(
        config=config,
        accelerator=accelerator,
        target=target,
        model=wrap(target.model, accelerator),
        adapter=adapter,
        average=RunningAverage(config.ema, adapter.weights()),
        optimiser=optimiser,
        encoded=encoded,
        draws=Draws(
            weights,
            batch_size=config.batch_size,
            variants=encoded.variants,
            condition_dropout=config.condition_dropout,
            seed=config.seed,
        ),
        train=train,
        held_out=[i for i in places if encoded.examples[i].held_out],
    )
