"""LoRA adapters: saved with their scale and their card, loaded with proof that every weight arrived."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from synthderm.core import InputError

from .adapter_keys import AdapterWeights, check_fit, loader_of, read_weights
from .bases import Base, cached_folder, card_header, licence_of
from .pipelines import denoiser_of, quiet

WEIGHTS = "pytorch_lora_weights.safetensors"
CARD = "adapter.json"
FORMAT = "synthderm adapter 1"
_WEIGHT_NAMES = (WEIGHTS, "adapter_model.safetensors")


@dataclass(frozen=True, kw_only=True)
class AdapterCard:
    """What is known of an adapter file. Files that others published have no ``adapter.json``: most is then unknown.

    Attributes:
        path: the weights file.
        licence: SPDX name; :data:`~synthderm.models.bases.UNKNOWN_LICENCE` if neither card says.
        attribution: lines that must travel with the images.
        base: path or id of the base that it was trained on; "" if unknown.
        base_fingerprint: of that base; "" if unknown.
        classes: codes that it was trained on; () if unknown.
        tones: skin types that it was trained on; () if unknown.
        modality: "dermoscopy", "clinical", or "" if unknown.
        resolution: px per side of its training images; None if unknown.
        metadata: all of ``adapter.json``.
        weights_sha256: of the file.
    """

    path: Path
    licence: str
    attribution: tuple[str, ...]
    base: str
    base_fingerprint: str
    classes: tuple[str, ...]
    tones: tuple[int, ...]
    modality: str
    resolution: int | None
    metadata: Mapping[str, Any]
    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class AdapterInfo(AdapterCard):
    """An adapter that is in use.

    Attributes:
        name: under which it is loaded.
        rank: the largest of its layers.
        alpha: its scale is alpha / rank. Kohya's files for FLUX have it folded into the weights: alpha is the rank.
        scale_known: whether the file says so; if not, alpha / rank = 1 was taken, as diffusers does.
        weight: how strongly it is applied; 1 is as trained.
    """

    name: str
    rank: int
    alpha: float
    scale_known: bool
    weight: float


def save_adapter(
    pipeline: Any,
    folder: str | Path,
    *,
    adapter_name: str = "default",
    licence: str,
    attribution: Sequence[str] = (),
    base: str = "",
    base_fingerprint: str = "",
    classes: Sequence[str] = (),
    tones: Sequence[int] = (),
    modality: str = "",
    resolution: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write an adapter as the standard file that diffusers loads, with alpha in its header, and ``adapter.json``.

    Without the configuration in the header the scale alpha / rank is lost on loading: for rank 4 and alpha 16 nearly
    the whole effect was.

    Args:
        pipeline: whose transformer or unet carries the adapter.
        folder: made if missing; both files are replaced at once.
        adapter_name: of the adapter in the pipeline.
        licence: SPDX name of the weights and of the images made with them.
        attribution: lines that must travel with the images.
        base: path or id of the base.
        base_fingerprint: :attr:`synthderm.models.bases.Base.fingerprint`.
        classes: codes that it was trained on.
        tones: skin types that it was trained on.
        modality: "dermoscopy" or "clinical".
        resolution: px per side of the training images.
        metrics: measured figures.
        **facts: anything else for ``adapter.json``, as JSON values.

    Returns:
        The weights file.

    Raises:
        InputError: if the pipeline carries no adapter of that name.
    """
    from diffusers.loaders.lora_base import LoraBaseMixin
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    component, network = denoiser_of(pipeline)
    config = _config_of(network, adapter_name)
    weights = get_peft_model_state_dict(network, adapter_name=adapter_name)
    weights = convert_state_dict_to_diffusers(weights) if component == "unet" else weights
    target = Path(folder)
    LoraBaseMixin.write_lora_layers(
        {f"{component}.{key}": value.detach().cpu().contiguous() for key, value in weights.items()},
        save_directory=str(target),
        is_main_process=True,
        weight_name=f"{WEIGHTS}.part",
        save_function=None,
        safe_serialization=True,
        lora_adapter_metadata={f"{component}.{key}": value for key, value in config.to_dict().items()},
    )
    os.chmod(target / f"{WEIGHTS}.part", 0o644)
    os.replace(target / f"{WEIGHTS}.part", target / WEIGHTS)
    card = {
        "format": FORMAT,
        "component": component,
        "network": type(network).__name__,
        "rank": config.r,
        "alpha": config.lora_alpha,
        "licence": licence,
        "attribution": list(attribution),
        "base": base,
        "base_fingerprint": base_fingerprint,
        "classes": list(classes),
        "tones": list(tones),
        "modality": modality,
        "resolution": resolution,
        "metrics": dict(metrics or {}),
        **facts,
        "weights_sha256": _sha256(target / WEIGHTS),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False, default=_plain) + "\n"
    (target / f"{CARD}.part").write_text(text, encoding="utf-8")
    os.replace(target / f"{CARD}.part", target / CARD)
    return target / WEIGHTS


def load_adapter(pipeline: Any, path: str | Path, *, adapter_name: str = "adapter", weight: float = 1.0) -> AdapterInfo:
    """Load an adapter and make sure that it is in effect; adapters that are already loaded stay in effect.

    diffusers does not raise where no name of a file fits: the images are then those of the base alone. So all names
    and shapes are compared before, and all values after.

    Args:
        pipeline: a pipeline of diffusers, or the compact one.
        path: a folder of :func:`save_adapter`, a .safetensors file in the naming of diffusers, kohya or peft, or the id
            of a repository in the hub's cache.
        adapter_name: any name without a dot.
        weight: how strongly it is applied.

    Raises:
        InputError: if it is not found, damaged, or was trained on another base.
    """
    if "." in adapter_name or not adapter_name:
        raise InputError(f"the name of an adapter must not be empty or hold a dot, but got {adapter_name!r}")
    file = find_adapter(path)
    component, network = denoiser_of(pipeline)
    if adapter_name in getattr(network, "peft_config", {}):
        raise InputError(f"an adapter {adapter_name!r} is already loaded; choose another adapter_name")
    card = read_card(file)
    with quiet():
        held = read_weights(file, component, network, loader_of(type(pipeline)))
        own = held.part(component)
        check_fit(own, network, file)
        others = _weights_in_use(network)
        _inject(pipeline, component, held, adapter_name, file)
        _verify(network, own, adapter_name, file)
        encoders = _inject_text_encoders(pipeline, held, adapter_name, file)
        for part in (network, *encoders):
            _weigh(part, {**others, adapter_name: weight})
    return AdapterInfo(
        **{one.name: getattr(card, one.name) for one in fields(card)},
        name=adapter_name,
        rank=max(value.shape[0] for key, value in own.items() if ".lora_A." in key),
        alpha=float(network.peft_config[adapter_name].lora_alpha),
        scale_known=held.scaled,
        weight=weight,
    )


def check_adapter(path: str | Path, base: Base) -> AdapterCard:
    """What is known of an adapter, and that it fits a base, whose configuration is enough for that.

    Raises:
        InputError: if it is not found, damaged, or was trained on another base.
    """
    file = find_adapter(path)
    card = read_card(file)
    if base.place.is_dir():
        with quiet():
            import diffusers

            network = base.empty_denoiser()
            loader = loader_of(getattr(diffusers, base.family.pipeline))
            held = read_weights(file, base.family.denoiser, network, loader)
            check_fit(held.part(base.family.denoiser), network, file)
    return card


def find_adapter(path: str | Path) -> Path:
    """The weights file of an adapter: a file, a folder that holds one, or a repository of the hub's cache.

    Raises:
        InputError: if there is none or more than one; the message lists every place searched.
    """
    local = Path(path).expanduser()
    if local.is_file():
        return local
    searched = [str(local.absolute())]
    folders = [local]
    if len(local.parts) == 2 and not local.is_absolute():
        for name in (*_WEIGHT_NAMES, "README.md"):
            cached, cache = cached_folder(str(path), name)
            folders += [cached] if cached else []
        searched.append(f"{cache} (the hub's cache, HF_HOME)")
    for folder in folders:
        found = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        named = [file for name in _WEIGHT_NAMES for file in found if file.name == name]
        if named or len(found) == 1:
            return (named or found)[0]
        if found:
            raise InputError(f"{folder} holds several: {', '.join(file.name for file in found)}; name one of the files")
    places = " and in ".join(searched)
    raise InputError(f"there is no adapter {str(path)!r} on this machine; looked for *.safetensors in {places}")


def _config_of(network: nn.Module, adapter_name: str) -> Any:
    configs = getattr(network, "peft_config", {})
    if adapter_name not in configs:
        raise InputError(
            f"this {type(network).__name__} has no adapter {adapter_name!r}, but {sorted(configs) or 'none'}"
        )
    return configs[adapter_name]


def _inject(pipeline: Any, component: str, held: AdapterWeights, adapter_name: str, file: Path) -> None:
    network = getattr(pipeline, component)
    more = {"metadata": dict(held.config)} if held.config else {"network_alphas": dict(held.alphas) or None}
    offloaded = pipeline if hasattr(pipeline, "_all_hooks") else None
    try:
        network.load_lora_adapter(
            dict(held.weights), prefix=component, adapter_name=adapter_name, _pipeline=offloaded, **more
        )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        _remove(network, adapter_name)
        raise InputError(f"{file} cannot be loaded ({' '.join(str(error).split())[:300]})") from error


def _weigh(part: nn.Module, weights: Mapping[str, float]) -> None:
    """Put those of the adapters into effect that the part carries."""
    from diffusers.utils import set_weights_and_activate_adapters

    own = {name: weight for name, weight in weights.items() if name in part.peft_config}
    set_weights_and_activate_adapters(part, list(own), list(own.values()))


def _inject_text_encoders(pipeline: Any, held: AdapterWeights, adapter_name: str, file: Path) -> list[nn.Module]:
    """Some published adapters tune a text encoder too; the encoders that now carry it.

    Raises:
        InputError: if the pipeline has no such encoder.
    """
    prefixes = {key.partition(".")[0] for key in held.weights} - {"transformer", "unet"}
    tuned = []
    for prefix in sorted(prefixes):
        encoder = getattr(pipeline, prefix, None)
        if encoder is None or not hasattr(pipeline, "load_lora_into_text_encoder"):
            _remove(denoiser_of(pipeline)[1], adapter_name)
            raise InputError(f"{file} has weights for a part {prefix!r}, which this {type(pipeline).__name__} lacks")
        config = dict(held.config) if held.config and any(k.startswith(f"{prefix}.") for k in held.config) else None
        pipeline.load_lora_into_text_encoder(
            dict(held.weights),
            network_alphas=None if config else dict(held.alphas) or None,
            text_encoder=encoder,
            prefix=prefix,
            adapter_name=adapter_name,
            metadata=config,
        )
        if adapter_name not in getattr(encoder, "peft_config", {}):
            _remove(denoiser_of(pipeline)[1], adapter_name)
            raise InputError(f"{file}: its weights for {prefix} did not arrive; was it trained on another base?")
        tuned.append(encoder)
    return tuned


def _verify(network: nn.Module, own: Mapping[str, torch.Tensor], adapter_name: str, file: Path) -> None:
    """Compare what is in the network with what is in the file.

    Raises:
        InputError: if a weight did not arrive; the adapter is taken out again.
    """
    from peft import get_peft_model_state_dict

    loaded = adapter_name in getattr(network, "peft_config", {})
    arrived = get_peft_model_state_dict(network, adapter_name=adapter_name) if loaded else {}
    lost = [key for key, value in own.items() if key not in arrived or not _same(arrived[key], value)]
    if own and not lost:
        return
    _remove(network, adapter_name)
    raise InputError(
        f"{file}: {len(lost)} of {len(own)} weights did not arrive in the {type(network).__name__} "
        f"({', '.join(lost[:3]) or 'none was found'}); was it trained on another base?"
    )


def _same(arrived: torch.Tensor, sent: torch.Tensor) -> bool:
    """Whether a weight is what was in the file; one that is offloaded (on the meta device) shows only its shape."""
    return arrived.shape == sent.shape if arrived.is_meta else torch.equal(arrived.cpu(), sent.to(arrived.dtype))


def _remove(network: nn.Module, adapter_name: str) -> None:
    if adapter_name in getattr(network, "peft_config", {}):
        network.delete_adapters(adapter_name)


def _weights_in_use(network: nn.Module) -> dict[str, float]:
    """Adapter name -> weight, of those that are in effect."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: dict[str, float] = {}
    for module in network.modules():
        if isinstance(module, BaseTunerLayer):
            for name in module.active_adapters:
                if name in module.r:
                    found.setdefault(name, module.scaling[name] * module.r[name] / module.lora_alpha[name])
    return found


def read_card(file: Path) -> AdapterCard:
    """What ``adapter.json``, or else a model card, beside a weights file says.

    Raises:
        InputError: if it is damaged, or the weights are not those that it describes.
    """
    card, header = _read_json(file), card_header(file)
    return AdapterCard(
        path=file,
        licence=str(card.get("licence") or licence_of(header)),
        attribution=tuple(card.get("attribution", ())),
        base=str(card.get("base") or header.get("base_model") or ""),
        base_fingerprint=str(card.get("base_fingerprint", "")),
        classes=tuple(card.get("classes", ())),
        tones=tuple(card.get("tones", ())),
        modality=str(card.get("modality", "")),
        resolution=card.get("resolution"),
        metadata=MappingProxyType(card),
        weights_sha256=_sha256(file),
    )


def _read_json(file: Path) -> dict[str, Any]:
    path = file.parent / CARD
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); restore it, or remove it and the licence is unknown") from error
    if card.get("weights_sha256") != _sha256(file):
        raise InputError(f"{path} describes other weights than {file.name}; keep an adapter's two files together")
    return card


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """JSON for what a fact may be: numbers of numpy, tensors, sets, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
