"""Whether images show what was asked for: the class, the skin tone, the lesion's outline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .drawing import MIXED, REAL
from .layout import panel, side
from .names import class_name, in_order, named_classes, network_name, score_name, short_class_name, tone_name
from .panels import figure_listing
from .plots import Series, dot_rows
from .read import mapping
from .tables import figure_cell, heat_table, table, text_cell
from .text import number, plain, safe, spoken

_SIDES = {"synthetic": "synthetic", "real": "real", "real_held_out": "real, val and test splits only"}


def fidelity_panel(fidelity: Mapping[str, Any]) -> str:
    """Shares of images that a classifier recognises as their class, synthetic beside real."""
    sides = {title: mapping(fidelity.get(key)) for key, title in _SIDES.items() if fidelity.get(key)}
    names = in_order(name for shares in sides.values() for name in shares)
    if not names:
        return panel("Is the requested class in the image?", figure_listing(fidelity)) if fidelity else ""
    macro = mapping(fidelity.get("macro"))
    lines = [
        [text_cell(class_name(name), head=True), *(figure_cell(shares.get(name)) for shares in sides.values())]
        for name in names
    ]
    lines += [
        [text_cell("mean of classes", head=True), *(figure_cell(macro.get(key)) for key in _SIDES if fidelity.get(key))]
    ]
    network = network_name(fidelity.get("classifier"))
    drawing = dot_rows(
        [short_class_name(name) for name in names],
        [
            Series("synthetic", [mapping(fidelity.get("synthetic")).get(name) for name in names], MIXED),
            Series("real", [mapping(fidelity.get("real")).get(name) for name in names], REAL, hollow=True),
        ],
        "share of images recognised as their class, synthetic beside real",
        x="share recognised as the class",
        limits=(0, 1),
        bars=True,
    )
    return panel(
        "Is the requested class in the image?",
        side(drawing, table("Share recognised as the requested class", ["class", *sides], lines)),
        _left_out(fidelity.get("left_out")),
        wide=True,
        note=f"Classifier, trained on real images only: {network}. {_sentence(fidelity.get('note'))}",
    )


def _left_out(sets: Any) -> str:
    """Classes that could not be judged."""
    told = [
        f"{plain(role)}: {', '.join(f'{class_name(name)} ({number(n)})' for name, n in classes.items())}"
        for role, classes in mapping(sets).items()
        if isinstance(classes, Mapping) and classes
    ]
    return f"<p>Classes left out, with their images: {safe('; '.join(told))}.</p>" if told else ""


def _sentence(text: Any) -> str:
    told = plain(text).rstrip(".") if text else ""
    return f"{told[0].upper()}{told[1:]}." if told else ""


def confusion_panel(fidelity: Mapping[str, Any]) -> str:
    """What images of each class are taken for, synthetic and real."""
    tables = [
        heat_table(title, named_classes(fidelity.get(key)), "recognised", asked)
        for key, title, asked in (
            ("confusion", "Synthetic images by class", "requested"),
            ("confusion_real", "Real images by class", "true class"),
        )
    ]
    return panel("What the classifier sees", side(*tables), wide=True)


def tone_panel(tone: Mapping[str, Any]) -> str:
    """Requested against measured skin type."""
    if not tone:
        return ""
    groups = [
        _share_table(title, mapping(tone.get(key)), name)
        for key, title, name in (
            ("per_fst", "Inside the requested band, by requested type", tone_name),
            ("per_class", "Inside the requested band, by class", class_name),
        )
    ]
    rest = {k: v for k, v in tone.items() if k not in ("confusion", "share_inside", "per_fst", "per_class")}
    inside = tone.get("share_inside")
    said = f"<p>Inside the requested band: {safe(spoken(inside, share=True))}.</p>" if inside else ""
    return panel(
        "Requested against measured skin tone",
        said,
        side(
            heat_table("Images by tone", tone.get("confusion"), "measured type", "requested"),
            *groups,
            f"<div>{figure_listing(rest)}</div>" if rest else "",
        ),
        wide=True,
        note="Type: a band of the individual typology angle (ITA) measured on healthy skin; a proxy of the "
        "Fitzpatrick type, which is found by asking a person.",
    )


def _share_table(title: str, shares: Mapping[str, Any], name: Callable[[Any], str]) -> str:
    lines = [[text_cell(name(key), head=True), figure_cell(shares[key], share=True)] for key in in_order(shares)]
    return table(title, ["", "share"], lines)


def mask_panel(masks: Mapping[str, Any]) -> str:
    """Whether masks fit: figures with a synthetic and a real side as one table, the rest as a list."""
    both = {key: value for key, value in masks.items() if isinstance(value, Mapping) and "synthetic" in value}
    classes = {key: value for key, value in masks.items() if key.endswith("_per_class") and isinstance(value, Mapping)}
    rest = {key: value for key, value in masks.items() if key not in both and key not in classes}
    unit = f" ({plain(masks['unit_of_contrast'])})" if masks.get("unit_of_contrast") else ""
    lines = [
        [
            text_cell(score_name(key) + (unit if "contrast" in key else ""), head=True),
            *(figure_cell(value.get(role), None) for role in ("synthetic", "real")),
        ]
        for key, value in both.items()
    ]
    by_class = [
        [
            text_cell(class_name(name), head=True),
            *(figure_cell(mapping(value).get(name), None) for value in classes.values()),
        ]
        for name in in_order(name for value in classes.values() for name in value)
    ]
    return panel(
        "Do the masks fit?",
        side(
            table("Mean over images", ["", "synthetic", "real"], lines),
            table(
                "Synthetic images by class",
                ["class", *(score_name(key.removesuffix("_per_class")) for key in classes)],
                by_class,
            ),
            f"<div>{figure_listing(rest)}</div>" if rest else "",
        ),
        wide=True,
    )
