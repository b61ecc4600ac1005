"""Makes families of images: asks the generator, measures, draws again, writes."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthderm.core import DIAGNOSES, HEALTHY_SKIN, LESION, Sample, load_generator
from synthderm.core.checks import unknown
from synthderm.data.writers import FolderWriter, encode_image
from synthderm.generators.gates import Gate, ToneGate, Verdict
from synthderm.recipe import Family, Job, Recipe, Work

from .rejections import MAX_ATTEMPTS

_IMAGE_TYPES = {"dermoscopy": "dermoscopic", "clinical": "clinical: close-up"}
Result = dict[str, Any]


@dataclass
class _Pending:
    """A family that is not settled yet: how often it has been drawn, and why it was turned down."""

    family: Family
    attempt: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


class Maker:
    """Everything that is needed to make images of one work.

    Args:
        recipe: what is asked for.
        root: the output folder.

    Raises:
        InputError: for a recipe that does not fit the generator.
    """

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.generator = load_generator(recipe.generator, offer=recipe.offered_options(), **recipe.generator_options())
        self.work = Work(recipe, self.generator)
        self.recipe = self.work.recipe
        self.masks = mask_names(recipe.masks, self.generator.attributes)
        self.root = root
        self.gate = ToneGate()

    def make(self, indices: Iterable[int]) -> Iterator[Result]:
        """Make, judge and write the families ``indices``; one result for each, as soon as it is settled.

        As many families are drawn at a time as the recipe's batch size says. Those that are turned down join the next
        draw, so that draws are full until the indices, which are taken as they are needed, come to an end.

        A result holds "family", the manifest "rows" of its images (none if it was given up) and what was
        "rejected" on the way.
        """
        writer = FolderWriter(self.root, image_format=self.recipe.format, masks=self.masks, maps=self.recipe.maps)
        fresh, pending = iter(indices), []
        while True:
            room = max(0, self.recipe.batch_size - len(pending))
            pending += [_Pending(self.work.families[i]) for i in islice(fresh, room)]
            if not pending:
                return
            drawn, pending = pending, []
            for one, jobs, samples in self._draw(drawn):
                if (result := self._settle(one, jobs, samples, writer)) is not None:
                    yield result
                else:
                    pending.append(one)

    def _settle(self, one: _Pending, jobs: list[Job], samples: list[Sample], writer: FolderWriter) -> Result | None:
        """The result of a family; None if it has to be drawn again."""
        verdicts = [self._judge(job, sample) for job, sample in zip(jobs, samples, strict=True)]
        verdicts = self._visible(verdicts, samples)
        fault = next((i for i, verdict in enumerate(verdicts) if not verdict.accepted), None)
        rows = []
        if fault is None:
            rows = [
                {**self._row(job, sample, verdict, one.family, one.attempt), **writer.write(sample, job.image_id)}
                for job, sample, verdict in zip(jobs, samples, verdicts, strict=True)
            ]
        else:
            one.rejected.append(rejection(one.family, one.attempt, jobs[fault], verdicts[fault]))
            one.attempt += 1
            if one.attempt < MAX_ATTEMPTS:
                return None
        return {"family": one.family.index, "rows": rows, "rejected": one.rejected}

    def _draw(self, pending: list[_Pending]) -> Iterator[tuple[_Pending, list[Job], list[Sample]]]:
        """Jobs and samples of each family; the samples of one family at a time are in memory."""
        jobs = [self.work.jobs(one.family, one.attempt) for one in pending]
        flat = [job for members in jobs for job in members]
        samples = iter(self.generator.sample([job.seed for job in flat], [job.condition for job in flat]))
        for one, members in zip(pending, jobs, strict=True):
            yield one, members, list(islice(samples, len(members)))

    def _judge(self, job: Job, sample: Sample) -> Verdict:
        """The tone, then the generator's own gates; without gates all is measured and nothing turned down."""
        image = as_written(sample.image, self.recipe.format)
        gains = tuple(float(sample.metadata.get(f"cast_gain_{name}", 1.0)) for name in ("red", "green", "blue"))
        verdict = self.gate(image, sample.masks[HEALTHY_SKIN], job.condition, gains)
        for gate in self._gates_of(job) if verdict.accepted or not self.recipe.gates else ():
            finding = gate(image, sample, job.condition)
            sample.metadata.update(finding.facts)
            if finding.reason and verdict.accepted:
                verdict = replace(verdict, reason=finding.reason, detail=finding.detail)
        return verdict if self.recipe.gates else replace(verdict, reason="", detail="")

    def _gates_of(self, job: Job) -> tuple[Gate, ...]:
        make = getattr(self.generator, "gates", None)
        return make(job.condition.modality) if make else ()

    def _visible(self, verdicts: list[Verdict], samples: list[Sample]) -> list[Verdict]:
        """Turn a family down if its lesion can be seen on none of its images.

        Where the request itself decides how the lesion looks (a sweep, or a lesion parameter held at a value), what
        was asked for is made, and the manifest says that the lesion is not visible.
        """
        if not self.recipe.gates:
            return verdicts
        held = any(name.startswith(("lesion.", "structure.")) for name in self.recipe.set)
        seen = any(sample.metadata.get("lesion_visible", True) for sample in samples)
        if seen or held or self.recipe.vary or not verdicts[0].accepted:
            return verdicts
        change = samples[0].metadata.get("lesion_delta_e")
        detail = "no visible change of colour" if change is None else f"changes the skin by dE00 {change:.1f}, needs 2"
        return [replace(verdicts[0], reason="lesion not visible", detail=detail), *verdicts[1:]]

    def _row(self, job: Job, sample: Sample, verdict: Verdict, family: Family, attempt: int) -> dict[str, Any]:
        diagnosis = DIAGNOSES[job.condition.diagnosis]
        described = dict(sample.metadata)
        asked_deg = described.pop("ita_requested_deg", job.condition.ita_deg)
        own = {
            "index": job.index,
            "isic_id": job.image_id,
            "lesion_id": f"SYNL_{_short(f'{job.seed} {diagnosis.code}')}",
            "patient_id": f"SYNP_{_short(str(job.seed))}",
            "diagnosis": diagnosis.name,
            "dx": diagnosis.code,
            "dx_type": "simulated",
            "diagnosis_1": diagnosis.diagnosis_1,
            "diagnosis_2": diagnosis.diagnosis_2,
            "diagnosis_3": diagnosis.diagnosis_3,
            "image_type": _IMAGE_TYPES[job.condition.modality],
            "is_synthetic": True,
            "fst_requested": job.condition.fst,
            "ita_requested_deg": None if asked_deg is None else round(float(asked_deg), 3),
            "ita_deg": round(verdict.ita_deg, 3),
            "fst_proxy": verdict.fst,
            "seed": job.seed,
            "generator": self.generator.name,
            "generator_version": str(self.generator.version),
            "family": family.index,
            "attempts": attempt + 1,
        }
        return {**own, **{name: value for name, value in described.items() if name not in own}}


def mask_names(masks: str | tuple[str, ...], attributes: Iterable[str]) -> tuple[str, ...]:
    """The masks that are written: the lesion, and those of "all" or of a list of names.

    Raises:
        InputError: for a name that the generator does not know.
    """
    attributes = tuple(attributes)
    asked = {"lesion": (), "all": attributes}.get(masks, masks) if isinstance(masks, str) else masks
    for name in asked:
        if name not in (LESION, *attributes):
            raise unknown("mask", name, (LESION, *attributes))
    return tuple(dict.fromkeys((LESION, *asked)))


def as_written(image: torch.Tensor, image_format: str) -> torch.Tensor:
    """The (3, H, W) uint8 image as it is read back from its file: a lossy format changes it."""
    if image_format == "png":
        return image
    with Image.open(io.BytesIO(encode_image(image, image_format))) as file:
        return torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)


def rejection(family: Family, attempt: int, job: Job, verdict: Verdict) -> dict[str, Any]:
    """The record of a family that was turned down: the first of its images that failed, and why."""
    return {
        "family": family.index,
        "attempt": attempt,
        "index": job.index,
        "isic_id": job.image_id,
        "seed": job.seed,
        "dx": job.condition.diagnosis,
        "fst_requested": job.condition.fst,
        "ita_deg": None if math.isnan(verdict.ita_deg) else round(verdict.ita_deg, 3),
        "reason": verdict.reason,
        "detail": verdict.detail,
    }


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
