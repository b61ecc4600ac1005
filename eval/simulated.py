"""Simulated images that match real rows one by one: the same diagnosis, the same skin tone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

import numpy as np
from real_pack import Row

from synthderm import Condition, Sample, load_generator

TYPICAL_ITA_DEG = 42.0
"""For a row without a tone of its own: the mean of HAM10000 and ISIC 2018 in S-SYNTH's tables."""


def add_simulator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--set NAME=VALUE`` and ``--seed``."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="scene parameter")
    parser.add_argument("--seed", type=int, default=0)


def scene_parameters(settings: Sequence[str]) -> dict[str, object]:
    """``["camera.calibrated=false"]`` to ``{"camera.calibrated": False}``; values are JSON or plain text."""
    parameters = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            parameters[name] = json.loads(text)
        except json.JSONDecodeError:
            parameters[name] = text
    return parameters


def simulate(
    rows: Sequence[Row],
    seed: int,
    parameters: dict[str, object] | None = None,
    modality: str = "dermoscopy",
    masks: str = "lesion",
    size: int = 128,
) -> Iterator[Sample]:
    """One sample for each row, in order, with seeds ``seed * 1_000_000 + i``."""
    generator = load_generator("simulator", size=size, masks=masks)
    tones = [r.ita_deg if np.isfinite(r.ita_deg) else TYPICAL_ITA_DEG for r in rows]
    conditions = [
        Condition(r.diagnosis, ita_deg=float(np.clip(t, -75, 70)), modality=modality, parameters=parameters or {})
        for r, t in zip(rows, tones, strict=True)
    ]
    return generator.sample([seed * 1_000_000 + i for i in range(len(rows))], conditions)
