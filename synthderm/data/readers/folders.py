"""Images sorted into one folder per class, without a table."""

from __future__ import annotations

from pathlib import PurePosixPath

from ..records import LeftOut, Record
from .labels import label_to_diagnosis
from .rows import ImageIndex, Reading, folder_split

NAME = "imagefolder"
TITLE = "one folder per class (ImageFolder)"
MASK_ENDINGS = ("_segmentation", "_mask")


def class_folder(name: str) -> str | None:
    """The folder that an image lies in, which is its label; None for an image at the top or in a split."""
    parts = PurePosixPath(name).parts
    folder = parts[-2] if len(parts) > 1 else None
    return None if folder is None or folder_split(f"{folder}/x") else folder


def known_folders(index: ImageIndex) -> list[str]:
    """Class folders whose name is one of the seven diagnoses, in order."""
    folders = dict.fromkeys(class_folder(name) for name in index.images)
    return [folder for folder in folders if folder and label_to_diagnosis(folder)]


def read_folders(index: ImageIndex, dataset: str, reading: Reading) -> None:
    """Add every image of the set to ``reading``: its folder is the label, each image a group of its own."""
    for name in index.images:
        label = class_folder(name)
        if label is None:
            reading.left_out.append(LeftOut(name, "lies in no class folder"))
            continue
        record = Record(
            file=name,
            dataset=dataset,
            label=label,
            diagnosis=label_to_diagnosis(label),
            split=folder_split(name),
            mask=index.mask_of(name, MASK_ENDINGS),
            source_id=PurePosixPath(name).stem,
        )
        reading.add(record, "twice in the folder")
