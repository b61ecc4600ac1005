"""The weights of a LoRA file, brought to one naming and compared with the network that they are meant for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synthderm.core import InputError

METADATA_KEY = "lora_adapter_metadata"
"""Where diffusers keeps the configuration of an adapter in a safetensors header."""

_PEFT_HEAD = "base_model.model."
_SHOWN = 3


@dataclass(frozen=True)
class AdapterWeights:
    """What a LoRA file holds.

    Attributes:
        weights: "transformer.<module>.lora_A.weight" (or "unet.", "text_encoder.", ...) -> tensor.
        alphas: kohya's scales, module by module; {} where the file has none.
        config: the adapter's configuration with the same prefixes, or None.
        scaled: whether the scale (alpha over rank) is known; if not, diffusers takes 1.
    """

    weights: Mapping[str, torch.Tensor]
    alphas: Mapping[str, float]
    config: Mapping[str, Any] | None
    scaled: bool

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The weights of one component in peft's names, without the prefix."""
        from diffusers.utils import convert_unet_state_dict_to_peft

        own = {k.removeprefix(f"{prefix}."): v for k, v in self.weights.items() if k.startswith(f"{prefix}.")}
        return own if all("lora_A" in k or "lora_B" in k for k in own) else convert_unet_state_dict_to_peft(own)


def read_weights(file: Path, component: str, network: nn.Module, loader: Any = None) -> AdapterWeights:
    """Read a LoRA file: diffusers, kohya and peft name their weights differently.

    Args:
        file: .safetensors.
        component: "transformer" or "unet".
        network: the part itself; its weights are not needed (it may be on the meta device).
        loader: the class of a diffusers pipeline, which knows the namings of its family; that of FLUX if None.

    Raises:
        InputError: if it is no safetensors file, or holds no LoRA weights, or something else beside them.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as opened:
            header, raw = opened.metadata() or {}, {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is no safetensors file ({' '.join(str(error).split())[:200]})") from error
    if not any("lora" in key for key in raw):
        raise InputError(f"{file} holds no LoRA weights; its first names are {', '.join(list(raw)[:_SHOWN])}")
    if any("dora_scale" in key for key in raw):
        raise InputError(f"{file} is a DoRA adapter, which diffusers cannot apply; expected LoRA")
    config = json.loads(header[METADATA_KEY]) if METADATA_KEY in header else _peft_config(file, component)
    scaled = config is not None or any(key.endswith(".alpha") for key in raw)
    weights, alphas = _with_prefix(raw, component, network, loader or _flux_loader())
    return AdapterWeights(weights, {} if config else alphas, config, scaled)


def _peft_config(file: Path, component: str) -> dict[str, Any] | None:
    """The adapter_config.json that peft writes beside its weights."""
    beside = file.parent / "adapter_config.json"
    if not beside.is_file():
        return None
    return {f"{component}.{k}": v for k, v in json.loads(beside.read_text(encoding="utf-8")).items()}


def _with_prefix(
    raw: dict[str, torch.Tensor], component: str, network: nn.Module, loader: Any
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The weights named "<component>.<module>...", and kohya's alphas."""
    if all(key.startswith(_PEFT_HEAD) for key in raw):
        return {key.replace(_PEFT_HEAD, f"{component}.", 1): value for key, value in raw.items()}, {}
    if all(key.partition(".lora")[0] in _module_names(network) for key in raw):
        return {f"{component}.{key}": value for key, value in raw.items()}, {}
    try:
        found = _call_loader(loader, dict(raw), network)
    except Exception as error:  # converters fail in many ways on names that they do not know
        raise InputError(
            f"the names of this adapter are not understood ({type(error).__name__}: {str(error)[:200]}); is it for "
            f"another family than this {type(network).__name__}?"
        ) from error
    before, after = _count_ups(raw), _count_ups(found[0])
    if after < before:
        raise InputError(f"{before - after} of the {before} layers of this adapter are of no kind that diffusers knows")
    alphas = {k: float(v) for k, v in (found[1] or {}).items()} if len(found) == 3 else {}
    return found[0], alphas


def _count_ups(keys: Iterable[str]) -> int:
    """Second matrices among the names: one per layer in any naming."""
    return sum(re.search(r"lora_B|lora_up|lora\.up|\.up\.weight", key) is not None for key in keys)


def _flux_loader() -> Any:
    from diffusers.loaders import FluxLoraLoaderMixin

    return FluxLoraLoaderMixin


def _call_loader(loader: Any, raw: dict[str, torch.Tensor], network: nn.Module) -> tuple[Any, ...]:
    """What the loader's ``lora_state_dict`` returns: (weights, alphas, config), or (weights, config) for SD 3."""
    name = loader.__name__
    if "Flux" in name:
        return loader.lora_state_dict(raw, return_alphas=True, return_lora_metadata=True)
    if "3" in name:
        return loader.lora_state_dict(raw, return_lora_metadata=True)
    return loader.lora_state_dict(raw, return_lora_metadata=True, unet_config=network.config)


def _module_names(network: nn.Module) -> set[str]:
    return {name.removesuffix(".base_layer") for name, _ in network.named_modules()}


def loader_of(pipeline_class: type) -> Any:
    """The class itself if it reads LoRA files, else None."""
    return pipeline_class if hasattr(pipeline_class, "lora_state_dict") else None


def check_fit(weights: Mapping[str, torch.Tensor], network: nn.Module, file: Path) -> None:
    """Make sure that every weight has a layer of its shape.

    Args:
        weights: of :meth:`AdapterWeights.part`: "<module>.lora_A.weight" (rank, inputs) and "lora_B" (outputs, rank).
        network: what they are meant for.
        file: for the error.

    Raises:
        InputError: if a layer is missing or of another size: the adapter was trained on another base.
    """
    if not weights:
        raise InputError(f"{file} was trained on another base: it holds nothing for a {type(network).__name__}")
    modules = {name.removesuffix(".base_layer"): module for name, module in network.named_modules()}
    missing, sizes = [], []
    for key, value in weights.items():
        name = key.partition(".lora_")[0]
        wanted = _sizes(modules.get(name))
        if wanted is None:
            missing.append(name)
            continue
        is_down = ".lora_A." in key
        got, expected = (value.shape[1], wanted[0]) if is_down else (value.shape[0], wanted[1])
        if got != expected and value.ndim > 1:
            sizes.append(f"{name}: {got} {'inputs' if is_down else 'outputs'} in the file, {expected} in the base")
    missing = list(dict.fromkeys(missing))
    if not missing and not sizes:
        return
    parts = [f"{len(missing)} layers that the base lacks ({', '.join(missing[:_SHOWN])})"] if missing else []
    parts += [f"{len(sizes)} weights of another size ({'; '.join(sizes[:_SHOWN])})"] if sizes else []
    raise InputError(
        f"{file} was trained on another base than this {type(network).__name__}: it has {' and '.join(parts)}; "
        "use the base that it was trained on"
    )


def _sizes(module: nn.Module | None) -> tuple[int, int] | None:
    """(inputs, outputs) of a linear or convolution layer, also where its weights are quantised."""
    layer = getattr(module, "base_layer", module)
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    if hasattr(layer, "in_channels") and hasattr(layer, "kernel_size"):
        return layer.in_channels, layer.out_channels
    return None
