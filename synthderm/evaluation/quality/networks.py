"""Classifiers and segmenters trained here on parts of the real set, kept for the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import nn

from synthderm.core import InputError
from synthderm.data import write_atomic
from synthderm.training.classifier import ClassifierConfig, predict, train_classifier
from synthderm.training.segmenter import SegmenterConfig, predict_masks, train_segmenter
from synthderm.training.zoo import make_classifier, make_segmenter

from ..sets import ImageSet
from .fidelity import Fit, Recogniser

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class NetworkStore:
    """Trained networks in the folder of the results, one file for each; the name tells what went in.

    Attributes:
        folder: made if it is not there.
    """

    folder: Path

    def get(self, network: nn.Module, key: str, train: Callable[[nn.Module], nn.Module]) -> nn.Module:
        """``network`` with the weights that are kept under ``key``, or trained now.

        Args:
            network: fresh, of the kind that the key stands for.
            key: all that the weights depend on.
            train: trains it in place and returns it in eval mode.

        Raises:
            InputError: if the weights that are kept do not fit the network.
        """
        path = self.folder / f"network_{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        if path.is_file():
            try:
                network.load_state_dict(load_file(str(path)))
            except Exception as error:
                raise InputError(f"cannot use the weights in {path}; delete it, it is then trained again") from error
            return network.eval()
        trained = train(network)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, save({name: value.contiguous() for name, value in trained.state_dict().items()}))
        return trained


def small_images(images: ImageSet, size: int, batch_size: int = 64) -> torch.Tensor:
    """All images of a set at a side that a small network sees: (N, 3, size, size) uint8, antialiased.

    Takes 12 kB for each image of 64 px.
    """
    return torch.cat([_shrink(batch, size) for batch in images.batches(batch_size)])


def _shrink(batch: torch.Tensor, size: int) -> torch.Tensor:
    side = min(batch.shape[-2:])
    top, left = ((length - side) // 2 for length in batch.shape[-2:])
    x = batch[..., top : top + side, left : left + side].float()
    x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return x.round().clamp(0, 255).to(torch.uint8)


def network_fit(
    name: str,
    images: dict[str, torch.Tensor],
    labels: np.ndarray,
    num_classes: int,
    config: ClassifierConfig,
    store: NetworkStore,
    key: str,
    seed: int,
    progress: Progress | None = None,
) -> Fit:
    """Networks trained from scratch; every class is drawn as often as the most frequent one.

    Args:
        name: see :func:`~synthderm.training.zoo.make_classifier`.
        images: role -> (N, 3, S, S) uint8.
        labels: of the real images.
        num_classes: C.
        config: how they are trained.
        store: keeps them.
        key: what they depend on beside ``name``, ``config``, ``seed`` and the fold: the files and labels.
        seed: of first weights, order and augmentation.
        progress: called after each step.
    """

    def fit(chosen: np.ndarray, fold: int) -> Recogniser:
        torch.manual_seed(seed + fold)
        network = make_classifier(name, num_classes)
        places, kept = even_pool(labels[chosen]), torch.from_numpy(chosen)
        network = store.get(
            network,
            f"classifier {name} {config} {key} {seed} fold {fold}",
            lambda fresh: train_classifier(
                fresh,
                images["real"][kept],
                torch.from_numpy(labels[chosen]),
                config,
                seed + fold,
                places,
                None,
                progress,
            ),
        )
        return lambda role, indices: (
            predict(network, images[role][torch.from_numpy(indices)], size=config.size).argmax(1).numpy()
        )

    return fit


def even_pool(labels: np.ndarray) -> torch.Tensor:
    """Indices in which every class stands as often as the most frequent one; (M,) int64."""
    most = int(np.bincount(labels).max())
    parts = [np.resize(np.flatnonzero(labels == c), most) for c in np.unique(labels)]
    return torch.from_numpy(np.concatenate(parts))


def segmenter_of_fold(
    name: str,
    images: torch.Tensor,
    masks: torch.Tensor,
    config: SegmenterConfig,
    store: NetworkStore,
    key: str,
    seed: int,
    progress: Progress | None = None,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A segmenter trained on real masks: (N, 3, H, W) uint8 to (N, H, W) bool.

    Args:
        name: see :func:`~synthderm.training.zoo.make_segmenter`.
        images: (N, 3, S, S) uint8.
        masks: (N, S, S) bool.
        config: how it is trained.
        store: keeps it.
        key: what it depends on beside ``name``, ``config`` and ``seed``.
        seed: of first weights, order and augmentation.
        progress: called after each step.
    """
    torch.manual_seed(seed)
    network = store.get(
        make_segmenter(name),
        f"segmenter {name} {config} {key} {seed}",
        lambda fresh: train_segmenter(fresh, images, masks, config, seed, None, progress),
    )
    return lambda batch: predict_masks(network, batch, config.size)
