"""A folder of images as an evaluation needs it: labels, groups, tones, masks, and pixels through one path."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import Record, find_tones, read_dataset
from synthderm.data.records import RealSet

THREADS = 4
LARGEST = 4096


@dataclass(frozen=True)
class ImageSet:
    """Images with everything that an evaluation asks of them. Pixels are read when asked for.

    Attributes:
        name: what results call the set.
        source: the set as it was read.
        records: the images, in the set's order.
        label_by: where the labels come from: "diagnosis", "label" or a column of the set's table.
        classes: the labels that occur, in the order of :data:`~synthderm.core.DIAGNOSES`, others by name.
        size: side that every image is brought to (centre square, antialiased), px; None: left as it is.
        other_labels: label -> images that were left out because it is none that ``label_by`` knows.
    """

    name: str
    source: RealSet
    records: tuple[Record, ...]
    label_by: str
    classes: tuple[str, ...]
    size: int | None
    other_labels: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def path(self) -> Path:
        """The folder or zip file."""
        return self.source.tree.path

    @cached_property
    def label_names(self) -> list[str]:
        """The label of each image."""
        return [label_of(record, self.label_by) for record in self.records]

    @cached_property
    def labels(self) -> torch.Tensor:
        """(N,) int64 indices into :attr:`classes`."""
        return self.labels_in(self.classes)

    def labels_in(self, classes: Sequence[str]) -> torch.Tensor:
        """(N,) int64 indices into a list of classes that another set dictates.

        Raises:
            InputError: if the set has labels that are not in the list.
        """
        place = {name: i for i, name in enumerate(classes)}
        strange = Counter(name for name in self.label_names if name not in place)
        if strange:
            raise InputError(
                f"{self.name} holds classes that the other set does not: {_listed(strange)}; expected only "
                f"{', '.join(classes)}. Leave these images out, or choose other labels with --label-by"
            )
        return torch.tensor([place[name] for name in self.label_names], dtype=torch.int64)

    @cached_property
    def groups(self) -> list[str]:
        """Lesion or patient of each image as "dataset/group"; an image without one is a group of its own."""
        return ["/".join(record.group_key) for record in self.records]

    @property
    def fst(self) -> list[int | None]:
        """Skin type 1 to 6 that each image counts as, or None."""
        return [record.fst for record in self.records]

    @cached_property
    def file_digests(self) -> list[str]:
        """SHA-256 of each image file."""
        return self._each(self._file_digest, range(len(self)))

    @cached_property
    def digest(self) -> str:
        """First 16 digits of the SHA-256 over the sorted hashes of the files with their labels."""
        lines = sorted(f"{d} {n}" for d, n in zip(self.file_digests, self.label_names, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    @cached_property
    def image_sizes(self) -> Counter[tuple[int, int]]:
        """(width, height) of the files, px -> how many have it; only headers are read."""
        return Counter(self._each(self._header_size, range(len(self))))

    def images(self, indices: Sequence[int] | None = None) -> torch.Tensor:
        """Pixels.

        Args:
            indices: which images; all by default.

        Returns:
            (M, 3, size, size) uint8, sRGB; (M, 3, H, W) with ``size=None``.

        Raises:
            InputError: if a file cannot be read, or sizes differ with ``size=None``.
        """
        wanted = range(len(self)) if indices is None else indices
        found = self._each(self._image, wanted)
        shapes = Counter(image.shape for image in found)
        if len(shapes) > 1:
            raise self._mixed(Counter({(s[2], s[1]): n for s, n in shapes.items()}))
        return torch.stack(found) if found else torch.empty(0, 3, self.size or 0, self.size or 0, dtype=torch.uint8)

    def batches(self, batch_size: int = 64) -> Iterator[torch.Tensor]:
        """All images in order, ``batch_size`` at a time, so that memory does not grow with the set."""
        for start in range(0, len(self), batch_size):
            yield self.images(range(start, min(start + batch_size, len(self))))

    def masks(self, indices: Sequence[int] | None = None) -> torch.Tensor:
        """(M, size, size) bool lesion masks, through the same crop and size as the images.

        Raises:
            InputError: if an image has no mask, naming the first and counting the rest.
        """
        wanted = range(len(self)) if indices is None else indices
        self.require_masks(wanted)
        found = self._each(self._mask, wanted)
        return torch.stack(found) if found else torch.empty(0, self.size or 0, self.size or 0, dtype=torch.bool)

    def require_masks(self, indices: Sequence[int] | None = None) -> None:
        """Raise InputError if an image has no lesion mask."""
        wanted = range(len(self)) if indices is None else indices
        lacking = [self.records[i].file for i in wanted if self.records[i].mask is None]
        if lacking:
            raise InputError(
                f"{len(lacking)} of {len(wanted)} images of {self.name} have no lesion mask, the first is "
                f"{lacking[0]}; expected a mask for each. Leave these images out or add their masks"
            )

    def subset(self, indices: Sequence[int], name: str | None = None) -> ImageSet:
        """The set of some of the images, with the same classes."""
        return replace(self, name=name or self.name, records=tuple(self.records[i] for i in indices))

    def describe(self) -> dict[str, Any]:
        """JSON values for the head of a result: what the set is, how large, from which files."""
        return {
            "name": self.name,
            "path": self.path.name,
            "reader": self.source.reader,
            "digest": self.digest,
            "n": len(self),
            "groups": len(set(self.groups)),
            "label_by": self.label_by,
            "classes": dict(Counter(self.label_names)),
            "fst": {str(k): v for k, v in sorted(Counter(self.fst).items(), key=str)},
            "tone_sources": dict(Counter(record.tone_source for record in self.records)),
            "licences": dict(Counter(str(record.licence) for record in self.records)),
            "with_mask": sum(record.mask is not None for record in self.records),
            "image_sizes": {f"{w} x {h}": n for (w, h), n in self.image_sizes.most_common(5)},
            "size": self.size,
            "left_out": len(self.source.left_out),
            "other_labels": dict(self.other_labels),
        }

    def _each(self, function: Callable[[int], Any], indices: Sequence[int]) -> list[Any]:
        if len(indices) < 2:
            return [function(i) for i in indices]
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(function, indices))

    def _file_digest(self, index: int) -> str:
        with self.source.tree.open(self.records[index].file) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _header_size(self, index: int) -> tuple[int, int]:
        record = self.records[index]
        with self.source.tree.open(record.file) as file, Image.open(file) as image:
            return image.size

    def _image(self, index: int) -> torch.Tensor:
        image = self.source.open_image(self.records[index])
        if self.size is not None:
            image = to_square(image, self.size)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def _mask(self, index: int) -> torch.Tensor:
        record = self.records[index]
        with self.source.tree.open(record.file) as file, Image.open(file) as image:
            size = image.size
        mask = self.source.open_mask(record, size)
        if mask is None:
            raise InputError(f"{record.file} of {self.name} has no lesion mask")
        if self.size is None:
            return torch.from_numpy(mask)
        grey = Image.fromarray(mask.astype(np.uint8) * 255)
        return torch.from_numpy(np.asarray(to_square(grey, self.size, Image.Resampling.BOX)) >= 128)

    def _mixed(self, sizes: Counter[tuple[int, int]]) -> InputError:
        shown = ", ".join(f"{w} x {h} px ({n})" for (w, h), n in sizes.most_common(3))
        more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
        return InputError(
            f"the images of {self.name} differ in size: {shown}{more}; expected one size. "
            "Give --size, and every image goes through the same centre crop and antialiased resize"
        )


def open_set(
    path: str | Path | RealSet,
    *,
    size: int | None = None,
    label_by: str = "diagnosis",
    split: str | None = None,
    where: Mapping[str, str] | None = None,
    name: str | None = None,
    need_masks: bool = False,
    tone_from: str = "auto",
    leave_out_others: bool = False,
) -> ImageSet:
    """Read a set for an evaluation.

    Args:
        path: folder or zip file of any layout that :func:`~synthderm.data.read_dataset` knows, or a set read before.
        size: side that every image is brought to (centre square, antialiased), px, 16 to 4096; None leaves them, and
            they must then be of one size.
        label_by: "diagnosis" (the seven codes), "label" (as found), "diagnosis or label" (as found where it is none of
            the seven) or a column of the set's table.
        split: only this split of the set.
        where: column -> value; only these rows. Fields of :class:`~synthderm.data.Record` count as columns.
        name: what results call it; the folder's name by default.
        need_masks: refuse a set in which an image has no lesion mask.
        tone_from: as for :func:`~synthderm.data.read_dataset`; the tones of a set that was read before stay.
        leave_out_others: leave images out whose label is none that ``label_by`` knows, and count them in
            ``other_labels``; otherwise they are an error.

    Raises:
        InputError: if the set cannot be read, holds nothing that fits, has unusable labels, mixed sizes without
            ``size``, or lacks masks that are needed.
    """
    source = path if isinstance(path, RealSet) else read_dataset(path, check_images="header", tone_from="stated")
    name = name or source.tree.path.name
    if size is not None and not 16 <= size <= LARGEST:
        raise InputError(f"size must be between 16 and {LARGEST} px, but got {size}")
    records = _chosen(source, name, split, where or {})
    others = Counter(record.label for record in records if not label_of(record, label_by))
    if leave_out_others and others.total() < len(records):
        records = tuple(record for record in records if label_of(record, label_by))
    labels = _labels(records, name, label_by)
    if not isinstance(path, RealSet) and tone_from != "stated":
        records = find_tones(source, records, tone_from)
    found = ImageSet(name, source, records, label_by, ordered_classes(labels), size, dict(others))
    if size is None and len(found.image_sizes) > 1:
        raise found._mixed(found.image_sizes)
    if need_masks:
        found.require_masks()
    return found


def label_of(record: Record, label_by: str) -> str:
    """The label of a record: its diagnosis, its label as found, or a column of its row; "" if it has none."""
    if label_by == "diagnosis or label":
        return record.diagnosis or record.label
    if label_by in ("diagnosis", "label"):
        return getattr(record, label_by) or ""
    value = record.metadata.get(label_by)
    return "" if value is None else str(value)


def ordered_classes(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that occur: diagnoses in the library's order, then others by name."""
    found = set(labels)
    return (*(code for code in DIAGNOSES if code in found), *sorted(found - set(DIAGNOSES)))


def require_one_size(*sets: ImageSet) -> None:
    """Refuse sets whose files differ in size where no common size is given.

    Raises:
        InputError: naming the sizes.
    """
    if all(images.size is not None for images in sets):
        return
    sizes = {images.name: images.image_sizes.most_common(1)[0][0] for images in sets}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {w} x {h} px" for name, (w, h) in sizes.items())
        raise InputError(
            f"the sets differ in image size: {shown}; resampling one of them changes what is measured. Give --size, "
            "and all images go through the same centre crop and antialiased resize"
        )


def to_square(image: Image.Image, size: int, filter: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """The centre square of an image, brought to ``size`` px with antialiasing."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if (width, height) == (size, size):
        return image
    return image.resize((size, size), filter, box=(left, top, left + side, top + side))


def _chosen(source: RealSet, name: str, split: str | None, where: Mapping[str, str]) -> tuple[Record, ...]:
    kept = [record for record in source if split is None or record.split == split]
    if not kept:
        has = ", ".join(sorted({str(record.split) for record in source})) or "no images"
        wanted = "any image" if split is None else f"the split {split!r}"
        raise InputError(f"{name} does not hold {wanted}; it has: {has}")
    for column, value in where.items():
        values = Counter(_column(record, column) for record in kept)
        kept = [record for record in kept if _column(record, column) == value]
        if not kept:
            raise InputError(f"{name} has no image with {column} = {value!r}; it has: {_listed(values)}")
    return tuple(kept)


def _column(record: Record, column: str) -> str:
    value = getattr(record, column, None) if column in Record.__dataclass_fields__ else record.metadata.get(column)
    return str(value)


def _labels(records: Sequence[Record], name: str, label_by: str) -> list[str]:
    labels = [label_of(record, label_by) for record in records]
    lacking = Counter(record.label for record, label in zip(records, labels, strict=True) if not label)
    if lacking:
        hint = "; use --label-by label to take the labels as they are" if label_by == "diagnosis" else ""
        raise InputError(
            f"{sum(lacking.values())} of {len(records)} images of {name} have no {label_by}; their labels are: "
            f"{_listed(lacking)}{hint}"
        )
    return labels


def _listed(counts: Mapping[Any, int], most: int = 5) -> str:
    shown = [f"{key!r} ({n})" for key, n in Counter(counts).most_common(most)]
    return ", ".join(shown) + (f" and {len(counts) - most} more" if len(counts) > most else "")
