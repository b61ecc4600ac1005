"""What the audits say in short: the verdict, copies, shortcut, leaks, watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .names import class_name
from .read import Result, mapping
from .text import finite, interval_of, number, percent, plain, spoken, value_of
from .verdict import Answer

_MARKS = {"pass": "good", "warn": "open", "fail": "bad"}
_WORDS = {"pass": "Nothing was found", "warn": "There is something to look at", "fail": "No"}


def audit_answers(results: Sequence[Result], missing: str) -> list[Answer]:
    """Five answers for each audit; ``missing`` is said where there is none."""
    if not results:
        return [Answer("Is it honest?", "Not checked", "open", [missing], "audit")]
    return [
        replace(answer, question=f"{answer.question} {result.name if len(results) > 1 else ''}".strip(), anchor="audit")
        for result in results
        for answer in (_verdict(result), _copies(result), _shortcut(result), _leakage(result), _watermark(result))
        if answer
    ]


def _verdict(result: Result) -> Answer | None:
    """What the audit itself concludes; None where it does not."""
    verdict = result.part("figures", "verdict")
    if not verdict:
        return None
    reasons = result.part("figures", "reasons")
    told = [str(reason) for reason in reasons] if isinstance(reasons, (list, tuple)) else [str(reasons or "")]
    word = f"{_WORDS.get(verdict, plain(verdict))} (verdict of the audit: {plain(verdict)})"
    return Answer("Is it honest?", word, _MARKS.get(verdict, "open"), [sentence(text) for text in told if text])


def sentence(text: Any) -> str:
    """A text with a capital and a full stop."""
    told = plain(text).rstrip(".") if text else ""
    return f"{told[0].upper()}{told[1:]}." if told else ""


def _copies(result: Result) -> Answer:
    question, copies = "Are there copies of training images?", result.figures("copies")
    share, rate, exact = copies.get("share"), finite(copies.get("false_alarm_rate")), finite(copies.get("exact"))
    told = [f"{number(int(exact))} are training images pixel for pixel."] if exact else []
    value, ends = value_of(share), interval_of(share)
    if value is None:
        n = mapping(share).get("n")
        told += [f"Too few synthetic images (n {plain(n)}) for a share."] if n is not None else []
        return Answer(question, "Yes, exact ones" if exact else "Not measured", "bad" if exact else "open", told)
    told.insert(0, f"Above the threshold: {spoken(share, share=True)} of the synthetic images.")
    told += [f"The threshold lets {percent(rate)} of other real images pass for copies."] if rate is not None else []
    if exact:
        return Answer(question, "Yes, exact ones", "bad", told)
    if rate is None or ends is None:
        return Answer(question, "None" if value == 0 else "See the figures", "good" if value == 0 else "open", told)
    more = ends[0] > rate
    return Answer(question, "Yes, more than chance" if more else "No more than chance", "bad" if more else "good", told)


def _shortcut(result: Result) -> Answer:
    question, shortcut = "Does the background give the class away?", result.figures("shortcut")
    if value_of(shortcut.get("synthetic")) is None:
        return Answer(question, "Not measured", "open")
    flagged = shortcut.get("flagged")
    told = [
        f"AUC from the background alone: synthetic {spoken(shortcut['synthetic'])}, "
        f"real {spoken(shortcut.get('real'))}; 0.5 is chance."
    ]
    names = [class_name(name) for name in flagged] if isinstance(flagged, (list, tuple)) else []
    told += [f"Classes: {', '.join(names)}."] if names else []
    told += [sentence(shortcut["rule"])] if shortcut.get("rule") else []
    if flagged is None:
        return Answer(question, "See the figures", "open", told)
    word = "Yes" if flagged else "No more than in the real images" if value_of(shortcut.get("real")) else "No"
    return Answer(question, word, "bad" if flagged else "good", told)


def _leakage(result: Result) -> Answer:
    question, leakage = "Do training, test and synthetic images share anything?", result.figures("leakage")
    if not leakage or leakage.get("checked") is False:
        return Answer(question, "Not checked", "open", _reason(leakage))
    counts = {name: count for name, value in leakage.items() if (count := found_count(value)) is not None}
    if not counts:
        return Answer(question, "See the figures", "open")
    each = [f"{plain(name).replace('_', ' ')}: {number(n)}" for name, n in counts.items()]
    told = [f"{', '.join(each)}."]
    sure = any(count for name, count in counts.items() if not name.startswith("near")) or _many_near(leakage)
    if sure:
        return Answer(question, "Yes", "bad", told)
    near = any(counts.values())
    return Answer(question, "Near duplicates, to look at" if near else "No", "open" if near else "good", told)


def _many_near(leakage: Mapping[str, Any]) -> bool:
    """Whether there are more near duplicates than among real images that are none."""
    shares = mapping(leakage.get("near_shares"))
    usual = finite(mapping(shares.get("among_hold_out_images")).get("rate"))
    ends = [interval_of(share) for share in shares.values()]
    return usual is not None and any(end[0] > usual for end in ends if end)


def found_count(value: Any) -> int | None:
    """How much was found: the length of a list, or a count; None for anything else."""
    if isinstance(value, (list, tuple)):
        return len(value)
    count = value_of(value) if isinstance(value, Mapping) else finite(value)
    return None if count is None else int(count)


def _watermark(result: Result) -> Answer:
    question, mark = "Do the images carry the watermark?", result.figures("watermark")
    stated = mark.get("metadata_says_synthetic")
    told = (
        [f"Their rows say that they are synthetic: {spoken(stated, share=True)}."]
        if value_of(stated) is not None
        else []
    )
    if not mark.get("checked"):
        return Answer(question, "Not checked", "open", [*_reason(mark), *told])
    share, rate = mark.get("share"), finite(mark.get("false_positive_rate"))
    value = value_of(share)
    if value is None:
        return Answer(question, "See the figures", "open", told)
    told.insert(0, f"Share that carries it: {spoken(share, share=True)}.")
    told += [f"Stated false-positive rate: {number(rate)}."] if rate is not None else []
    return Answer(question, f"{percent(value)} of them", "good" if value > 0.99 else "open", told)


def _reason(part: Mapping[str, Any]) -> list[str]:
    return [sentence(part["reason"])] if part.get("reason") else []
