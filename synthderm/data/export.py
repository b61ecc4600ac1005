"""A finished folder in the forms that other programs read: COCO, ISIC 2018 challenge, WebDataset."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthderm.core import DIAGNOSES, InputError, MissingExtraError
from synthderm.provenance.figures import diagnosis_of

from .files import open_atomic, write_atomic
from .images import open_image
from .manifest import read_manifest

Row = Mapping[str, Any]

ISIC_2018_COLUMNS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
"""Order of the classes in the ground truth of ISIC 2018, task 3."""

ISIC_2018_ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
"""The attributes of ISIC 2018, task 2."""

_FILES = "_file_name"


def _mask_columns(rows: Iterable[Row]) -> dict[str, str]:
    """Mask name -> column, of the masks that the manifest has."""
    names = dict.fromkeys(name for row in rows for name in row if name.endswith(_FILES))
    return {
        "lesion" if name == f"mask{_FILES}" else name.removesuffix(_FILES).removeprefix("attribute_"): name
        for name in names
    }


def _image_id(row: Row) -> str:
    return str(row.get("isic_id") or Path(row["file_name"]).stem)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_mask(path: Path) -> np.ndarray:
    """A mask file as (H, W) bool.

    Raises:
        InputError: if the file is missing or no image.
    """
    return np.asarray(open_image(path).convert("L")) > 127


def mask_to_rle(mask: np.ndarray) -> dict[str, Any]:
    """A mask as COCO run lengths, ``{"size": [H, W], "counts": text}``.

    COCO counts down the columns (Fortran order); row order would give the mask of another shape without an
    error.

    Args:
        mask: (H, W) bool.

    Raises:
        MissingExtraError: without pycocotools.
    """
    try:
        from pycocotools import mask as coco_mask
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    run_lengths = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(run_lengths["size"]), "counts": run_lengths["counts"].decode("ascii")}


def mask_to_box(mask: np.ndarray) -> list[int]:
    """COCO box [x, y, width, height] in px of a mask that is not empty; (H, W) bool."""
    across, down = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    x, y = int(across[0]), int(down[0])
    return [x, y, int(across[-1]) - x + 1, int(down[-1]) - y + 1]


def to_coco(root: str | Path, path: str | Path | None = None) -> Path:
    """Write the masks of a folder as COCO instance annotations.

    One category for each mask name (lesion, hair, ...), one annotation for each mask that is not empty, as run
    lengths with ``iscrowd`` 0; the annotation of a lesion also has its ``diagnosis``. File names are relative
    to the folder.

    Args:
        root: a finished folder.
        path: the JSON file; ``<root>/annotations.coco.json`` if None.

    Returns:
        The JSON file.

    Raises:
        InputError: if the folder has no manifest or no masks, or a file cannot be read.
        MissingExtraError: without pycocotools.
    """
    root = Path(root)
    rows = read_manifest(root)
    columns = _mask_columns(rows)
    if not columns:
        raise InputError(f"{root} has no masks; make the set with --masks lesion or --masks all")
    categories = {name: i for i, name in enumerate(columns, start=1)}
    images, annotations = [], []
    for number, row in enumerate(rows, start=1):
        size = {"width": row["width"], "height": row["height"]}
        images.append({"id": number, "file_name": row["file_name"], **size})
        for name, column in columns.items():
            mask = read_mask(root / row[column])
            if not mask.any():
                continue
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": categories[name],
                "segmentation": mask_to_rle(mask),
                "area": int(mask.sum()),
                "bbox": mask_to_box(mask),
                "iscrowd": 0,
            }
            annotations.append(annotation | ({"diagnosis": diagnosis_of(row)} if name == "lesion" else {}))
    text = {
        "info": {"description": "Synthetic images by synthderm; not for diagnosis"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": "mask"} for name, i in categories.items()],
    }
    target = root / "annotations.coco.json" if path is None else Path(path)
    write_atomic(target, json.dumps(text).encode())
    return target


def _as_jpeg(path: Path) -> bytes:
    """The file itself if it is a JPEG, else the image as JPEG of quality 95, chroma not subsampled."""
    if path.suffix == ".jpg":
        return _read_bytes(path)
    buffer = io.BytesIO()
    open_image(path).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _csv(lines: Iterable[Iterable[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue().encode()


def to_isic(root: str | Path, out: str | Path) -> Path:
    """Write a folder in the layout of the ISIC 2018 challenge, training part.

    ``ISIC2018_Task1-2_Training_Input/<id>.jpg``, ``ISIC2018_Task1_Training_GroundTruth/<id>_segmentation.png``,
    ``ISIC2018_Task2_Training_GroundTruth_v3/<id>_attribute_<name>.png`` for those of the five attributes that
    the folder has, and ``ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv`` with
    ``ISIC2018_Task3_Training_LesionGroupings.csv``. Task 3 uses the images of task 1. Ids keep the prefix
    ``SYN_``, which no image of the archive has.

    Args:
        root: a finished folder.
        out: the folder to write to; made if it is not there.

    Returns:
        ``out``.

    Raises:
        InputError: if the folder has no manifest, a class is none of the seven, or a file cannot be read or
            written.
    """
    root, out = Path(root), Path(out)
    rows = read_manifest(root)
    columns = _mask_columns(rows)
    answers: list[list[Any]] = [["image", *ISIC_2018_COLUMNS]]
    groups: list[list[Any]] = [["image", "lesion_id", "diagnosis_confirm_type"]]
    parts = {"Task1_Training_GroundTruth": ["lesion"], "Task2_Training_GroundTruth_v3": ISIC_2018_ATTRIBUTES}
    for row in rows:
        name, code = _image_id(row), diagnosis_of(row)
        if code not in DIAGNOSES:
            raise InputError(f"image {name} has the class {code!r}; expected one of: {', '.join(DIAGNOSES)}")
        _put(out, f"Task1-2_Training_Input/{name}.jpg", _as_jpeg(root / row["file_name"]))
        for part, masks in parts.items():
            for mask in masks:
                if mask in columns:
                    suffix = "segmentation" if mask == "lesion" else f"attribute_{mask}"
                    _put(out, f"{part}/{name}_{suffix}.png", _read_bytes(root / row[columns[mask]]))
        truth = DIAGNOSES[code].isic_2018
        answers.append([name, *(f"{float(column == truth):.1f}" for column in ISIC_2018_COLUMNS)])
        groups.append([name, row.get("lesion_id") or name, row.get("dx_type", "simulated")])
    task_3 = "Task3_Training_GroundTruth/ISIC2018_Task3_Training"
    _put(out, f"{task_3}_GroundTruth.csv", _csv(answers))
    _put(out, f"{task_3}_LesionGroupings.csv", _csv(groups))
    return out


def _put(out: Path, name: str, data: bytes) -> None:
    write_atomic(out / f"ISIC2018_{name}", data)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # time 0, no owner: the same folder gives the same bytes
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def to_webdataset(root: str | Path, out: str | Path, *, shard_size: int = 1000) -> list[Path]:
    """Write a folder as tar files in the naming of WebDataset.

    ``<key>.image.<png|jpg|webp>``, ``<key>.mask.png``, ``<key>.attribute_<name>.png`` and ``<key>.json`` (the
    manifest row), in the order of the manifest, in ``shard-000000.tar`` and so on. Only the standard library
    is needed to write them; read them with ``webdataset.WebDataset(paths, shardshuffle=False)``.

    Args:
        root: a finished folder.
        out: the folder to write to; made if it is not there.
        shard_size: images in a tar file.

    Returns:
        The tar files.

    Raises:
        InputError: if the folder has no manifest, ``shard_size`` is not positive, or a file cannot be read or
            written.
    """
    root, out = Path(root), Path(out)
    if shard_size < 1:
        raise InputError(f"shard_size must be 1 or more, but got {shard_size}")
    rows = read_manifest(root)
    paths = []
    for number, start in enumerate(range(0, len(rows), shard_size)):
        paths.append(out / f"shard-{number:06d}.tar")
        with (
            open_atomic(paths[-1]) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for row in rows[start : start + shard_size]:
                _add_row(archive, root, row)
    return paths


def _add_row(archive: tarfile.TarFile, root: Path, row: Row) -> None:
    key = _image_id(row)
    image = root / row["file_name"]
    _add(archive, f"{key}.image{image.suffix}", _read_bytes(image))
    for column, name in row.items():
        if column.endswith(_FILES) and name:
            _add(archive, f"{key}.{column.removesuffix(_FILES)}.png", _read_bytes(root / name))
    _add(archive, f"{key}.json", json.dumps(dict(row)).encode())
