"""A torch data set over any folder or zip file that the readers know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from synthderm.core import DIAGNOSES, InputError

from .readers import read_dataset
from .records import RealSet, require_records

Item = dict[str, Any]


class FolderDataset(Dataset[Item]):
    """Images with masks and labels as dicts, for a training loop.

    Each item holds:

    - ``image``: (3, H, W) uint8, sRGB.
    - ``mask``: (H, W) bool, the lesion; None where there is none, or with ``with_masks=False``.
    - ``label``: index of the diagnosis in ``classes``; -1 for a label that is none of the seven.
    - ``diagnosis``: its code or None; ``fst``: skin type 1 to 6 or None.
    - ``group``: "set/lesion or patient"; a split must not part it.
    - ``is_synthetic``: bool.
    - ``metadata``: dict with the row as found, and ``file``, ``dataset``, ``split``, ``tone_source``.

    Attributes:
        classes: the seven codes, in the order of the label indices.
        records: the records in the order of the items.
    """

    classes: tuple[str, ...] = tuple(DIAGNOSES)

    def __init__(
        self,
        path: str | Path | RealSet,
        split: str | None = None,
        transform: Callable[[Item], Item] | None = None,
        with_masks: bool = True,
        **options: Any,
    ) -> None:
        """Read the set's table; images are opened when asked for.

        Args:
            path: folder or zip file, or a set that was read before.
            split: take only the records of this split.
            transform: called with each item; what it returns is the item.
            with_masks: read the masks.
            **options: of :func:`~synthderm.data.read_dataset`. By default the images' headers are checked,
                and tones are taken from columns but not measured (``tone_from="auto"`` measures them).

        Raises:
            InputError: if the set cannot be read, has no such split, or no images at all.
        """
        if isinstance(path, RealSet):
            self.source = path
        else:
            self.source = read_dataset(path, **{"check_images": "header", "tone_from": "stated", **options})
        require_records(self.source, "load")
        self.records = tuple(r for r in self.source if split is None or r.split == split)
        if not self.records:
            splits = sorted({str(record.split) for record in self.source})
            raise InputError(f"{self.source.tree.path} has no split {split!r}; it has {', '.join(splits)}")
        self.transform = transform
        self.with_masks = with_masks

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Item:
        record = self.records[index]
        image = self.source.open_image(record)
        mask = self.source.open_mask(record, image.size) if self.with_masks else None
        item: Item = {
            "image": torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(),
            "mask": None if mask is None else torch.from_numpy(mask),
            "label": -1 if record.diagnosis is None else self.classes.index(record.diagnosis),
            "diagnosis": record.diagnosis,
            "fst": record.fst,
            "group": "/".join(record.group_key),
            "is_synthetic": record.is_synthetic,
            "metadata": {
                **record.metadata,
                "file": record.file,
                "dataset": record.dataset,
                "split": record.split,
                "tone_source": record.tone_source,
            },
        }
        return item if self.transform is None else self.transform(item)

    def labels(self) -> list[int]:
        """Label indices of all items, without opening an image (for weighted sampling)."""
        return [-1 if r.diagnosis is None else self.classes.index(r.diagnosis) for r in self.records]


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """Items as one batch, for ``DataLoader(collate_fn=collate)``.

    Numbers become a tensor, tensors of one shape are stacked; all else, also tensors of several shapes and
    columns with a None, stays a list. torch's own collate function fails on those.
    """
    batch: dict[str, Any] = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if all(isinstance(value, torch.Tensor) for value in values):
            same = len({value.shape for value in values}) == 1
            batch[name] = torch.stack(values) if same else values
        elif all(isinstance(value, (int, float)) for value in values):
            batch[name] = torch.tensor(values)
        else:
            batch[name] = values
    return batch
