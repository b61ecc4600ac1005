"""Reading the real training pack: metadata.csv with images and lesion masks, as a folder or as a zip."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("nv", "mel", "bcc", "akiec", "bkl", "df", "vasc")
"""Diagnosis codes, in the order of every table that the evaluation scripts print."""

ISIC2017_TO_CLASS = {"nevus": "nv", "melanoma": "mel", "seborrheic_keratosis": "bkl"}
PAD_TO_CLASS = {"NEV": "nv", "MEL": "mel", "BCC": "bcc", "ACK": "akiec", "SCC": "akiec", "SEK": "bkl"}


@dataclass(frozen=True)
class Row:
    """One line of metadata.csv."""

    file: str
    dataset: str
    diagnosis: str
    mask: str
    group: str
    split: str
    licence: str
    ita_deg: float  # the pack's estimate, from pixels


class RealPack:
    """The pack at ``path``: a folder that holds metadata.csv, or a zip that holds such a folder.

    Raises:
        SystemExit: if there is no metadata.csv.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip = zipfile.ZipFile(self.path) if zipfile.is_zipfile(self.path) else None
        names = self._zip.namelist() if self._zip else [str(p) for p in self.path.glob("**/metadata.csv")]
        found = [name for name in names if name.endswith("metadata.csv")]
        if not found:
            raise SystemExit(f"{path}: no metadata.csv there; give the real pack's folder or zip")
        self._root = found[0][: -len("metadata.csv")]
        text = self._read("metadata.csv").decode()
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.rows = [_row(record) for record in csv.DictReader(io.StringIO(text))]

    def _read(self, name: str) -> bytes:
        return self._zip.read(self._root + name) if self._zip else Path(self._root, name).read_bytes()

    def image(self, row: Row) -> np.ndarray:
        """(3, H, W) uint8, sRGB."""
        with Image.open(io.BytesIO(self._read(row.file))) as picture:
            return np.asarray(picture.convert("RGB")).transpose(2, 0, 1).copy()

    def lesion_mask(self, row: Row) -> np.ndarray | None:
        """(H, W) bool, or None where the pack has no mask."""
        if not row.mask:
            return None
        with Image.open(io.BytesIO(self._read(row.mask))) as picture:
            return np.asarray(picture.convert("L")) > 127

    def select(self, dataset: str | None = None, split: str | None = None) -> list[Row]:
        """Rows of one data set or split, in the order of metadata.csv."""
        return [r for r in self.rows if dataset in (None, r.dataset) and split in (None, r.split)]


def _row(record: dict[str, str]) -> Row:
    label = record["label"]
    diagnosis = {"isic2017": ISIC2017_TO_CLASS, "padufes20": PAD_TO_CLASS}.get(record["dataset"], {})
    return Row(
        record["file"],
        record["dataset"],
        diagnosis.get(label, label),
        record["mask"],
        record["group"],
        record["split"],
        record["licence"],
        float(record["ita_est"] or "nan"),
    )


def add_real_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--real PATH``; the default is train_128.zip in the folder SYNTHDERM_REAL_DATA."""
    folder = os.environ.get("SYNTHDERM_REAL_DATA")
    default = str(Path(folder) / "train_128.zip") if folder else None
    parser.add_argument(
        "--real", default=default, required=default is None, metavar="PATH", help="real pack, folder or zip"
    )
