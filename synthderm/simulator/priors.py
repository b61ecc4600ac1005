"""Draws of scene parameters: one distribution for each class, modality and parameter."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files

import numpy as np

from synthderm.core import Condition, ParameterValue, check_parameters, stream

from .parameters import SCENE_PARAMETERS

Prior = dict[str, object]


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[str, Prior]]:
    return json.loads(files("synthderm.simulator").joinpath("priors.json").read_text())


@lru_cache(maxsize=64)
def prior(diagnosis: str, modality: str) -> dict[str, Prior]:
    """The distributions of one class and modality, by parameter.

    Each is either ``{"quantiles": [...], "chance": p}``: with chance p (1 if absent) a number whose
    equally spaced quantiles are given, else 0; or ``{"choices": {...}}``: values with weights. Later
    tables override earlier ones: all, modality, class, class and modality.
    """
    tables = _tables()
    merged: dict[str, Prior] = {}
    for key in ("all", modality, diagnosis, f"{diagnosis} {modality}"):
        merged.update(tables.get(key, {}))
    return merged


def _draw(name: str, distribution: Prior, chance: float, at: float) -> ParameterValue:
    """A value of one distribution from two uniform numbers: whether it is there, and which it is."""
    spec = SCENE_PARAMETERS[name]
    if "choices" in distribution:
        options = distribution["choices"]
        weights = np.cumsum(list(options.values()))
        return spec.parse(list(options)[int(np.searchsorted(weights, at * weights[-1], "right"))])
    if chance >= distribution.get("chance", 1.0):
        return spec.parse(0)
    knots = distribution["quantiles"]
    value = float(np.interp(at, np.linspace(0, 1, len(knots)), knots))
    return spec.parse(round(value) if spec.kind == "int" else value)


def draw_scene(condition: Condition, seed: int) -> dict[str, ParameterValue]:
    """Every scene parameter of one image: the condition's own values, the rest drawn from the prior.

    Each parameter has two uniform numbers of its own: holding one at a value changes no other.

    Raises:
        InputError: for a parameter that does not exist or is out of range.
    """
    held = check_parameters(condition.parameters, SCENE_PARAMETERS)
    distributions = prior(condition.diagnosis, condition.modality)
    draws = stream(seed, "prior").random((len(SCENE_PARAMETERS), 2)).tolist()
    return {
        name: held[name] if name in held else _draw(name, distributions[name], *draw)
        for name, draw in zip(SCENE_PARAMETERS, draws, strict=True)
    }
