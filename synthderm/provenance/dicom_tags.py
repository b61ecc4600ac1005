"""DICOM files: the marks that say "synthetic", and their pixels for the search of the watermark."""

from __future__ import annotations

import io
import warnings
from types import ModuleType
from typing import Any, BinaryIO

from PIL import Image

from synthderm.core import InputError, MissingExtraError
from synthderm.core.images import OpenedImage

from .tags import FoundTags, Tags
from .tags.reading import printable

PRIVATE_CREATOR = "SYNTHDERM"
"""Creator of the private block that holds the record."""

PRIVATE_GROUP = 0x0071
RECORD_ELEMENT = 0x01

DICOM_SUFFIXES = (".dcm", ".dicom")
"""File names that are taken for DICOM, lower case."""

_MAX_FILE = 512 << 20
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes are those of a DICOM file (PS3.10, section 7.1)."""
    return start[128:132] == b"DICM"


def load_pydicom() -> ModuleType:
    """The package pydicom.

    Raises:
        MissingExtraError: without it.
    """
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("pydicom", "dicom") from None
    return pydicom


def read_dicom(file: BinaryIO, max_pixels: int) -> tuple[OpenedImage, FoundTags]:
    """The first frame of a DICOM file as 8-bit RGB, and what its attributes say about its origin.

    Args:
        file: binary file that can seek.
        max_pixels: largest image that is decoded, px.

    Raises:
        InputError: if the file is damaged, too large, or holds no image of 8 or 16 bits.
        MissingExtraError: without pydicom.
    """
    pydicom = load_pydicom()
    file.seek(0)
    data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise InputError(f"the DICOM file is larger than {_MAX_FILE >> 20} MiB")
    if _DEFLATED in data[:1024]:  # pydicom would inflate it without a limit
        raise InputError("the DICOM file is deflated; store it in another transfer syntax first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that do not fit: they are looked at here
            dataset = pydicom.dcmread(io.BytesIO(data))
            return _image(dataset, max_pixels), _found(dataset)
    except InputError:
        raise
    except Exception as error:  # pydicom raises anything on a damaged file
        raise InputError(f"the DICOM file is damaged or cannot be decoded: {printable(str(error))}") from error


def _found(dataset: Any) -> FoundTags:
    problems: tuple[str, ...] = ()
    record = None
    try:
        record = Tags.from_json(str(dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[RECORD_ELEMENT].value))
    except KeyError:
        pass
    except InputError as error:
        problems = (f"dicom: {printable(str(error))}",)
    declared = dataset.get("SyntheticData") == "YES" or dataset.get("ConversionType") == "SYN"
    return FoundTags(
        carriers=("dicom",) if declared or record else (),
        digital_source_type=record.digital_source_type if record else None,
        tags=record,
        software=printable(str(dataset.get("Manufacturer") or "")),
        problems=problems,
        declared=declared,
    )


def _image(dataset: Any, max_pixels: int) -> OpenedImage:
    from pydicom.pixels import pixel_array

    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not rows or not columns:
        raise InputError("the DICOM file holds no image")
    if rows * columns > max_pixels:
        raise InputError(f"too large: {columns:,} x {rows:,} px is more than the limit of {max_pixels:,} px")
    frames = int(dataset.get("NumberOfFrames") or 1)
    values = pixel_array(dataset, index=0)  # colour comes as RGB, whatever it was stored as
    notes = [f"the first of {frames} frames"] if frames > 1 else []
    if dataset.BitsAllocated == 16 and values.dtype == "uint16":
        values = (values >> max(int(dataset.BitsStored) - 8, 0)).clip(0, 255).astype("uint8")
        notes.append(f"{dataset.BitsStored} bit, the upper 8 taken")
    if values.dtype != "uint8":
        raise InputError(f"the DICOM file holds values of {values.dtype}; expected unsigned 8 or 16 bit")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    if values.ndim == 2:
        notes.append("greyscale, repeated in three channels")
    return OpenedImage(Image.fromarray(values).convert("RGB"), tuple(notes))
