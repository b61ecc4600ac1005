"""What makes a comparison worthless: shared lesions, copies of test images, classes that do not match."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import torch

from synthderm.core import InputError
from synthderm.data import Record

_GROUP_COLUMNS = ("source_group", "source_lesion_id", "source_patient_id", "group", "lesion_id", "patient_id")
_IMAGE_COLUMNS = ("source_id", "source_isic_id", "source_image", "source_file")
_NAMED = 3


def check_classes(real: Sequence[str], synthetic: Sequence[str], test: Sequence[str]) -> None:
    """Every class of the synthetic and of the test images must be one that real training images have.

    Raises:
        InputError: naming the classes that are not.
    """
    if len(real) < 2:
        raise InputError(f"expected at least two classes in the real training images, got {', '.join(real) or 'none'}")
    for name, classes in (("synthetic", synthetic), ("test", test)):
        strange = sorted(set(classes) - set(real))
        if strange:
            raise InputError(
                f"expected {name} images of the classes {', '.join(real)}, got also {', '.join(strange)}, which no "
                "real training image has; leave those images out or choose another --label-by"
            )


def group_names(records: Iterable[Record]) -> list[str | None]:
    """Data set and lesion or patient of each record, as "set/group"; None where the set states none."""
    return [None if record.group is None else "/".join(record.group_key) for record in records]


def check_groups(train: Sequence[Record], test: Sequence[Record]) -> None:
    """No lesion or patient may be on both sides.

    Raises:
        InputError: with the number of shared groups and the first of them.
    """
    shared = sorted((set(group_names(train)) & set(group_names(test))) - {None})
    if shared:
        raise InputError(
            f"expected test lesions that no training image shows, got {len(shared)} shared with real-train "
            f"({_first(shared)}); split by lesion or patient (synthderm.data.split_by_group)"
        )


def check_sources(synthetic: Sequence[Record], test: Sequence[Record]) -> None:
    """No synthetic image may be made from a lesion or patient of the test set.

    Raises:
        InputError: with the number of such images and the first of them.
    """
    sources = source_groups(synthetic, test)
    bad = [record.file for record, found in zip(synthetic, sources, strict=True) if found]
    if bad:
        groups = sorted({group for found in sources for group in found})
        raise InputError(
            f"expected synthetic images that owe nothing to the test set, got {len(bad)} made from its lesions "
            f"({_first(bad)}; groups {_first(groups)}); remove them or test on other lesions"
        )


def source_groups(synthetic: Sequence[Record], real: Sequence[Record]) -> list[frozenset[str]]:
    """The real groups that each synthetic image says that it is made from.

    Columns of its row (``source_group``, ``group``, ``lesion_id``, ``patient_id``, ``source_id``, ``source_image`` and
    the like) are looked up among the groups and image ids of ``real``. Where the row states a data set of ``real``
    (``source_dataset`` or ``dataset``), within that one; else in all, for a leak that is missed costs more than a
    name that happens to be the same.

    Returns:
        For each synthetic record the names as of :func:`group_keys`; mostly none.
    """
    groups: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    images: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for record in real:
        key = "/".join(record.group_key)
        for dataset in (None, record.dataset):
            if record.group is not None:
                groups[dataset, record.group].add(key)
            images[dataset, record.source_id or PurePosixPath(record.file).stem].add(key)
    datasets = {record.dataset for record in real}
    found = []
    for record in synthetic:
        row = record.metadata
        stated = row.get("source_dataset") or record.dataset
        dataset = stated if stated in datasets else None
        names = {str(row[column]) for column in _GROUP_COLUMNS if row.get(column)} | {record.group or ""}
        ids = {PurePosixPath(str(row[column])).stem for column in _IMAGE_COLUMNS if row.get(column)}
        hits = [groups.get((dataset, name), ()) for name in names] + [images.get((dataset, name), ()) for name in ids]
        found.append(frozenset().union(*hits))
    return found


def pixel_digests(images: torch.Tensor) -> list[bytes]:
    """A hash of the pixels of each (N, 3, H, W) uint8 image: equal files, in whatever container, have equal ones."""
    return [hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images]


def check_copies(test: Sequence[bytes], others: Sequence[bytes], files: Sequence[str], name: str) -> None:
    """No test image may be among the training images, pixel for pixel.

    Args:
        test: :func:`pixel_digests` of the test images.
        others: those of the training images.
        files: names of the training images.
        name: of the training set, for the error.

    Raises:
        InputError: with the number of copies and the first of them.
    """
    known = set(test)
    copies = [file for digest, file in zip(others, files, strict=True) if digest in known]
    if copies:
        raise InputError(
            f"expected no test image among the {name} images, got {len(copies)} exact copies ({_first(copies)}); "
            "remove them"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
