"""The adapter inside a base: made, held as a flat set of weights, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from synthderm.core import InputError

from .config import LoraConfig
from .draws import draw_seed
from .state import Weights
from .targets.base import ADAPTER, Target


def add_adapter(target: Target, config: LoraConfig) -> AdapterWeights:
    """Give the tuned network a new adapter; all else is frozen.

    The matrices of an adapter begin as Gaussian A and B = 0 (Hu et al. 2021, section 4.1), so that the base is
    unchanged at step 0. They are float32 whatever the base's type.

    Raises:
        InputError: if no layer has one of the names in ``config.target_modules``.
    """
    from peft import LoraConfig as PeftConfig

    for component in target.pipeline.components.values():
        if isinstance(component, nn.Module):
            component.requires_grad_(False)
    options = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        init_lora_weights="gaussian",
        target_modules=list(config.target_modules),
    )
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(config.seed, "adapter"))
        try:
            target.model.add_adapter(options, adapter_name=ADAPTER)
        except ValueError as error:
            raise InputError(
                f"the adapter cannot be made: {' '.join(str(error).split())[:300]}; expected other target_modules"
            ) from error
    for parameter in target.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if config.gradient_checkpointing:
        target.model.enable_gradient_checkpointing()
    return AdapterWeights(target.model)


class AdapterWeights(nn.Module):
    """The trained parameters of a network as a module of their own; the parameters are shared, not copied."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        chosen = dict(network.named_parameters())
        self.held = nn.ParameterList([chosen[name] for name in self.names])

    def weights(self) -> Weights:
        """Name in the network -> a copy on the CPU."""
        return {n: p.detach().cpu().clone() for n, p in zip(self.names, self.held, strict=True)}

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put weights in.

        Raises:
            InputError: if the names or shapes are others.
        """
        shapes = {n: p.shape for n, p in zip(self.names, self.held, strict=True)}
        if {n: w.shape for n, w in weights.items()} != shapes:
            raise InputError("the saved adapter does not fit the base: other layers or another rank; use its own base")
        for name, parameter in zip(self.names, self.held, strict=True):
            parameter.copy_(weights[name])

    @contextmanager
    def replaced(self, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Have other weights inside a block."""
        own = self.weights()
        self.load(weights)
        try:
            yield
        finally:
            self.load(own)


class RunningAverage:
    """Exponential running average of the adapter's weights, float32 on the CPU.

    The decay starts low, min(decay, (1 + t) / (10 + t)), as in :class:`synthderm.training.loop.Average`.
    """

    def __init__(self, decay: float, weights: Weights, updates: int = 0) -> None:
        self.decay, self.updates = decay, updates
        self.weights: Weights = {name: value.clone() for name, value in weights.items()} if decay else {}

    def update(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Move towards the present weights."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.weights.items():
            value.lerp_(weights[name], share)
