"""The section on honesty: copies, shortcuts, leaks and the watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .drawing import MIXED, REAL
from .layout import panel, panels
from .names import class_name, short_class_name
from .panels import figure_listing, other_panels, picture_panel
from .pictures import picture
from .plots import Series, dot_rows, histogram
from .read import Result, mapping, mappings
from .tables import facts, figure_cell, table, text_cell
from .text import finite, number, percent, plain, safe, spoken, value_of
from .verdict import Answer

QUESTION = "Is it honest?"
LEAD = (
    "Copies of training images, classes that can be told from the background alone, leaks between training and test, "
    "and the mark that says that an image is synthetic."
)
MISSING = "No audit result (audit.json) was found in the folders."

_PAIRS = 24
_KNOWN = ("copies", "shortcut", "leakage", "watermark", "verdict", "reasons")
_MARKS = {"pass": "good", "warn": "open", "fail": "bad"}


def audit_part(result: Result) -> str:
    """All panels of one audit result."""
    copies = result.figures("copies")
    shown = [str(pair.get("picture")) for pair in mappings(copies.get("pairs")) if pair.get("picture")]
    return panels(
        [
            _overall(result),
            _copies_panel(copies),
            _shortcut_panel(result.figures("shortcut")),
            _rest_panel("Leaks between training and test", result.figures("leakage")),
            _rest_panel("Watermark", result.figures("watermark")),
            _pairs_panel(result, copies),
            *other_panels(result, _KNOWN),
            picture_panel(result, shown),
        ]
    )


def _overall(result: Result) -> str:
    verdict, reasons = result.part("figures", "verdict"), result.part("figures", "reasons")
    if not verdict:
        return ""
    told = reasons if isinstance(reasons, (list, tuple)) else [reasons] if reasons else []
    items = "".join(f"<li>{safe(reason)}</li>" for reason in told)
    return panel("Verdict of the audit", f"<p><b>{safe(verdict)}</b></p>" + (f"<ul>{items}</ul>" if items else ""))


def _copies_panel(copies: Mapping[str, Any]) -> str:
    if not copies:
        return ""
    threshold = finite(copies.get("threshold"))
    rest = {
        key: value
        for key, value in copies.items()
        if key not in ("share", "pairs", "score_histogram", "threshold", "false_alarm_rate", "hold_out_n")
    }
    return panel(
        "Copies of training images",
        f"<p>Above the threshold: <b>{safe(spoken(copies.get('share'), share=True))}</b> of the synthetic images.</p>",
        facts(
            {
                "threshold": None if threshold is None else number(threshold),
                "stated false-alarm rate": _rate(copies.get("false_alarm_rate")),
                "real images held out to set it": copies.get("hold_out_n"),
            }
        ),
        _score_drawing(copies.get("score_histogram"), threshold),
        figure_listing(rest) if rest else "",
        note="The threshold is set on real images that were held out: at it, the stated share of them would be "
        "called copies of the training images.",
    )


def _rate(value: Any) -> str | None:
    return percent(value) if finite(value) is not None else None


def _score_drawing(scores: Any, threshold: float | None) -> str:
    """The distribution of scores of synthetic images over that of real ones that were held out."""
    if not isinstance(scores, Mapping):
        return ""
    edges = [finite(edge) for edge in scores.get("edges") or scores.get("bin_edges") or ()]
    named = {"synthetic": ("synthetic", MIXED), "hold_out": ("real, held out", REAL), "counts": ("synthetic", MIXED)}
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


def _pairs_panel(result: Result, copies: Mapping[str, Any]) -> str:
    pairs = mappings(copies.get("pairs"))
    shown = "".join(_pair(result, pair) for pair in pairs[:_PAIRS])
    more = f"The {_PAIRS} nearest of {len(pairs)} pairs. " if len(pairs) > _PAIRS else ""
    return panel(
        "The synthetic images that are most like a training image",
        f'<div class="pairs">{shown}</div>' if shown else "",
        note=f"{more}Beside each synthetic image its nearest training image.",
        wide=True,
    )


def _pair(result: Result, pair: Mapping[str, Any]) -> str:
    flag = " \N{MIDDLE DOT} above the threshold" if pair.get("flagged") or pair.get("copy") else ""
    names = f"{safe(pair.get('synthetic'))} beside {safe(pair.get('train'))}"
    caption = f"<b>score {number(pair.get('score'))}</b>{flag}<br>{names}"
    if not pair.get("picture"):
        return f"<figure><figcaption>{caption}</figcaption></figure>"
    alt = f"synthetic image {plain(pair.get('synthetic'))} beside training image {plain(pair.get('train'))}"
    return picture(result.folder, pair["picture"], caption, alt, most=560)


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
    rest = {k: v for k, v in shortcut.items() if k not in ("synthetic", "real", "per_class")}
    return panel(
        "Can the class be told from the background?",
        drawing,
        table("AUC from the background alone", ["class", "synthetic", "real"], lines),
        figure_listing(rest) if rest else "",
    )


def _side(value: Any, key: str) -> Any:
    """The figure of one side; a bare figure is that of the synthetic images."""
    if isinstance(value, Mapping) and "value" in value:
        return value if key == "synthetic" else None
    return value.get(key) if isinstance(value, Mapping) else value if key == "synthetic" else None


def _rest_panel(title: str, values: Mapping[str, Any]) -> str:
    return panel(title, figure_listing(values)) if values else ""


def audit_answers(results: Sequence[Result]) -> list[Answer]:
    """What the audit results say in short: copies, shortcut, leaks, watermark."""
    if not results:
        return [Answer("Is it honest?", "Not checked", "open", [MISSING], "audit")]
    several = len(results) > 1
    return [
        Answer(
            f"{answer.question} {result.name if several else ''}".strip(),
            answer.word,
            answer.mark,
            answer.text,
            "audit",
        )
        for result in results
        for answer in (_copies(result), _shortcut(result), _leakage(result), _watermark(result))
    ]


def _copies(result: Result) -> Answer:
    question, copies = "Are there copies of training images?", result.figures("copies")
    share, rate = value_of(copies.get("share")), finite(copies.get("false_alarm_rate"))
    if share is None:
        return Answer(question, "Not checked", "open")
    ends = copies["share"].get("interval") if isinstance(copies["share"], Mapping) else None
    low = finite(ends[0]) if ends else share
    more = rate is not None and low is not None and low > rate
    text = [f"Above the threshold: {spoken(copies['share'], share=True)} of the synthetic images."]
    text += [f"Of real images that were held out, {percent(rate)} are above it."] if rate is not None else []
    word = "More than among real images" if more else "No" if share == 0 else "No more than among real images"
    return Answer(
        question,
        word if rate is not None or share == 0 else f"{percent(share)} flagged",
        "bad" if more else "good" if rate is not None or share == 0 else "open",
        text,
    )


def _shortcut(result: Result) -> Answer:
    question, shortcut = "Does the background give the class away?", result.figures("shortcut")
    if value_of(shortcut.get("synthetic")) is None:
        return Answer(question, "Not checked", "open")
    flagged = shortcut.get("flagged")
    text = [
        f"AUC from the background alone: synthetic {spoken(shortcut['synthetic'])}, "
        f"real {spoken(shortcut.get('real'))}; 0.5 is chance."
    ]
    if flagged is None:
        return Answer(question, "See the figures", "open", text)
    names = [class_name(name) for name in flagged] if isinstance(flagged, (list, tuple)) else []
    text += [f"Classes: {', '.join(names)}."] if names else []
    return Answer(question, "Yes" if flagged else "No", "bad" if flagged else "good", text)


def _leakage(result: Result) -> Answer:
    question, leakage = "Do training and test share lesions?", result.figures("leakage")
    if not leakage or leakage.get("checked") is False:
        return Answer(question, "Not checked", "open", [plain(leakage["reason"])] if leakage.get("reason") else [])
    counts = {name: count for name, value in leakage.items() if (count := _count(value)) is not None}
    found = {name: count for name, count in counts.items() if count}
    told = [", ".join(f"{plain(name).replace('_', ' ')}: {number(int(count))}" for name, count in counts.items()) + "."]
    if not counts:
        return Answer(question, "See the figures", "open")
    return Answer(question, "Yes" if found else "No", "bad" if found else "good", told)


def _count(value: Any) -> float | None:
    if isinstance(value, (list, tuple)):
        return len(value)
    if isinstance(value, Mapping):
        return value_of(value)
    return finite(value)


def _watermark(result: Result) -> Answer:
    question, mark = "Do the images carry the watermark?", result.figures("watermark")
    if not mark or not mark.get("checked"):
        reason = mark.get("reason")
        return Answer(question, "Not checked", "open", [f"{plain(reason)}."] if reason else [])
    share = mark.get("share")
    text = [f"Share that carries it: {spoken(share, share=True)}."]
    rate = finite(mark.get("false_positive_rate"))
    text += [f"Stated false-positive rate: {number(rate)}."] if rate is not None else []
    value = value_of(share)
    if value is None:
        return Answer(question, "See the figures", "open")
    return Answer(
        question, f"{percent(value)} of them", "good" if value > 0.99 else "bad" if value < 0.5 else "open", text
    )
