"""Checks one file: its metadata first, then its pixels, and every failure is a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO

from PIL import Image

from synthderm.core import InputError, MissingExtraError
from synthderm.core.images import MAX_PIXELS, OpenedImage, is_image_name, read_image

from ..content_credentials import read_credentials
from ..dicom_tags import DICOM_SUFFIXES, is_dicom, read_dicom
from ..tags import FoundTags, read_tags
from ..tags.reading import printable
from ..watermark import Detection, Key, Watermark
from .results import FileResult
from .sources import Item

_STARTS = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"GIF8",
    b"BM",
    b"\0\0\0\x0cjP",
    b"\xff\x4f\xff\x51",
)


@dataclass(frozen=True)
class Settings:
    """How files are checked; sent to every worker process.

    Attributes:
        keys: every one is tried; the rate ``fpr`` is shared among them.
        fpr: false-positive rate for one file, all keys together.
        search: "full" or "fast"; see :class:`synthderm.provenance.watermark.Watermark`.
        max_pixels: largest image that is decoded, px.
        detector: makes what detects one key's mark.
    """

    keys: tuple[Key, ...]
    fpr: float
    search: str = "full"
    max_pixels: int = MAX_PIXELS
    detector: Callable[[Key], Any] = field(default=Watermark)


class Inspector:
    """Checks files one by one.

    Args:
        settings: what to look for and how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._detectors = [settings.detector(key) for key in settings.keys]

    def inspect(self, item: Item) -> FileResult:
        """The result of one file; nothing is raised, whatever the file holds."""
        if item.problem:
            return failure(item, item.problem)
        try:
            with item.open() as file:
                return self._inspect(item, file)
        except InputError as error:
            return failure(item, str(error))
        except Exception as error:  # MemoryError included; one file must not end the check of a million
            return failure(item, f"{type(error).__name__}: {error}")

    def _inspect(self, item: Item, file: BinaryIO) -> FileResult:
        name = PurePath(item.name).name
        start = file.read(132)
        claims = is_image_name(name) or name.lower().endswith(DICOM_SUFFIXES)
        if not claims and not is_dicom(start) and not start.startswith(_STARTS):
            empty = "is empty (0 bytes)" if not start else "is not an image"
            return failure(item, empty, is_image=False)
        tags, credentials = FoundTags(), None
        try:
            if is_dicom(start):
                opened, tags = read_dicom(file, self.settings.max_pixels)
            else:
                file.seek(0)
                tags = read_tags(file)
                credentials = self._credentials(file, tags)
                file.seek(0)
                opened = read_image(file, name=name, max_pixels=self.settings.max_pixels, first_frame=True)
            return self._verdict(item, opened, tags, credentials)
        except Exception as error:  # decoders raise anything; the metadata is kept
            known = isinstance(error, (InputError, MissingExtraError))
            return failure(item, str(error) if known else f"{type(error).__name__}: {error}", tags, credentials)

    def _credentials(self, file: BinaryIO, tags: FoundTags) -> dict[str, Any] | None:
        if "c2pa" not in tags.carriers:
            return None
        try:
            file.seek(0)
            return read_credentials(file).to_dict()
        except (InputError, MissingExtraError) as error:
            return {"state": "not verified", "reason": printable(str(error))}

    def _verdict(
        self, item: Item, opened: OpenedImage, tags: FoundTags, credentials: dict[str, Any] | None
    ) -> FileResult:
        detections = [self._detect(detector, opened.image) for detector in self._detectors]
        best = min(detections, key=lambda detection: (detection.verdict != "synthetic", detection.p_value))
        verdicts = {detection.verdict for detection in detections}
        verdict = next(name for name in ("synthetic", "undecided", "not_found") if name in verdicts)
        found = verdict == "synthetic"
        return FileResult(
            path=item.name,
            verdict=verdict,
            p_value=min(1.0, float(best.p_value) * len(detections)),
            payload=_payload(best) if found else None,
            tags=tags,
            credentials=credentials,
            watermark=_reading(best) if found else None,
            notes=tuple(printable(note) for note in opened.notes),
        )

    def _detect(self, detector: Any, image: Image.Image) -> Detection:
        fpr = self.settings.fpr / len(self._detectors)  # Bonferroni: any of the keys may raise a false alarm
        return detector.detect(image, fpr=fpr, search=self.settings.search)[0]


def _reading(detection: Detection) -> dict[str, Any]:
    return {"key_id": detection.key_id, "how": detection.how, "geometry": asdict(detection.geometry)}


def _payload(detection: Detection) -> dict[str, Any] | None:
    payload = detection.payload
    if payload is None:
        return None
    fields = {"version": payload.version, "generator": payload.generator, "run": payload.run}
    return {**fields, "confidence": detection.payload_confidence, "p_value": detection.payload_p_value}


def failure(
    item: Item,
    problem: str,
    tags: FoundTags | None = None,
    credentials: dict[str, Any] | None = None,
    is_image: bool = True,
) -> FileResult:
    """The result of a file that cannot be checked."""
    return FileResult(
        path=item.name,
        verdict="error",
        tags=tags or FoundTags(),
        credentials=credentials,
        error=printable(" ".join(problem.split())),
        is_image=is_image,
    )
