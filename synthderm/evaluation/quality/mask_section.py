"""The part of a quality result on masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from synthderm.core import InputError, stream
from synthderm.models.checkpoints import checkpoint_names, load_checkpoint, load_segmenter
from synthderm.training.segmenter import SegmenterConfig

from ..result import LEAST_GROUP
from ..sets import ImageSet
from .columns import Column, images_key
from .fidelity import NETWORK_FOLDS
from .folds import real_folds, synthetic_folds
from .masks import (
    Segment,
    contrast_column,
    dice_column,
    mean_of_known,
    per_class,
    shuffled,
    with_masks,
    without_training_images,
)
from .networks import NetworkStore, segmenter_of_fold, small_images

if TYPE_CHECKING:
    from .subjects import Subjects

NONE = "none"
CONTRAST, SHUFFLED, DICE = "boundary_contrast", "boundary_contrast_shuffled", "dice"


@dataclass
class MaskJudge:
    """What masks are judged with: contrast along their outlines and, if there is one, a segmenter.

    Attributes:
        subjects: the sets of the run.
        real: the real images with masks that the figures stand beside, a sample.
        about: what these are, in words.
        segmenter: JSON values on the segmenter; None without one.
    """

    subjects: Subjects
    real: ImageSet
    about: str
    segmenter: dict[str, Any] | None
    _dice: dict[str, Column]

    @classmethod
    def make(cls, subjects: Subjects) -> MaskJudge:
        """Load or train the segmenter that the options name.

        Raises:
            InputError: if it cannot be loaded, or there are too few real masks to train one on.
        """
        name, real = subjects.options.segmenter, subjects.real
        masked = with_masks(real)
        if name == NONE or not len(with_masks(subjects.synthetic)):
            sample = _sample(real, masked, subjects)
            return cls(subjects, sample, "real images with a mask", None, {})
        if _ships(name):
            chosen, about = without_training_images(real, LEAST_GROUP)
            sample = _sample(real, chosen, subjects)
            return cls(subjects, sample, about, *_shipped(name, subjects.synthetic, sample))
        if len(masked) < 2 * LEAST_GROUP:
            raise InputError(
                f"training a segmenter needs at least {2 * LEAST_GROUP} real images with a lesion mask, but "
                f"{real.name} has {len(masked)}; take a shipped one (--segmenter derm-segmenter), or none"
            )
        sample = _sample(real, masked, subjects)
        about = "real images of lesions or patients that the segmenter has not seen"
        return cls(subjects, sample, about, *_trained(name, sample, subjects))

    def columns(self, synthetic: ImageSet) -> list[Column]:
        """What must be measured on the synthetic images."""
        return self._columns(synthetic, "synthetic")

    def _columns(self, images: ImageSet, role: str) -> list[Column]:
        if not len(with_masks(images)):
            return []
        other = contrast_column(shuffled(images, self.subjects.options.seed))
        columns = [
            contrast_column(images),
            Column(SHUFFLED, f"{other.key} {self.subjects.options.seed}", other.compute),
        ]
        return [*columns, *([self._dice[role]] if role in self._dice else [])]

    def figures(self, measured: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """JSON values of the section.

        Args:
            measured: the columns of the synthetic set.
        """
        synthetic = self.subjects.synthetic
        lacking = len(synthetic) - len(with_masks(synthetic))
        head = {"n": len(synthetic), "without_mask": lacking}
        if lacking == len(synthetic):
            return {**head, "note": f"none of the {lacking} synthetic images has a lesion mask"}
        own = {"real": self.subjects.measure(self.real, self._columns(self.real, "real"), "real_masks")}
        own["synthetic"] = dict(measured)
        sets = {"synthetic": synthetic, "real": self.real}
        result: dict[str, Any] = dict(head)
        if lacking:
            result["note"] = f"{lacking} of {len(synthetic)} synthetic images have no lesion mask and are left out"
        result["without_outline"] = int(np.isnan(measured[CONTRAST]).sum()) - lacking
        for name in (CONTRAST, SHUFFLED, DICE):
            found = {role: mean_of_known(own[role][name], sets[role]) for role in sets if name in own[role]}
            if found:
                result[name] = found
        for name in (CONTRAST, DICE):
            if name in measured:
                result[f"{name}_per_class"] = per_class(measured[name], synthetic)
        return {**result, "unit_of_contrast": "CIEDE2000", "real_images": self.about, "segmenter": self.segmenter}


def _sample(real: ImageSet, chosen: np.ndarray, subjects: Subjects) -> ImageSet:
    """At most so many real images with a mask as the options allow."""
    drawn = stream(subjects.options.seed, "real masks").permutation(chosen)[: subjects.options.most_real_masks]
    return real.subset(np.sort(drawn).tolist())


def _ships(name: str) -> bool:
    return name not in ("small",) and (":" not in name or "/" in name)


def _shipped(name: str, synthetic: ImageSet, real: ImageSet) -> tuple[dict[str, Any], dict[str, Column]]:
    if "/" not in name and name not in checkpoint_names():
        installed = ", ".join(checkpoint_names()) or "none is installed"
        raise InputError(
            f"unknown segmenter {name!r}; expected a checkpoint ({installed}), 'small' or 'module:attr' "
            "(trained here on real masks), or 'none'"
        )
    segment = load_segmenter(name)
    config = load_checkpoint(name).config
    about = {
        "name": config["name"],
        "weights_sha256": segment.weights_sha256,
        "licence": segment.licence,
        "trained_on": config.get("data"),
    }
    columns = {
        role: dice_column(images, DICE, segment.weights_sha256, segment)
        for role, images in (("synthetic", synthetic), ("real", real))
    }
    return about, columns


def _trained(name: str, real: ImageSet, subjects: Subjects) -> tuple[dict[str, Any], dict[str, Column]]:
    """Segmenters of two folds: each judges the fold that it has not seen, and its share of the synthetic images."""
    options = subjects.options
    config = SegmenterConfig(steps=options.segmenter_steps)
    folds = {"real": real_folds(real, NETWORK_FOLDS, options.seed)}
    folds["synthetic"] = synthetic_folds(subjects.synthetic, real, folds["real"])
    images = small_images(real, config.size, options.batch_size)
    masks = small_masks(real, config.size)
    key = f"{name} {config} {options.seed} {images_key(real)}"
    networks = []
    for fold in range(NETWORK_FOLDS):
        others = torch.from_numpy(np.flatnonzero(folds["real"] != fold))
        networks.append(
            segmenter_of_fold(
                name, images[others], masks[others], config, NetworkStore(subjects.folder), f"{key} fold {fold}",
                options.seed + fold, lambda done, total: subjects.report("training the segmenter", done, total),
            )
        )  # fmt: skip
    columns = {
        role: _by_fold(of, f"{key} {images_key(of)}", folds[role], networks)
        for role, of in (("synthetic", subjects.synthetic), ("real", real))
    }
    about = {"name": name, "trained on": f"{real.name}, {len(real)} images", "steps": config.steps}
    return {**about, "size": config.size, "folds by lesion or patient": NETWORK_FOLDS}, columns


def small_masks(images: ImageSet, size: int) -> torch.Tensor:
    """(N, size, size) bool, of a set whose images all have a mask."""
    parts = []
    for i in range(len(images)):
        mask = images.masks([i])[:, None].float()
        side = min(mask.shape[-2:])
        top, left = ((length - side) // 2 for length in mask.shape[-2:])
        square = mask[..., top : top + side, left : left + side]
        parts.append(torch.nn.functional.interpolate(square, (size, size), mode="area")[:, 0] >= 0.5)
    return torch.cat(parts)


def _by_fold(images: ImageSet, key: str, folds: np.ndarray, networks: list[Segment]) -> Column:
    columns = [dice_column(images, DICE, key, network) for network in networks]

    def compute(batch: torch.Tensor, indices: range) -> np.ndarray:
        values = np.full(len(batch), np.nan)
        for fold, column in enumerate(columns):
            of_fold = [place for place, i in enumerate(indices) if folds[i] == fold]
            if of_fold:
                values[of_fold] = column.compute(batch[of_fold], [indices[place] for place in of_fold])
        return values

    return Column(DICE, key, compute)
