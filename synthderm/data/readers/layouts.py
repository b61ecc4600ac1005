"""The tables of public data sets: which columns they have and what those mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from synthderm.core import DIAGNOSES

from .labels import label_to_diagnosis
from .tables import Row, Table

Labels = Callable[[Row], tuple[str | None, str | None]]
"""Row -> (label as found, diagnosis code); (None, None) where it states none."""


def _one_column(*names: str) -> Labels:
    def labels(row: Row) -> tuple[str | None, str | None]:
        label = row.get(*names)
        return label, label_to_diagnosis(label) if label else None

    return labels


@dataclass(frozen=True)
class Layout:
    """How the table of one data set is read.

    Attributes:
        name: as in ``--reader``.
        title: for people.
        needs: each group is columns of which one must be there.
        image: columns that hold the image's file name or id; the first that is filled counts.
        labels: how a row states its diagnosis.
        columns: field of :class:`~synthderm.data.Record` -> columns to take it from.
        constants: fields that are the same for the whole set.
        mask_endings: a mask is a file whose name is the image's id and one of these.
    """

    name: str
    title: str
    needs: tuple[tuple[str, ...], ...]
    image: tuple[str, ...]
    labels: Labels
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    mask_endings: tuple[str, ...] = ()

    def fits(self, table: Table) -> bool:
        """Whether the table has the columns."""
        have = table.lower_columns
        return all(any(column.lower() in have for column in group) for group in self.needs)

    def evidence(self, table: Table) -> str:
        """The columns by which a fitting table was recognised, as found."""
        wanted = {column.lower() for group in self.needs for column in group}
        return ", ".join(column for column in table.columns if column.lower() in wanted)

    def expected(self) -> str:
        """The needed columns, for an error message."""
        return ", ".join(" or ".join(group) for group in self.needs)


_ISIC_LEVELS = ("diagnosis_5", "diagnosis_4", "diagnosis_3", "diagnosis_2", "diagnosis")


def _isic_archive_labels(row: Row) -> tuple[str | None, str | None]:
    """The deepest level of the hierarchy is the label; the deepest level that is known gives the code."""
    names = [name for level in _ISIC_LEVELS if (name := row.get(level))]
    codes = [code for name in names if (code := label_to_diagnosis(name))]
    label = names[0] if names else row.get("diagnosis_1", "benign_malignant")
    return label, codes[0] if codes else None


_ONE_HOT = {d.isic_2018: d.code for d in DIAGNOSES.values()} | {"AK": "akiec", "SCC": None}


def _one_hot_labels(row: Row) -> tuple[str | None, str | None]:
    """The column with the largest value, if that is at least 0.5 (ISIC 2018 and 2019 ground truth)."""
    values = {column: row.number(column) or 0.0 for column in _ONE_HOT if row.get(column)}
    best = max(values, key=values.__getitem__, default=None)
    if best is None or values[best] < 0.5:
        return None, None
    return best, _ONE_HOT[best]


def _isic_2017_labels(row: Row) -> tuple[str | None, str | None]:
    """Two columns of 0 and 1; with neither set the lesion is a nevus (Codella et al. 2018)."""
    for column, code in (("melanoma", "mel"), ("seborrheic_keratosis", "bkl")):
        if (row.number(column) or 0.0) >= 0.5:
            return column, code
    return "nevus", "nv"


_PERSON = {"age": ("age", "age_approx"), "sex": ("sex", "gender")}
_SITE = ("anatom_site_general", "anatom_site_1", "localization", "site", "region")
_IMAGE_COLUMNS = (
    *("file", "file_name", "filename", "file_path", "filepath", "path", "image_path"),
    *("image", "image_id", "img_id", "isic_id"),
)
_LABEL_COLUMNS = ("label", "diagnosis", "class", "dx", "disease", "diagnostic")
_FITZPATRICK_COLUMNS = (
    *("fitzpatrick", "fitzpatrick_scale", "fitzpatrick_skin_type", "fitspatrick"),
    *("fst", "skin_type"),
)
_ISIC_MASKS = ("_segmentation", "_mask")

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="synthderm",
        title="a folder made by synthderm",
        needs=(("file_name",), ("is_synthetic",), ("dx", "diagnosis")),
        image=("file_name",),
        labels=_one_column("dx", "diagnosis"),
        columns={
            **_PERSON,
            "dataset": ("dataset",),
            "group": ("patient_id", "lesion_id", "group"),
            "split": ("split",),
            "ita_deg": ("ita_deg",),
            "mask": ("mask_file_name",),
            "modality": ("modality", "image_type"),
            "licence": ("licence", "copyright_license"),
            "site": _SITE,
            "source_id": ("isic_id",),
        },
        constants={"dataset": "synthderm"},
    ),
    Layout(
        name="pack",
        title="this project's training pack",
        needs=(("file",), ("dataset",), ("label",), ("group",)),
        image=("file",),
        labels=_one_column("label"),
        columns={
            **_PERSON,
            "dataset": ("dataset",),
            "group": ("group",),
            "split": ("split",),
            "fitzpatrick": ("fitzpatrick",),
            "ita_deg": ("ita_deg",),
            "mask": ("mask",),
            "modality": ("modality",),
            "licence": ("licence", "license"),
            "site": ("site",),
            "source_id": ("source_id",),
        },
    ),
    Layout(
        name="ham10000",
        title="HAM10000",
        needs=(("image_id",), ("dx",)),
        image=("image_id",),
        labels=_one_column("dx"),
        columns={**_PERSON, "group": ("lesion_id",), "site": ("localization",), "split": ("split",)},
        constants={"dataset": "ham10000", "modality": "dermoscopy", "licence": "CC BY-NC 4.0"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="padufes20",
        title="PAD-UFES-20",
        needs=(("img_id",), ("diagnostic",)),
        image=("img_id",),
        labels=_one_column("diagnostic"),
        columns={
            **_PERSON,
            "group": ("patient_id", "lesion_id"),
            "fitzpatrick": ("fitspatrick", "fitzpatrick"),
            "site": ("region",),
            "split": ("split",),
        },
        constants={"dataset": "padufes20", "modality": "clinical", "licence": "CC BY 4.0"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="fitzpatrick17k",
        title="Fitzpatrick17k",
        needs=(("md5hash",), ("fitzpatrick_scale", "fitzpatrick"), ("label",)),
        image=("md5hash", "url_alphanum"),
        labels=_one_column("label"),
        columns={"fitzpatrick": ("fitzpatrick_scale", "fitzpatrick"), "split": ("split",)},
        constants={"dataset": "fitzpatrick17k", "modality": "clinical", "licence": "CC BY-NC-SA 3.0"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="ddi",
        title="DDI",
        needs=(("DDI_file",), ("skin_tone",), ("disease", "malignant")),
        image=("DDI_file",),
        labels=_one_column("disease", "malignant"),
        columns={"fitzpatrick_range": ("skin_tone",), "source_id": ("DDI_ID",), "split": ("split",)},
        constants={
            "dataset": "ddi",
            "modality": "clinical",
            "licence": "Stanford research use agreement, no redistribution",
        },
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="isic_one_hot",
        title="ISIC 2018/2019 ground truth",
        needs=(("image",), ("MEL",), ("NV",), ("BCC",)),
        image=("image",),
        labels=_one_hot_labels,
        columns={
            **_PERSON,
            "group": ("lesion_id",),
            "site": _SITE,
            "split": ("split",),
        },
        constants={"dataset": "isic", "modality": "dermoscopy", "licence": "CC BY-NC 4.0"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="isic_2017",
        title="ISIC 2017 ground truth",
        needs=(("image_id",), ("melanoma",), ("seborrheic_keratosis",)),
        image=("image_id",),
        labels=_isic_2017_labels,
        columns={**_PERSON, "split": ("split",)},
        constants={"dataset": "isic2017", "modality": "dermoscopy", "licence": "CC0 1.0"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="isic_archive",
        title="ISIC archive metadata",
        needs=(("isic_id",), ("diagnosis", "diagnosis_1", "diagnosis_2", "diagnosis_3", "benign_malignant")),
        image=("isic_id",),
        labels=_isic_archive_labels,
        columns={
            **_PERSON,
            "group": ("patient_id", "lesion_id"),
            "fitzpatrick": ("fitzpatrick_skin_type",),
            "modality": ("image_type",),
            "licence": ("copyright_license",),
            "site": _SITE,
            "split": ("split",),
        },
        constants={"dataset": "isic"},
        mask_endings=_ISIC_MASKS,
    ),
    Layout(
        name="table",
        title="any table with an image and a label column",
        needs=(_IMAGE_COLUMNS, _LABEL_COLUMNS),
        image=_IMAGE_COLUMNS,
        labels=_one_column(*_LABEL_COLUMNS),
        columns={
            **_PERSON,
            "dataset": ("dataset",),
            "group": ("group", "patient_id", "lesion_id"),
            "split": ("split",),
            "fitzpatrick": _FITZPATRICK_COLUMNS,
            "ita_deg": ("ita_deg", "ita"),
            "mask": ("mask", "mask_file_name", "mask_path"),
            "modality": ("modality", "image_type"),
            "licence": ("licence", "license", "copyright_license"),
            "site": _SITE,
        },
        constants={"dataset": "table"},
        mask_endings=_ISIC_MASKS,
    ),
)
"""Layouts in the order in which automatic detection tries them: the most particular first."""
