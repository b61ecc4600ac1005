"""The images of ``--vary``: one thing goes through its range, all else is held fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthderm.core import DIAGNOSES, InputError, ParameterValue, parse_diagnosis, parse_fst
from synthderm.core.checks import unknown

from .fields import Tone, read_ita
from .layouts import Request
from .recipe import Recipe

DEFAULT_SWEEP_IMAGES = 9
DEFAULT_SWEEP_FST = 2


def sweep_requests(recipe: Recipe, specs: Mapping[str, Any]) -> list[Request]:
    """The images of ``recipe.vary``: NAME, NAME=low:high or NAME=a,b,c over a parameter, fst, ita or class.

    Raises:
        InputError: for an unknown name, values out of range, or more than one class or tone held fixed.
    """
    name, _, values = recipe.vary.partition("=")
    name = {"diagnosis": "class"}.get(name.strip(), name.strip())
    if name not in ("class", "fst", "ita") and name not in specs:
        raise unknown("name to vary", name, [*specs, "class", "fst", "ita"], "see `synthderm info --parameters`")
    held = recipe.set
    if name in held:
        raise InputError(f"{name} is set and varied; give one of the two")
    classes = _sweep_classes(recipe, name, values)
    tones = _sweep_tones(recipe, name, values)
    if name in ("class", "fst", "ita"):
        requests = [Request(code, tone, held) for code in classes for tone in tones]
    else:
        swept = _sweep_values(specs[name], values, recipe.num_images)
        requests = [Request(classes[0], tones[0], {**held, name: value}) for value in swept]
    if recipe.num_images not in (None, len(requests)):
        raise InputError(f"vary {recipe.vary} makes {len(requests)} images, but n is {recipe.num_images}")
    return requests


def _sweep_classes(recipe: Recipe, name: str, values: str) -> Sequence[str]:
    if name == "class":
        return [parse_diagnosis(v) for v in values.split(",")] if values else recipe.diagnosis or list(DIAGNOSES)
    if len(recipe.diagnosis) != 1:
        raise InputError(f"vary {name} holds all else fixed: give one class, not {len(recipe.diagnosis)}")
    return recipe.diagnosis


def _sweep_tones(recipe: Recipe, name: str, values: str) -> Sequence[Tone]:
    if name == "fst":
        return [Tone(fst) for fst in parse_fst(values.replace(":", "-") or list(recipe.fst) or "all")]
    if name == "ita":
        ends = read_ita(values or "60:-60")
        if len(ends) == 1:
            low, high = ends[0]
            ends = [(a, a) for a in _steps(high, low, recipe.num_images or DEFAULT_SWEEP_IMAGES)]
        return [Tone(None, low, high) for low, high in ends]
    tones = recipe.tones if recipe.fst or recipe.ita else (Tone(DEFAULT_SWEEP_FST),)
    if len(tones) != 1:
        raise InputError(f"vary {name} holds all else fixed: give one tone, not {len(tones)}")
    return tones


def _sweep_values(spec: Any, values: str, n: int | None) -> list[ParameterValue]:
    low, colon, high = values.replace("..", ":").partition(":")
    if colon:
        low_value, high_value = float(spec.parse(low)), float(spec.parse(high))
        return [spec.parse(v) for v in _steps(low_value, high_value, n or DEFAULT_SWEEP_IMAGES)]
    if values:
        return [spec.parse(v.strip()) for v in values.split(",")]
    if n is None and spec.kind in ("choice", "bool"):
        n = len(spec.choices) or 2
    return spec.sweep(n or DEFAULT_SWEEP_IMAGES)


def _steps(low: float, high: float, n: int) -> list[float]:
    return [round(low + (high - low) * i / max(n - 1, 1), 9) for i in range(n)]
