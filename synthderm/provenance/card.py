"""The dataset card: README.md of an output folder, filled from measured numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from synthderm.core import DIAGNOSES, TONE_BANDS, tone_band

from .figures import SetFigures, ToneFigures, set_figures

TITLE = "Synthetic skin lesions"

DATA_FILES = [{"split": "train", "path": ["metadata.jsonl", "images/*", "masks/*"]}]
"""What ``load_dataset(folder)`` reads: one split, and no picture beside those of the manifest."""

TONE_HEAD = ("requested type", "band, ITA in degrees", "images", "inside", "mean ITA", "sd", "mean error of ITA")
"""Columns of :func:`tone_cells`."""

_SIZES = {1e3: "n<1K", 1e4: "1K<n<10K", 1e5: "10K<n<100K", 1e6: "100K<n<1M", 1e7: "1M<n<10M"}
_HUB_LICENCES = {
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "Apache-2.0",
    "MIT",
}

_COLUMNS = {
    "isic_id": "name of the image; the prefix `SYN_` never occurs in the ISIC archive",
    "lesion_id": "images of one lesion share it: keep them in one split",
    "diagnosis": "class code: nv, mel, bcc, akiec, bkl, df or vasc; `diagnosis_1` to `_3` are the ISIC names",
    "dx_type": "always `simulated`: there is no histology",
    "fst_requested": "skin type asked for; `ita_requested_deg` is the angle asked for",
    "ita_deg": "individual typology angle measured on the healthy skin of this image, degrees",
    "fst_proxy": "band of `ita_deg`, 1 to 6",
    "seed": "the image's own seed: with generator and version it makes the same image again",
    "attempts": "draws until the measured tone fell into the requested band",
    "sha256": "of the image file",
    "is_synthetic": "always true",
}


def size_category(n: int) -> str:
    """The size class of a data set on the Hugging Face hub."""
    return next((name for limit, name in _SIZES.items() if n < limit), "10M<n<100M")


def card_header(n: int, licences: Sequence[str], title: str = TITLE) -> dict[str, Any]:
    """The YAML block on top of a card, as the Hugging Face hub reads it.

    Args:
        n: images.
        licences: SPDX names; those that the hub has no name for become "other".
        title: the set's plain name.
    """
    names = dict.fromkeys(name.lower() if name in _HUB_LICENCES else "other" for name in licences)
    return {
        "pretty_name": title,
        "license": list(names) or ["unknown"],
        "task_categories": ["image-classification", "image-segmentation"],
        "size_categories": [size_category(n)],
        "annotations_creators": ["machine-generated"],
        "tags": ["synthetic", "dermatology", "dermoscopy", "skin-lesion", "skin-tone", "medical"],
        "configs": [{"config_name": "default", "data_files": DATA_FILES}],
    }


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = ("| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, rule, *rows))
    return "\n".join(lines)


def number(value: float | None, digits: int = 1) -> str:
    """A figure for a table; "-" if there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def tone_cells(tone: ToneFigures) -> tuple[str, ...]:
    """One line of the tone table: type, band, images, share inside, mean and sd of ITA, mean error."""
    band = tone_band(tone.fst)
    return (
        f"{tone.fst} ({band.name})",
        f"{band.low_deg:g} to {band.high_deg:g}",
        str(tone.n),
        f"{100 * tone.inside / tone.n:.1f} %",
        number(tone.ita_mean_deg),
        number(tone.ita_sd_deg),
        number(tone.ita_error_deg),
    )


def _tone_section(figures: SetFigures) -> str:
    if not figures.tones:
        return ""
    confusion_head = ("requested, measured:", *(str(band.fst) for band in TONE_BANDS), "none")
    return (
        "## Skin tone: requested against measured\n\n"
        "Measured on the healthy skin of every finished image (ITA; CIELAB, D65, 2 degrees), not copied "
        f"from the request. Inside the requested band: **{100 * figures.inside_share:.1f} %**. Redrawn "
        f"because a draw was turned down: {figures.redrawn} of {figures.n} images ({figures.draws} draws in all).\n\n"
        + _table(TONE_HEAD, (tone_cells(tone) for tone in figures.tones))
        + "\n\nImages by requested type (line) and measured type (column):\n\n"
        + _table(confusion_head, ((tone.fst, *tone.measured) for tone in figures.tones))
        + "\n\n"
    )


def class_names(figures: SetFigures) -> dict[str, str]:
    """Code -> plain name of the classes of a set."""
    return {code: DIAGNOSES[code].name if code in DIAGNOSES else code for code in figures.classes}


def _class_section(figures: SetFigures) -> str:
    if not figures.classes:
        return ""
    names = class_names(figures)
    rows = ((f"`{code}` {names[code]}", count) for code, count in figures.classes.items())
    return "## Classes\n\n" + _table(("class", "images"), rows) + "\n\n"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def set_facts(
    figures: SetFigures,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Sequence[str],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """The short facts of a set, for the head of the card and of the page."""
    return {
        "images": figures.n,
        "size, px": ", ".join(figures.sizes) or "-",
        "type of image": ", ".join(figures.values["image_type"]) or "-",
        "generator": " ".join(figures.values["generator"] + figures.values["generator_version"]) or "-",
        "synthderm": environment.get("synthderm", "-"),
        "seed of the run": recipe.get("seed", "-"),
        "licence": ", ".join(licences) or "-",
        **{name.replace("_", " "): _plain(value) for name, value in summary.items()},
    }


def dataset_card(
    rows: Sequence[Mapping[str, Any]],
    *,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Sequence[str],
    attribution: Sequence[str],
    environment: Mapping[str, Any],
    title: str = TITLE,
) -> str:
    """The text of README.md.

    Args:
        rows: the manifest.
        recipe: the resolved recipe.
        summary: further figures of the run, printed as they are.
        licences: SPDX names.
        attribution: lines that must travel with the images.
        environment: see :func:`synthderm.provenance.environment`.
        title: the heading.
    """
    figures = set_figures(rows)
    names = list(rows[0]) if rows else []
    pictures = [name.removesuffix("_file_name") for name in names if name.endswith("_file_name")]
    columns = [f"- `{name}`: {text}" for name, text in _COLUMNS.items() if name in names]
    columns += ["- columns with a dot: the scene parameters"] if any("." in name for name in names) else []
    template = files("synthderm.provenance").joinpath("dataset_card.md").read_text(encoding="utf-8")
    return Template(template).substitute(
        header=_yaml(card_header(figures.n, licences, title)),
        title=title,
        facts=_table(("", ""), set_facts(figures, recipe, summary, licences, environment).items()),
        classes=_class_section(figures),
        tones=_tone_section(figures),
        pictures=", ".join(f"`{name}`" for name in ["image", *pictures]),
        columns="\n".join(columns),
        licence=f"{', '.join(licences)}; full texts in `LICENSES`." if licences else "No licence was named.",
        attribution="".join(f"- {line}\n" for line in attribution),
        recipe=_yaml(recipe).rstrip(),
    )
