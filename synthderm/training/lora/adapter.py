"""The adapter inside a base: made, held as a flat set of weights, averaged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from synthderm.core import InputError
from synthderm.models.adapter_keys import METADATA_KEY
from synthderm.models.adapters import find_adapter, load_adapter

from .config import LoraConfig
from .draws import draw_seed
from .state import Weights
from .targets.base import ADAPTER, Target


def add_adapter(target: Target, config: LoraConfig) -> AdapterWeights:
    """Give the tuned network an adapter; all else is frozen. Its weights are float32 whatever the base's type.

    Raises:
        InputError: no layer has one of the names in ``config.target_modules``, or ``config.start_from`` does not fit.
    """
    for component in target.pipeline.components.values():
        if isinstance(component, nn.Module):
            component.requires_grad_(False)
    if config.start_from is None:
        _new_adapter(target, config)
    else:
        load_adapter(target.pipeline, adapter_place(config), adapter_name=ADAPTER)
    for name, parameter in target.model.named_parameters():
        if f".lora_A.{ADAPTER}." in name or f".lora_B.{ADAPTER}." in name:
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()
    if config.gradient_checkpointing:
        target.model.enable_gradient_checkpointing()
    return AdapterWeights(target.model)


def _new_adapter(target: Target, config: LoraConfig) -> None:
    """Gaussian A and B = 0 (Hu et al. 2021, section 4.1), so that the base is unchanged at step 0."""
    from peft import LoraConfig as PeftConfig

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


def adapter_place(config: LoraConfig) -> Path:
    """The file of the adapter to start from: a path, an id in the hub's cache, or the name of a shipped one.

    Raises:
        InputError: if it is not there.
    """
    if config.family == "compact" and not Path(config.start_from).exists():
        from synthderm.models.flow.load import adapter_folder

        return find_adapter(adapter_folder(str(config.start_from)))
    return find_adapter(config.start_from)


def with_start(config: LoraConfig) -> LoraConfig:
    """The configuration with rank and alpha of the adapter that it starts from, if it does.

    Raises:
        InputError: the adapter is not there, or is none.
    """
    if config.start_from is None:
        return config
    from safetensors import SafetensorError, safe_open

    file = adapter_place(config)
    try:
        with safe_open(str(file), "pt") as opened:
            stated = json.loads((opened.metadata() or {}).get(METADATA_KEY, "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{file} is no adapter to start from: {' '.join(str(error).split())[:200]}") from error
    found = {name.rpartition(".")[2]: value for name, value in stated.items()}
    if not {"r", "lora_alpha", "target_modules"} <= set(found):
        raise InputError(
            f"{file} does not state its rank, alpha and layers, so that training cannot go on from it; "
            "start from an adapter of this program or of diffusers with metadata"
        )
    layers = found["target_modules"]
    modules = tuple(sorted(layers)) if isinstance(layers, list) else (layers,)
    return replace(config, rank=found["r"], alpha=float(found["lora_alpha"]), target_modules=modules)


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
