"""Examples to learn from: each image with its caption and what it shows; captions as a file that people can edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from synthderm.core import InputError, ita_to_fst
from synthderm.data import Record, write_atomic

from .images import TrainingImages
from .looks import Look, Version, measure_looks, ranks, tone_of

CAPTIONS = "captions.jsonl"

SPARSE = 3
"""One image in so many has a caption without ABCD words, as most requests have."""


@dataclass(frozen=True)
class Example:
    """One image of the training or the held-out part, as it is or on another skin tone.

    Attributes:
        file: its name inside the data set; with "#1", "#2" and so on behind it for versions on other tones.
        caption: what text encoders are told.
        diagnosis: code of the class.
        fst: band 1 to 6 of the measured tone, or None.
        ita_deg: measured ITA, degrees, or None.
        modality: "dermoscopy" or "clinical".
        held_out: only the validation sees it.
        digest: SHA-256 of the image file.
        look: what is measured of it (:mod:`synthderm.training.lora.looks`).
        dataset: name of the set it comes from.
        place: of its record in :attr:`TrainingImages.all`.
        gains: that make the version of the image (:class:`~synthderm.training.lora.looks.Version`).
    """

    file: str
    caption: str
    diagnosis: str
    fst: int | None
    ita_deg: float | None
    modality: str
    held_out: bool
    digest: str
    look: Look = ()
    dataset: str = ""
    place: int = 0
    gains: tuple[float, ...] = ()


def make_examples(
    images: TrainingImages,
    captions: str | Path | None = None,
    *,
    tones: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Example], list[str]]:
    """Examples in the order of :attr:`TrainingImages.all`, each image with its other tones behind it; and notes.

    Args:
        images: the records.
        captions: a file as :func:`write_captions` writes it; its captions replace the generated ones.
        tones: versions of each training image on other skin tones.
        seed: of the tones.
        progress: called with (images done, images in all).

    Raises:
        InputError: if the captions cannot be read or name files that are not in the set.
    """
    own = read_captions(captions) if captions is not None else {}
    looks = measure_looks(images, tones, seed, progress)
    attributes = ranks([versions[0].look for versions in looks])
    examples = [
        _example(images, place, number, version, attributes[place])
        for place, versions in enumerate(looks)
        for number, version in enumerate(versions)
    ]
    notes = _check_names(own, examples, captions)
    return [replace(example, caption=own.get(example.file, example.caption)) for example in examples], notes


def _example(
    images: TrainingImages, place: int, number: int, version: Version, attributes: Mapping[str, float]
) -> Example:
    record = images.all[place]
    ita = record.measured_ita_deg if number == 0 else tone_of(version.look)
    fst = record.fst if number == 0 else (None if ita is None else ita_to_fst(ita))
    return Example(
        file=f"{record.file}#{number}" if number else record.file,
        caption=caption_of(record, fst, attributes if (place + number) % SPARSE else {}),
        diagnosis=record.diagnosis,
        fst=fst,
        ita_deg=None if ita is None else round(ita, 2),
        modality=record.modality,
        held_out=place >= len(images.train),
        digest=_digest(images, record),
        look=version.look,
        dataset=record.dataset,
        place=place,
        gains=version.gains,
    )


def caption_of(record: Record, fst: int | None, attributes: Mapping[str, float]) -> str:
    """The caption of an image (:func:`synthderm.models.prompts.caption`): class, tone, and ABCD where it is given.

    It says what a request can ask for and no more: words that stand in every training
    caption and in no request (site, age, sex) would set the two apart.
    """
    from synthderm.models.prompts import caption

    return caption(
        record.diagnosis,
        fst=fst,
        modality=record.modality,
        attributes=attributes,
    )


def read_captions(path: str | Path) -> dict[str, str]:
    """File name -> caption from a captions.jsonl.

    Raises:
        InputError: naming the line that is no JSON object with the texts "file" and "caption".
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the captions {path}: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        file, text = _row(line, f"{path}, line {number}")
        if file in found:
            raise InputError(f"{path}, line {number}: expected one line for each file, got {file} again")
        found[file] = text
    return found


def _row(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        file, text = row["file"], row["caption"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f'{where}: expected {{"file": "...", "caption": "..."}}, got {line[:60]!r}') from error
    if not isinstance(file, str) or not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: expected a file name and a caption that is not empty, got {file!r} and {text!r}")
    return file, text.strip()


def _check_names(own: Mapping[str, str], examples: Sequence[Example], path: str | Path | None) -> list[str]:
    if path is None:
        return []
    known = {example.file for example in examples}
    strange = [file for file in own if file not in known]
    if strange:
        raise InputError(
            f"{path} has captions for {len(strange)} files that the data set does not hold, the first is "
            f"{strange[0]}; expected names as in the captions.jsonl of the output folder"
        )
    lacking = len(known - set(own))
    return [f"{lacking} images have no caption in {path} and get a generated one"] if lacking else []


def _digest(images: TrainingImages, record: Record) -> str:
    with images.source.tree.open(record.file) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_captions(path: Path, examples: Sequence[Example]) -> None:
    """One JSON object a line: file, caption, class, tone, part; what :func:`read_captions` takes back."""
    rows = []
    for example in examples:
        row = asdict(example)
        for name in ("digest", "look", "place", "gains"):
            del row[name]
        row["part"] = "held out" if row.pop("held_out") else "train"
        rows.append(json.dumps(row))
    write_atomic(path, ("\n".join(rows) + "\n").encode())
