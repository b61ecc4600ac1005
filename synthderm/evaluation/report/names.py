"""Plain names of classes, skin types, scopes, scores and networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthderm.core import DIAGNOSES

from .text import finite, plain

SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_auroc": "macro AUROC",
    "macro_auprc": "macro AUPRC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "ece": "calibration error (ECE)",
    "dice": "Dice",
    "recall": "sensitivity",
    "f1": "F1",
}
LOWER_IS_BETTER = ("ece", "brier", "nll", "tone_gap", "normalised_accuracy_range", "normalized_accuracy_range")
"""Scores of which less is better."""

_HASH = 12


def class_name(code: Any) -> str:
    """The plain name of a class code; any other name as it is."""
    return DIAGNOSES[code].name if isinstance(code, str) and code in DIAGNOSES else plain(code)


def short_class_name(code: Any) -> str:
    """The first of the names of a class, for drawings and the heads of tables."""
    return class_name(code).split(" / ")[0]


def tone_name(fst: Any) -> str:
    """A Fitzpatrick type, or a band of types, as text."""
    text = plain(fst)
    return f"type {text}" if text[:1].isdigit() else "type not known" if text == "None" else text


def score_name(key: Any) -> str:
    """The plain name of a score."""
    text = plain(key)
    return SCORES.get(text) or text.replace("_at_", " at ").replace("_", " ")


def scope_name(line: Mapping[str, Any], *, short: bool = False) -> str:
    """What images a line of the result is about."""
    name = short_class_name if short else class_name
    parts = [name(line["diagnosis"])] if line.get("diagnosis") is not None else []
    parts += [tone_name(line["fst"])] if line.get("fst") is not None else []
    scope = plain(line.get("scope") or "all images")
    return ", ".join(parts) or ("all images" if scope in ("all", "overall", "set") else scope)


def network_name(value: Any) -> str:
    """A network as one phrase: its name, then what else is known of it; hashes are shortened."""
    if not isinstance(value, Mapping):
        return plain(value)
    rest = [
        f"{plain(key).replace('_', ' ')} {plain(inner)[:_HASH] if 'sha256' in str(key) else plain(inner)}"
        for key, inner in value.items()
        if key != "name" and inner is not None
    ]
    return plain(value.get("name")) + (f" ({', '.join(rest)})" if rest else "")


def named_classes(confusion: Any) -> Any:
    """A confusion matrix with the plain names of its classes."""
    if not isinstance(confusion, Mapping):
        return None
    named = {key: [short_class_name(name) for name in confusion.get(key) or ()] for key in ("rows", "columns")}
    return {**confusion, **named}


def in_order(names: Any) -> list[Any]:
    """Classes in the order of the diagnoses, types by number, others as they come."""
    order = list(DIAGNOSES)

    def place(name: Any) -> tuple[int, float]:
        if name in order:
            return 0, order.index(name)
        number = finite(float(name)) if str(name).replace(".", "", 1).isdigit() else None
        return (1, number) if number is not None else (2, 0.0)

    return sorted(dict.fromkeys(names), key=place)
