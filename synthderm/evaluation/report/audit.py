"""The section on honesty: copies, shortcuts, leaks, watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .audit_answers import sentence
from .drawing import MIXED, REAL
from .layout import folded, panel, panels, side
from .names import short_class_name
from .panels import figure_listing, other_panels, picture_panel
from .pictures import picture
from .plots import Series, dot_rows, histogram
from .read import Result, mapping, mappings
from .tables import count_cell, facts, figure_cell, listing, table, text_cell
from .text import finite, number, percent, plain, safe, spoken, value_of

QUESTION = "Is it honest?"
LEAD = (
    "Copies of training images, classes that can be told from the background alone, leaks between training and test, "
    "and the mark that says that an image is synthetic."
)
MISSING = "No audit result (audit.json) was found in the folders."

_PAIRS = 24
_PAIR_TITLES = {
    "pairs": (
        "The synthetic images that are most like a training image",
        "Beside each synthetic image the training image that it is most like.",
    ),
    "hold_out_pairs": (
        "For comparison: other real images that are most like a training image",
        "Real images of other lesions or patients, which set the threshold, each beside its training image.",
    ),
}
_FILES = {"files": "above the threshold", "exact_files": "training images pixel for pixel"}
_COPY_FACTS = {
    "false_alarm_rate": "stated false-alarm rate",
    "hold_out_n": "real images that set it",
    "exact": "equal to a training image, pixel for pixel",
}
_KNOWN = ("copies", "shortcut", "leakage", "watermark", "verdict", "reasons")


def audit_part(result: Result) -> str:
    """All panels of one audit result."""
    copies = result.figures("copies")
    lists = {key: mappings(copies.get(key)) for key in _PAIR_TITLES}
    shown = [str(pair["picture"]) for pairs in lists.values() for pair in pairs if pair.get("picture")]
    return panels(
        [
            _overall(result),
            _copies_panel(copies),
            *(_pairs_panel(result, lists[key], *titles) for key, titles in _PAIR_TITLES.items()),
            _shortcut_panel(result.figures("shortcut")),
            _leakage_panel(result.figures("leakage")),
            _rest_panel("Watermark", result.figures("watermark")),
            *other_panels(result, _KNOWN),
            picture_panel(result, shown),
        ]
    )


def _overall(result: Result) -> str:
    verdict, reasons = result.part("figures", "verdict"), result.part("figures", "reasons")
    if not verdict:
        return ""
    told = reasons if isinstance(reasons, (list, tuple)) else [reasons] if reasons else []
    items = "".join(f"<li>{safe(sentence(reason))}</li>" for reason in told)
    said = f"<ul>{items}</ul>" if items else "<p>Nothing was found.</p>"
    return panel("Verdict of the audit", f"<p><b>{safe(verdict)}</b></p>", said, wide=True)


def _copies_panel(copies: Mapping[str, Any]) -> str:
    if not copies:
        return ""
    threshold = finite(copies.get("threshold"))
    files = {key: copies[key] for key in _FILES if copies.get(key)}
    known = (*_PAIR_TITLES, *_FILES, *_COPY_FACTS, "share", "score_histogram", "threshold", "score", "rule")
    rest = {key: value for key, value in copies.items() if key not in known}
    said = f"Above the threshold: {spoken(copies.get('share'), share=True)} of the synthetic images."
    if value_of(copies.get("share")) is None:
        said = f"Too few synthetic images for a share (n {plain(mapping(copies.get('share')).get('n'))})."
    return panel(
        "Copies of training images",
        f"<p><b>{safe(said)}</b></p>",
        facts(
            {"threshold": None if threshold is None else number(threshold)}
            | {name: _fact(key, copies.get(key)) for key, name in _COPY_FACTS.items()}
        ),
        side(_score_drawing(copies, threshold), f"<div>{figure_listing(rest)}</div>" if rest else ""),
        *(folded(f"{len(value)} files: {_FILES[key]}", listing(value)) for key, value in files.items()),
        note=" ".join(
            sentence(text) for text in (copies.get("score") and f"score: {copies['score']}", copies.get("rule")) if text
        ),
        wide=True,
    )


def _fact(key: str, value: Any) -> str | None:
    found = finite(value)
    if found is None:
        return None
    return percent(found) if key.endswith("rate") else number(int(found))


def _score_drawing(copies: Mapping[str, Any], threshold: float | None) -> str:
    """The distribution of scores of synthetic images over that of real ones that were held out."""
    scores = mapping(copies.get("score_histogram"))
    edges = [finite(edge) for edge in scores.get("edges") or ()]
    named = {"synthetic": ("synthetic", MIXED), "hold_out": ("real, held out", REAL)}
    parts = [
        (title, edges, scores[key], colour)
        for key, (title, colour) in named.items()
        if isinstance(scores.get(key), (list, tuple)) and len(scores[key]) == len(edges) - 1
    ]
    if None in edges or not parts:
        return ""
    return histogram(
        parts,
        "distribution of copy scores of synthetic images and of real images that were held out, with the threshold",
        x="copy score (higher is more alike)",
        threshold=threshold,
        above=True,
    )


def _pairs_panel(result: Result, pairs: Sequence[Mapping[str, Any]], title: str, note: str) -> str:
    shown = "".join(_pair(result, pair) for pair in pairs[:_PAIRS])
    more = f" The first {_PAIRS} of {len(pairs)}." if len(pairs) > _PAIRS else ""
    return panel(title, f'<div class="pairs">{shown}</div>' if shown else "", note=f"{note}{more}", wide=True)


def _pair(result: Result, pair: Mapping[str, Any]) -> str:
    flag = " \N{MIDDLE DOT} above the threshold" if pair.get("flagged") else ""
    files = [plain(pair[key]) for key in ("synthetic", "hold_out", "train") if pair.get(key)]
    names = " beside ".join(files)
    caption = f"<b>score {number(pair.get('score'))}</b>{flag}<br>{safe(names)}"
    if not pair.get("picture"):
        return f"<figure><figcaption>{caption}</figcaption></figure>"
    return picture(result.folder, pair["picture"], caption, names, most=560)


def _shortcut_panel(shortcut: Mapping[str, Any]) -> str:
    if not shortcut:
        return ""
    classes = mapping(shortcut.get("per_class"))
    names = ["all classes", *(short_class_name(name) for name in classes)]
    both = {
        key: [shortcut.get(key), *(_side(value, key) for value in classes.values())] for key in ("synthetic", "real")
    }
    drawing = dot_rows(
        names,
        [Series("synthetic", both["synthetic"], MIXED), Series("real", both["real"], REAL, "s", hollow=True)],
        "AUC of a classifier that sees the background only, synthetic beside real, by class",
        x="AUC from the background alone (0.5: chance)",
        line=0.5,
    )
    lines = [
        [text_cell(name, head=True), figure_cell(synthetic), figure_cell(real)]
        for name, synthetic, real in zip(names, both["synthetic"], both["real"], strict=True)
    ]
    rest = {k: v for k, v in shortcut.items() if k not in ("synthetic", "real", "per_class", "rule")}
    return panel(
        "Can the class be told from the background?",
        side(
            drawing,
            table("AUC from the background alone", ["class", "synthetic", "real"], lines),
            f"<div>{figure_listing(rest)}</div>" if rest else "",
        ),
        note=sentence(shortcut.get("rule")),
        wide=True,
    )


def _side(value: Any, key: str) -> Any:
    """The figure of one side; a bare figure is that of the synthetic images."""
    if isinstance(value, Mapping) and "value" in value:
        return value if key == "synthetic" else None
    return value.get(key) if isinstance(value, Mapping) else value if key == "synthetic" else None


def _leakage_panel(leakage: Mapping[str, Any]) -> str:
    """How much of each kind was found, and what, folded."""
    lists = {key: value for key, value in leakage.items() if isinstance(value, (list, tuple))}
    lines = [
        [text_cell(plain(key).replace("_", " "), head=True), count_cell(len(value))] for key, value in lists.items()
    ]
    rest = {key: value for key, value in leakage.items() if key not in lists}
    return panel(
        "Leaks between training, test and synthetic images",
        table("What was found", ["", "number"], lines),
        *(folded(plain(key).replace("_", " "), listing(value)) for key, value in lists.items() if value),
        figure_listing(rest),
    )


def _rest_panel(title: str, values: Mapping[str, Any]) -> str:
    return panel(title, figure_listing(values)) if values else ""
