"""A finished folder as DICOM files that say in every place they have for it that they are synthetic."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from synthderm.core import DIAGNOSES, InputError
from synthderm.provenance.dicom_tags import PRIVATE_CREATOR, PRIVATE_GROUP, RECORD_ELEMENT, load_pydicom
from synthderm.provenance.figures import diagnosis_of
from synthderm.provenance.tags import Tags, read_tags, source_type_of

from .files import write_atomic
from .images import open_image
from .manifest import read_manifest

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""SOP class Secondary Capture Image Storage (PS3.4, annex B.5)."""

_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_PROCESSING_EQUIPMENT = ("109102", "DCM", "Processing Equipment")  # PS3.16, CID 7005
_LOSSY_METHODS = {".jpg": "ISO_10918_1"}  # PS3.3, C.7.6.1.1.5.1; WebP has no defined term
_TEXT_LIMIT = 1024


def to_dicom(root: str | Path, out: str | Path) -> list[Path]:
    """Write the images of a folder as DICOM secondary captures, ``<out>/<id>.dcm``.

    Each says that it is synthetic: Synthetic Data (0008,001C) YES, Conversion Type SYN, Image Type
    DERIVED and SECONDARY, Quality Control Subject YES, a derivation description, the generator as contributing
    equipment, patient and study identifiers that no hospital has, and the record of
    :class:`synthderm.provenance.tags.Tags` in a private block. There are no dates and no names. The pixels are
    stored without compression, so that a watermark stays whole. The same folder gives the same bytes; identifiers
    (2.25 and a number, PS3.5, annex B.2) are made from the image's content.

    Args:
        root: a finished folder.
        out: the folder to write to; made if it is not there.

    Returns:
        The files, in the order of the manifest.

    Raises:
        InputError: if the folder has no manifest, or a file cannot be read or written.
        MissingExtraError: without pydicom.
    """
    pydicom = load_pydicom()
    root, out = Path(root), Path(out)
    paths = []
    for number, row in enumerate(read_manifest(root), start=1):
        image_id = str(row.get("isic_id") or Path(row["file_name"]).stem)
        paths.append(out / f"{image_id}.dcm")
        write_atomic(paths[-1], _encoded(pydicom, _dataset(pydicom, root, row, image_id, number)))
    return paths


def _uid(*parts: str | bytes) -> str:
    digest = hashlib.sha256(b"\0".join(part.encode() if isinstance(part, str) else part for part in parts))
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


def _dataset(pydicom: ModuleType, root: Path, row: Mapping[str, Any], image_id: str, number: int) -> Any:
    path = root / row["file_name"]
    pixels = np.asarray(open_image(path))
    tags = read_tags(path).tags or _tags_of(row)
    family = str(row.get("lesion_id") or image_id)
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = SECONDARY_CAPTURE
    dataset.SOPInstanceUID = _uid("image", image_id, pixels.tobytes())
    dataset.StudyInstanceUID = _uid("study", family, f"{tags.run} {tags.recipe_digest}")
    dataset.SeriesInstanceUID = _uid("series", dataset.StudyInstanceUID)
    dataset.InstanceNumber = str(number)
    _nobody(dataset, family)
    _synthetic(pydicom, dataset, tags)
    _described(dataset, row)
    _pixels(dataset, pixels, path)
    return dataset


def _tags_of(row: Mapping[str, Any]) -> Tags:
    """The record of a manifest row, for images that carry none."""
    generator = str(row.get("generator") or "unknown")
    seed = row.get("seed")
    return Tags(
        generator=generator,
        generator_version=str(row.get("generator_version") or ""),
        digital_source_type=source_type_of(generator),
        seed=None if seed in (None, "") else int(seed),
    )


def _nobody(dataset: Any, family: str) -> None:
    """The attributes of patient and study that a file must have, of nobody."""
    dataset.PatientName = "SYNTHETIC^NOT A PATIENT"
    dataset.PatientID = f"SYNTHETIC-{family}"[:64]
    dataset.QualityControlSubject = "YES"
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        setattr(dataset, name, "")
    dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber = None
    dataset.PatientOrientation = ""


def _synthetic(pydicom: ModuleType, dataset: Any, tags: Tags) -> None:
    dataset.SyntheticData = "YES"  # PS3.3, C.12.1: not a faithful representation of acquired data
    dataset.ConversionType = "SYN"  # PS3.3, C.8.6.1: synthetic image
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.Modality = "OT"
    dataset.BurnedInAnnotation = "NO"
    dataset.Manufacturer = tags.software
    dataset.DerivationDescription = tags.description[:_TEXT_LIMIT]
    dataset.ImageComments = tags.description
    dataset.SeriesDescription = "SYNTHETIC, not for diagnosis"
    purpose = pydicom.Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = _PROCESSING_EQUIPMENT
    equipment = pydicom.Dataset()
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    equipment.Manufacturer = "synthderm"
    equipment.ManufacturerModelName = tags.generator[:64]
    equipment.SoftwareVersions = [part[:64] for part in (tags.software, tags.generator_version) if part]
    equipment.ContributionDescription = f"made the image; digital source type {tags.digital_source_type}"
    dataset.ContributingEquipmentSequence = [equipment]
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(RECORD_ELEMENT, "LT", tags.to_json())


def _described(dataset: Any, row: Mapping[str, Any]) -> None:
    code = diagnosis_of(row)
    name = DIAGNOSES[code].name if code in DIAGNOSES else str(code)
    dataset.StudyDescription = f"SYNTHETIC {name}"[:64]
    dataset.SpecificCharacterSet = "ISO_IR 192"


def _pixels(dataset: Any, pixels: np.ndarray, path: Path) -> None:
    """The image pixel module (PS3.3, C.7.6.3)."""
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    lossy = path.suffix in (".jpg", ".webp")
    dataset.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        dataset.LossyImageCompressionRatio = f"{pixels.nbytes / path.stat().st_size:.2f}"
    if path.suffix in _LOSSY_METHODS:
        dataset.LossyImageCompressionMethod = _LOSSY_METHODS[path.suffix]
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)


def _encoded(pydicom: ModuleType, dataset: Any) -> bytes:
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = _uid("synthderm")
    dataset.file_meta.ImplementationVersionName = "SYNTHDERM"
    buffer = io.BytesIO()
    try:
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"cannot write the DICOM file of {dataset.PatientID}: {error}") from error
    return buffer.getvalue()
