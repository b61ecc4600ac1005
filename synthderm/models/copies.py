"""A fitted detector of copies: what it keeps of the training images, and the threshold set on other real images."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.functional.alignment import (
    Basis,
    aligned_scores,
    best_views,
    fit_basis,
    grey_thumbnails,
    query_descriptors,
    view_descriptors,
)
from synthderm.functional.phash import dihedral_hashes, nearest_hash, perceptual_hash

Batches = torch.Tensor | Iterable[torch.Tensor]
"""(N, 3, H, W) uint8 sRGB images at once, or several such batches in turn."""

CANDIDATES = 20
"""Training images whose detail is compared with that of a query."""

USUAL_WEIGHT = 0.6
"""How much of a query's usual correlation is taken off its best one; see :meth:`CopyDetector.score`."""

_BLOCK = 128
_FIT_LIMIT = 4000
_FORMAT = "synthderm copy detector 1"


@dataclass(frozen=True)
class CopyScores:
    """What a detector says of N images.

    Attributes:
        scores: (N,) float64, about -0.5 to 1; higher is more alike. See :meth:`CopyDetector.score`.
        nearest: (N,) int64, the training image with that score.
        is_copy: (N,) bool, the score is above the threshold; all False for a detector without one.
        hash_distances: (N,) int64, 0 to 64: Hamming distance to the nearest perceptual hash, over turns and flips.
        hash_nearest: (N,) int64, the training image with that hash.
    """

    scores: np.ndarray
    nearest: np.ndarray
    is_copy: np.ndarray
    hash_distances: np.ndarray
    hash_nearest: np.ndarray


def upper_threshold(scores: np.ndarray, rate: float, what: str = "hold-out images") -> float:
    """The score that no more than a share ``rate`` of further images like these exceeds, on average.

    The k-th largest of n scores with k = floor(rate (n + 1)): the chance that one more exchangeable score lies above
    it is at most k / (n + 1) (split conformal prediction, Vovk et al. 2005). With n scores no rate below 1 / (n + 1)
    can be set.

    Args:
        scores: (n,) of images that are no copies; copies among them make the threshold higher, never lower.
        rate: false-alarm rate, 0 to 1.
        what: how the error calls the images.

    Raises:
        InputError: if there are too few scores, or the rate is no share.
    """
    if not 0 < rate < 1:
        raise InputError(f"the false-alarm rate must be between 0 and 1, but got {rate:g}; 0.01 is usual")
    rank = math.floor(rate * (len(scores) + 1) + 1e-9)
    if rank < 1:
        raise InputError(
            f"a false-alarm rate of {rate:g} needs at least {math.ceil(1 / rate - 1e-9) - 1} {what}, but there are "
            f"{len(scores)}; give more of them, or a rate of {1 / (len(scores) + 1):.2g} or more"
        )
    return float(np.sort(np.asarray(scores, np.float64))[-rank])


@dataclass(frozen=True)
class CopyDetector:
    """Finds images that are training images re-encoded, recoloured, blurred, flipped, quarter-turned or cropped.

    The method is that of :mod:`synthderm.functional.alignment`; nothing is learnt but a whitening, so that it needs no
    network. The threshold is never absolute: it is set on real images that are not among the training images.

    Keep in mind that the detector holds a grey 64 px thumbnail of every training image, also in its file: what may be
    done with them holds for the file.

    Attributes:
        thumbs: (M, 64, 64) uint8 of the training images.
        hashes: (M, 64) bool, their perceptual hashes.
        basis: the whitening.
        threshold: above it an image counts as a copy; None before :meth:`calibrated`.
        false_alarm_rate: what the threshold was set for.
        hold_out_n: how many images it was set on.
        hash_threshold: Hamming distance below which the hash alone would speak of a copy, at the same rate.
    """

    thumbs: torch.Tensor
    hashes: np.ndarray
    basis: Basis
    threshold: float | None = None
    false_alarm_rate: float | None = None
    hold_out_n: int = 0
    hash_threshold: int | None = None
    _kept: dict[str, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, train: Batches, hold_out: Batches | None = None, false_alarm_rate: float = 0.01) -> CopyDetector:
        """Keep what is needed of the training images, and set the threshold on the hold-out images.

        Args:
            train: the images that must not be copied. About 9 kB of memory each, whatever their size.
            hold_out: real images of other lesions or patients, at least ``1 / false_alarm_rate - 1``; without them the
                detector gives scores, but calls nothing a copy.
            false_alarm_rate: share of such images that may be called copies.

        Raises:
            InputError: for fewer than two training images or too few hold-out images.
        """
        thumbs, hashes = [], []
        for batch in _batches(train):
            thumbs.append(grey_thumbnails(batch))
            hashes.append(perceptual_hash(batch))
        kept = torch.cat(thumbs) if thumbs else torch.empty(0, 64, 64, dtype=torch.uint8)
        basis = fit_basis(kept[:: math.ceil(len(kept) / _FIT_LIMIT) or 1])
        found = cls(kept, np.concatenate(hashes), basis)
        return found if hold_out is None else found.calibrated(found.score(hold_out), false_alarm_rate)

    def calibrated(self, hold_out: CopyScores, false_alarm_rate: float = 0.01) -> CopyDetector:
        """The same detector with the threshold that hold-out scores give; see :func:`upper_threshold`."""
        return CopyDetector(
            self.thumbs,
            self.hashes,
            self.basis,
            upper_threshold(hold_out.scores, false_alarm_rate),
            false_alarm_rate,
            len(hold_out.scores),
            -int(upper_threshold(-hold_out.hash_distances, false_alarm_rate)),
            self._kept,
        )

    def subset(self, indices: Sequence[int]) -> CopyDetector:
        """The detector of some of the training images, without a threshold."""
        rows = torch.as_tensor(np.asarray(indices, np.int64))
        kept = {name: values[rows] for name, values in self._kept.items()}
        return CopyDetector(self.thumbs[rows], self.hashes[rows.numpy()], self.basis, _kept=kept)

    @cached_property
    def _views(self) -> torch.Tensor:
        if "views" not in self._kept:
            self._kept["views"] = view_descriptors(self.thumbs, self.basis)
        return self._kept["views"]

    def score(self, images: Batches) -> CopyScores:
        """Scores of images, with the nearest training image of each.

        The score is the highest correlation of detail among the candidates, less 0.6 times their lower quartile: a
        plain dark blob correlates a little with every other one, a copy with its original alone (the calibration by
        neighbours of Carlini et al. 2023, section 4.2). It is the lower quartile, so that a training set that holds an
        image several times does not hide its copies.

        Args:
            images: batches of uint8 sRGB images; memory does not grow with their number.
        """
        parts = []
        for batch in _batches(images):
            for part in batch.split(_BLOCK):
                scores, rows = self._aligned(grey_thumbnails(part))
                distances, near = nearest_hash(dihedral_hashes(part), self.hashes)
                parts.append((scores, rows, distances, near))
        if not parts:
            parts = [(np.empty(0), *(np.empty(0, np.int64) for _ in range(3)))]
        scores, rows, distances, near = (np.concatenate(column) for column in zip(*parts, strict=True))
        above = scores > (math.inf if self.threshold is None else self.threshold)
        return CopyScores(scores, rows, above, distances, near)

    def _aligned(self, thumbs: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Score and nearest training image of (n, 64, 64) uint8 thumbnails."""
        queries = query_descriptors(thumbs, self.basis)
        rows = best_views(queries, self._views, min(CANDIDATES, len(self.thumbs)))[1]
        n, k = rows.shape
        similar = torch.einsum("nkvd,ned->nkve", self._views[rows].float(), queries).flatten(2).argmax(2)
        views, turns = similar.div(queries.shape[1], rounding_mode="floor"), similar % queries.shape[1]
        repeated = thumbs.repeat_interleave(k, 0)
        scores = aligned_scores(repeated, turns.flatten(), self.thumbs[rows.flatten()], views.flatten()).view(n, k)
        best, place = scores.max(1)
        best = best - USUAL_WEIGHT * scores.quantile(0.25, 1)
        return best.double().numpy(), rows.gather(1, place[:, None])[:, 0].numpy()

    def save(self, path: str | Path) -> Path:
        """Write the detector as one safetensors file.

        Raises:
            InputError: if the file cannot be written.
        """
        facts = {
            "threshold": self.threshold,
            "false_alarm_rate": self.false_alarm_rate,
            "hold_out_n": self.hold_out_n,
            "hash_threshold": self.hash_threshold,
        }
        tensors = {
            "thumbs": self.thumbs.contiguous(),
            "hashes": torch.from_numpy(np.ascontiguousarray(self.hashes)),
            "mean": self.basis.mean.contiguous(),
            "projection": self.basis.projection.contiguous(),
        }
        return write_facts(path, _FORMAT, tensors, facts)

    @classmethod
    def load(cls, path: str | Path) -> CopyDetector:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: if it is no such file.
        """
        tensors, facts = read_facts(path, _FORMAT, "copy detector; expected a file that CopyDetector.save wrote")
        basis = Basis(tensors["mean"], tensors["projection"])
        return cls(tensors["thumbs"], tensors["hashes"].numpy(), basis, **facts)


def write_facts(path: str | Path, form: str, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> Path:
    """Write tensors and facts as a safetensors file that names its form; :func:`read_facts` reads it.

    Raises:
        InputError: if it cannot be written.
    """
    from safetensors.torch import save_file

    try:
        save_file(tensors, str(path), {"format": form, "facts": json.dumps(facts)})
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return Path(path)


def read_facts(path: str | Path, form: str, what: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and facts of a safetensors file of one form.

    Args:
        path: the file.
        form: what its header must name as its format.
        what: the end of the error "... is no ...".

    Raises:
        InputError: if it cannot be read or is of another form.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != form:
                raise InputError(f"{path} is no {what}")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["facts"])
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _batches(images: Batches) -> Iterator[torch.Tensor]:
    return iter((images,)) if isinstance(images, torch.Tensor) else iter(images)
