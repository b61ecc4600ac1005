"""Licence texts and attribution that travel with a set of images."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

_TEXTS = files("synthderm.provenance") / "licence_texts"


def licence_text(licence: str) -> str:
    """The full text of a licence by its SPDX name, or where to find it if the library does not carry it."""
    if licence.startswith("LicenseRef-"):
        return f"{licence}\n\nNot on the SPDX list: its text is with the model that ATTRIBUTION.txt names.\n"
    text = _TEXTS / f"{licence}.txt"
    if text.is_file():
        return text.read_text(encoding="utf-8")
    return f"{licence}\n\nThe text of this licence: https://spdx.org/licenses/{licence}.html\n"


def _file_name(licence: str) -> str:
    return "".join(c if c.isalnum() or c in ".-+_" else "-" for c in licence)


def licence_files(licences: Iterable[str], attribution: Iterable[str] = ()) -> dict[str, str]:
    """File name -> text: ``LICENSES/<SPDX>.txt`` for each licence and ``ATTRIBUTION.txt``.

    Args:
        licences: SPDX names ("CC-BY-4.0").
        attribution: lines that the licences ask to keep with the images.
    """
    licences, attribution = list(dict.fromkeys(licences)), list(dict.fromkeys(attribution))
    texts = {f"LICENSES/{_file_name(licence)}.txt": licence_text(licence) for licence in licences}
    head = [
        "These images are synthetic: no person was photographed for them.",
        f"Licence of the images: {', '.join(licences)} (full text in LICENSES).",
    ]
    texts["ATTRIBUTION.txt"] = "\n".join([*head, *(f"- {line}" for line in attribution)]) + "\n"
    return texts


def write_licences(root: str | Path, licences: Iterable[str], attribution: Iterable[str] = ()) -> list[Path]:
    """Write :func:`licence_files` into a folder; the paths written."""
    paths = []
    for name, text in licence_files(licences, attribution).items():
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
