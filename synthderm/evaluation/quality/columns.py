"""One pass over a set's images: everything that is measured per image, kept for the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from synthderm.core import InputError
from synthderm.data import write_atomic
from synthderm.models.features import FeatureExtractor

from ..sets import ImageSet

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""

CACHE = "features.safetensors"


@dataclass(frozen=True)
class Column:
    """Something that is measured on each image.

    Attributes:
        name: of the column.
        key: what it depends on beside the images (the hash of weights, a version of the method).
        compute: ((M, 3, H, W) uint8 images, their M indices in the set) -> (M, ...) array.
    """

    name: str
    key: str
    compute: Callable[[torch.Tensor, Sequence[int]], np.ndarray]


class ColumnCache:
    """The columns of earlier runs, in one file; a column counts only for the same files, size and method.

    Args:
        folder: the folder of the results; the file is ``features.safetensors``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / CACHE
        self._kept: dict[str, np.ndarray] = {}
        self._keys: dict[str, str] = {}
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            with safe_open(self.path, framework="numpy") as file:
                self._keys = dict(file.metadata() or {})
                self._kept = {name: file.get_tensor(name) for name in file.keys() if name in self._keys}
        except (SafetensorError, OSError) as error:
            raise InputError(f"cannot read {self.path}: {error}; delete it, it is then made again") from error

    def get(self, name: str, key: str) -> np.ndarray | None:
        """A column, if it was measured under the same key."""
        return self._kept.get(name) if self._keys.get(name) == key else None

    def put(self, columns: Mapping[str, tuple[str, np.ndarray]]) -> None:
        """Keep columns, name -> (key, values), beside the ones that are there."""
        for name, (key, values) in columns.items():
            self._kept[name], self._keys[name] = np.ascontiguousarray(values), key
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, save(self._kept, metadata=self._keys))


def images_key(images: ImageSet) -> str:
    """SHA-256 of the files in their order, with the size that they are brought to."""
    return hashlib.sha256("\n".join([str(images.size), *images.file_digests]).encode()).hexdigest()


def feature_column(extractor: FeatureExtractor) -> Column:
    """The features of an extractor, (N, num_features) float32."""
    return Column(
        "features",
        f"{extractor.name} {extractor.weights_sha256} {extractor.num_features}",
        lambda images, indices: extractor(images).cpu().numpy(),
    )


def measure(
    images: ImageSet,
    columns: Sequence[Column],
    cache: ColumnCache,
    role: str,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Measure columns in one pass over the images, ``batch_size`` at a time; none if all are kept from before.

    Args:
        images: the set.
        columns: what to measure.
        cache: gives what is known, takes what is new.
        role: "synthetic" or "real"; names the columns in the cache.
        batch_size: images in memory at a time; the result does not depend on it.
        progress: called after each batch.

    Returns:
        Column name -> (N, ...) array.

    Raises:
        InputError: if an image cannot be read, or a feature is not a finite number.
    """
    place = images_key(images)
    keys = {column.name: f"{place} {column.key}" for column in columns}
    found = {column.name: cache.get(f"{role}.{column.name}", keys[column.name]) for column in columns}
    missing = [column for column in columns if found[column.name] is None]
    if missing:
        fresh = _one_pass(images, missing, batch_size, progress)
        cache.put({f"{role}.{name}": (keys[name], values) for name, values in fresh.items()})
        found.update(fresh)
    return found


def _one_pass(
    images: ImageSet, columns: Sequence[Column], batch_size: int, progress: Progress | None
) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {column.name: [] for column in columns}
    done = 0
    for batch in images.batches(batch_size):
        indices = range(done, done + len(batch))
        for column in columns:
            part = column.compute(batch, indices)
            if column.name == "features":
                _require_finite(part, images, done)
            parts[column.name].append(part)
        done += len(batch)
        if progress is not None:
            progress(done, len(images))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _require_finite(features: np.ndarray, images: ImageSet, start: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(features).reshape(len(features), -1).all(1))
    if len(wrong):
        raise InputError(
            f"the extractor gave features that are not finite numbers for {images.records[start + wrong[0]].file} of "
            f"{images.name}; a distance of such features means nothing. Check the image and the extractor's weights"
        )
