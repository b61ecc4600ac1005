"""Weights that ship: a folder each with safetensors, configuration and card, checked by SHA-256 when loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from synthderm.core import InputError
from synthderm.core.checks import unknown
from synthderm.core.resources import shipped_folder

from .networks import ResNet, UNet

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_NETWORKS = {"classifier": ResNet, "segmenter": UNet}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded network with what is known of it.

    Attributes:
        name: "derm".
        network: in eval mode, float32.
        config: config.json as it stands: classes, licence, data, seed, training configuration, figures.
        weights_sha256: 64 hexadecimal digits of the weights file.
    """

    name: str
    network: nn.Module
    config: Mapping[str, Any]
    weights_sha256: str


class Classifier(nn.Module):
    """A shipped classifier with its own preprocessing.

    Attributes:
        classes: codes, in the order of the logits.
        licence: SPDX name of the weights' licence.
        weights_sha256: of the weights file.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.network = checkpoint.network
        self.classes: tuple[str, ...] = tuple(checkpoint.config["classes"])
        self.input_size: int = checkpoint.config["input_size"]
        self.licence: str = checkpoint.config["licence"]
        self.weights_sha256 = checkpoint.weights_sha256

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 sRGB to (N, C) logits."""
        return self.network(prepare(images, self.input_size))


class Segmenter(nn.Module):
    """A shipped segmenter with its own preprocessing; attributes as :class:`Classifier`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.network = checkpoint.network
        self.input_size: int = checkpoint.config["input_size"]
        self.licence: str = checkpoint.config["licence"]
        self.weights_sha256 = checkpoint.weights_sha256

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 sRGB to (N, H, W) bool lesion masks."""
        parts = []
        for part in images.split(32):
            logits = self.network(prepare(part, self.input_size))[:, None]
            parts.append(F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0)
        return torch.cat(parts) if parts else torch.empty(0, *images.shape[-2:], dtype=torch.bool)


def prepare(images: torch.Tensor, size: int) -> torch.Tensor:
    """The one preprocessing path of all networks here: centre square, antialiased resize.

    Args:
        images: (N, 3, H, W) uint8, sRGB.
        size: side of the result, px.

    Returns:
        (N, 3, size, size) float32 sRGB 0 to 1.

    Raises:
        InputError: for another shape or type.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise InputError(f"expected (N, 3, H, W) uint8 images, got {tuple(images.shape)} {images.dtype}")
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    x = images[..., top : top + side, left : left + side].float() / 255
    if side == size:
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def checkpoint_names() -> list[str]:
    """Names of the checkpoints that this installation has, sorted."""
    return sorted(path.parent.name for path in shipped_folder("checkpoints").glob(f"*/{CONFIG}"))


def load_checkpoint(name: str) -> Checkpoint:
    """A checkpoint of ``checkpoints/``, by name, or of any folder of that layout, by path.

    Raises:
        InputError: if there is none, it is incomplete, or the weights are not those of the configuration.
    """
    folder = Path(name) if "/" in name else shipped_folder("checkpoints") / name
    if not (folder / CONFIG).is_file():
        raise unknown("checkpoint", name, checkpoint_names())
    from safetensors.torch import load_file

    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if digest != config["weights_sha256"]:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that its config.json names: expected SHA-256 "
            f"{config['weights_sha256'][:16]}..., got {digest[:16]}...; fetch or install it again"
        )
    network = _build(config)
    state = {key: value.float() for key, value in load_file(str(folder / WEIGHTS)).items()}
    missing, surplus = network.load_state_dict(state, strict=False)
    if surplus or any(not key.endswith("num_batches_tracked") for key in missing):  # counters of batch norm, unused
        raise InputError(f"{folder / WEIGHTS} does not fit its network: missing {missing}, not known {surplus}")
    return Checkpoint(config["name"], network.eval(), config, digest)


def _build(config: Mapping[str, Any]) -> nn.Module:
    options = dict(config["network_options"])
    if config["kind"] == "classifier":
        options["num_classes"] = len(config["classes"])
    return _NETWORKS[config["kind"]](**options)


def load_classifier(name: str = "derm") -> Classifier:
    """A shipped classifier: uint8 sRGB images to logits of ``classes``.

    Raises:
        InputError: if there is no such checkpoint or it is no classifier.
    """
    return Classifier(_of_kind(name, "classifier"))


def load_segmenter(name: str = "derm-segmenter") -> Segmenter:
    """A shipped segmenter: uint8 sRGB images to bool lesion masks.

    Raises:
        InputError: if there is no such checkpoint or it is no segmenter.
    """
    return Segmenter(_of_kind(name, "segmenter"))


def _of_kind(name: str, kind: str) -> Checkpoint:
    checkpoint = load_checkpoint(name)
    if checkpoint.config["kind"] != kind:
        raise InputError(f"expected a {kind}, but the checkpoint {name!r} is a {checkpoint.config['kind']}")
    return checkpoint


def save_checkpoint(
    name: str,
    network: nn.Module,
    *,
    kind: str,
    classes: Sequence[str],
    input_size: int,
    licence: str,
    folder: Path | None = None,
    network_options: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write ``name/model.safetensors`` and ``name/config.json``; weights of convolutions as float16.

    Args:
        name: of the folder.
        network: a network of this module's kinds.
        kind: "classifier" or "segmenter".
        classes: codes, in the order of the outputs.
        input_size: side of the images that it was trained on, px.
        licence: SPDX name.
        folder: where; the installation's ``checkpoints`` by default.
        network_options: arguments that build the network again.
        **facts: data, numbers of images, seed, configuration, figures: written as they are.

    Returns:
        The folder.
    """
    from safetensors.torch import save_file

    target = (folder or shipped_folder("checkpoints")) / name
    target.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value.half() if value.ndim > 1 else value).contiguous()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    save_file(state, str(target / WEIGHTS))
    (target / WEIGHTS).chmod(0o644)
    record = {
        "name": name,
        "kind": kind,
        "classes": list(classes),
        "input_size": input_size,
        "licence": licence,
        "network": type(network).__name__,
        "network_options": dict(network_options or {}),
        "parameters": sum(p.numel() for p in network.parameters()),
        "weights_sha256": hashlib.sha256((target / WEIGHTS).read_bytes()).hexdigest(),
        **facts,
    }
    (target / CONFIG).write_text(json.dumps(record, indent=1, default=list) + "\n", encoding="utf-8")
    return target
