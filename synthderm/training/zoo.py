"""Classifiers and segmenters by name: the compact ones here, timm's, transformers', anybody's."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import nn

from synthderm.core import InputError, MissingExtraError
from synthderm.models.networks import ResNet, UNet

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Standardised(nn.Module):
    """A network for standardised images as one for sRGB values 0 to 1."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) float sRGB 0 to 1 to (N, C) logits."""
        found = self.network((x - self.mean) / self.deviation)
        return getattr(found, "logits", found)


def make_classifier(name: str, num_classes: int) -> nn.Module:
    """A network (N, 3, S, S) float sRGB 0 to 1 -> (N, num_classes) logits.

    Args:
        name: "small" (random weights), "timm:NAME" (random weights, for a download is nothing to do behind a
            user's back), "transformers:FOLDER" (a local folder with its weights), or "module:attr": an object that is
            called with ``num_classes`` and returns the network.
        num_classes: number of classes.

    Raises:
        MissingExtraError: if the package is not installed.
        InputError: if the name cannot be used.
    """
    kind, _, rest = name.partition(":")
    if name == "small":
        return ResNet(num_classes, widths=(16, 32, 64, 128), depths=(1, 1, 1))
    if kind == "timm":
        return _from_timm(rest, num_classes)
    if kind == "transformers":
        return _from_transformers(rest, num_classes)
    return find_attribute(name, "classifier", ("small", "timm:NAME", "transformers:FOLDER"))(num_classes)


def make_segmenter(name: str) -> nn.Module:
    """A network (N, 3, S, S) float sRGB 0 to 1 -> (N, S, S) logits: "small" or "module:attr".

    Raises:
        InputError: if the name cannot be used.
    """
    return UNet() if name == "small" else find_attribute(name, "segmenter", ("small",))()


def find_attribute(name: str, kind: str, known: tuple[str, ...]) -> object:
    """The object that "module:attr" names.

    Raises:
        InputError: if there is no such module or attribute.
    """
    module, _, attribute = name.partition(":")
    if not attribute:
        raise InputError(f"unknown {kind} {name!r}; expected one of: {', '.join((*known, 'module:attr'))}")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load the {kind} {name!r}: {error}") from error


def _from_timm(name: str, num_classes: int) -> nn.Module:
    try:
        import timm
    except Exception as error:  # timm needs torchvision, which fails in many ways where it does not fit torch
        raise MissingExtraError("timm, with a torchvision that fits torch", "timm") from error
    try:
        network = timm.create_model(name, pretrained=False, num_classes=num_classes)
    except RuntimeError as error:
        raise InputError(f"timm has no model {name!r}: {error}") from error
    return Standardised(network, IMAGENET_MEAN, IMAGENET_DEVIATION)


def _from_transformers(folder: str, num_classes: int) -> nn.Module:
    from transformers import AutoModelForImageClassification

    try:
        network = AutoModelForImageClassification.from_pretrained(
            folder, num_labels=num_classes, ignore_mismatched_sizes=True, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load a classifier from the folder {folder}: {error}") from error
    return Standardised(network, IMAGENET_MEAN, IMAGENET_DEVIATION)
