"""Simulated training images of the flow: every class on every tone, with the casts of three data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from synthderm.core import InputError, Sample
from synthderm.core.condition import Condition
from synthderm.core.threads import one_thread
from synthderm.core.tone import TONE_BANDS
from synthderm.models.flow.conditions import CLASSES

from .images import FlowImages

SHARD = 256
"""Images per file."""

PHOTOGRAPHS, ISIC2017 = 0.2, 0.2
"""Shares of clinical photographs and of ISIC 2017's casts; the rest has HAM10000's."""

UNCALIBRATED = 0.3
"""Share of dermoscopic images whose cast is free, as in the real sets: pink skin that has no valid ITA."""

_CASTS = {"padufes20": "pad_ufes_20", "isic2017": "isic2017", "ham10000": "ham10000"}
_LEAST_LESION_PX = 40


def draw_request(rng: np.random.Generator) -> tuple[str, int, Condition]:
    """Style, image seed and condition of one training image: classes and tones all alike often."""
    code, share = CLASSES[rng.integers(len(CLASSES))], rng.random()
    style = "padufes20" if share < PHOTOGRAPHS else "isic2017" if share < PHOTOGRAPHS + ISIC2017 else "ham10000"
    held: dict[str, object] = {"camera.cast": _CASTS[style]}
    fst = int(rng.integers(1, 7))
    if rng.random() < UNCALIBRATED and style != "padufes20":
        fst, held["camera.calibrated"] = int(rng.integers(1, 5)), False
    band = TONE_BANDS[fst - 1]
    ita = float(rng.uniform(band.draw_low_deg, band.draw_high_deg))
    modality = "clinical" if style == "padufes20" else "dermoscopy"
    return style, int(rng.integers(2**40)), Condition(code, ita_deg=ita, modality=modality, parameters=held)


def simulate_shard(seed: int, number: int, size: int) -> FlowImages:
    """The n-th 256 training images of a seed, without those whose lesion cannot be seen."""
    from synthderm.generators.simulated import SimulatorGenerator

    generator, rng = SimulatorGenerator(size=size), np.random.default_rng([seed, number])
    found: list[tuple[Sample, str, str]] = []
    for _ in range(SHARD):
        style, image_seed, condition = draw_request(rng)
        sample = next(generator.sample([image_seed], condition))
        if sample.metadata["lesion_visible"] and int(sample.masks["lesion"].sum()) > _LEAST_LESION_PX:
            found.append((sample, condition.diagnosis, style))
    samples, codes, styles = zip(*found, strict=True)
    images, masks = (torch.stack(x) for x in ([s.image for s in samples], [s.masks["lesion"] for s in samples]))
    return FlowImages.measured(images, masks, codes, styles)


def simulated_images(folder: Path, shards: int, *, seed: int = 77, size: int = 128, workers: int = 1) -> Iterator[int]:
    """Make the shards that are missing in ``folder``; yields the number of those that are there after each.

    Raises:
        InputError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
    missing = [n for n in range(shards) if not shard_path(folder, n).is_file()]
    done = shards - len(missing)
    yield done
    jobs = [(folder, n, seed, size) for n in missing]
    with ExitStack() as stack:
        apply = map
        if workers > 1 and missing:
            apply = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn"))).map
        for made, _ in enumerate(apply(_make, jobs), done + 1):
            yield made


def _make(job: tuple[Path, int, int, int]) -> None:
    folder, number, seed, size = job
    with one_thread():
        simulate_shard(seed, number, size).save(shard_path(folder, number))


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"{number:05d}.safetensors"


def load_shards(paths: Sequence[Path]) -> FlowImages:
    """The images of several shards in one.

    Raises:
        InputError: if there are none.
    """
    if not paths:
        raise InputError("there are no training images; expected at least one shard")
    return FlowImages.cat([FlowImages.load(path) for path in paths])
