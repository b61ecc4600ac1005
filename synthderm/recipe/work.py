"""The work of a recipe: its images, what identifies them and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from typing import Any

from synthderm.core import DIAGNOSES, InputError, ParameterValue, check_parameters, image_seed
from synthderm.core.registry import default_size
from synthderm.data.plan_file import read_plan
from synthderm.data.planning import Plan
from synthderm.models.prompts import PromptRequest, parse_prompt

from .fields import Tone
from .layouts import Cells, Cycle, Family, Job, Layout, Pairs, Request, Sweep
from .naming import digest
from .prompt import attribute_parameters
from .recipe import WHERE_IT_RUNS, Recipe
from .sweep import sweep_requests

DEFAULT_IMAGES = 12


class Work:
    """A recipe with its generator: the families to make, and what they are called.

    Args:
        recipe: what is asked for; :attr:`recipe` is the same with its defaults filled in.
        generator: anything with ``name``, ``version`` and ``parameters``. If it has ``one_process``, no worker
            processes are started by default; ``reads_prompts`` says that it is given the prompt's text, and
            ``notes(conditions)`` what a person should know of these conditions.

    Attributes:
        notes: what of the request cannot be had, or should be known.

    Raises:
        InputError: if no class is given, a parameter is unknown or out of range, or n does not fit.
    """

    def __init__(self, recipe: Recipe, generator: Any) -> None:
        asked, self.notes = self._from_prompt(recipe, generator)
        held = check_parameters({**asked, **recipe.set}, generator.parameters)
        plan = read_plan(recipe.plan) if recipe.plan else None
        modality = recipe.modality or (plan and plan.modality) or "dermoscopy"
        workers = 0 if recipe.workers is None and getattr(generator, "one_process", False) else recipe.workers
        size = recipe.size or default_size(recipe.generator)
        self.recipe = replace(recipe, set=held, modality=modality, workers=workers, size=size)
        self.families = self._families(generator, plan)
        self.num_images = self.families.num_images
        for request in self._kinds():
            request.condition(0, modality)
        if hasattr(generator, "notes"):
            self.notes += generator.notes([request.condition(0, modality) for request in self._kinds()])
        self.identity = self._identity(generator)
        self.digest = digest(self.identity)[:8]

    def jobs(self, family: Family, attempt: int = 0) -> list[Job]:
        """The images of a family at its n-th attempt; they depend on (run seed, family, attempt) alone."""
        seed = image_seed(self.recipe.seed, family.index, attempt)
        return [
            Job(index, seed, request.condition(seed, self.recipe.modality), self.image_id(index))
            for index, request in enumerate(family.requests, family.first)
        ]

    def image_id(self, index: int) -> str:
        """Name of image ``index``: the same for every n, worker count, batch size, shard and folder."""
        return f"SYN_{self.digest}_{index:06d}"

    def shard(self) -> Iterator[Family]:
        """The families of this run's shard: every n-th one."""
        k, n = self.recipe.shard
        return (self.families[i] for i in range(k - 1, len(self.families), n))

    @staticmethod
    def _from_prompt(recipe: Recipe, generator: Any) -> tuple[dict[str, ParameterValue], tuple[str, ...]]:
        """Parameters that the prompt's attributes stand for, and what of the prompt is not followed."""
        asked = recipe.prompt_request
        reads = getattr(generator, "reads_prompts", False)
        if recipe.prompt and not reads and asked == replace(PromptRequest(), ignored=asked.ignored):
            parse_prompt(recipe.prompt)
        held, missing = attribute_parameters(asked, generator.parameters)
        notes = []
        if asked.ignored and not reads:
            notes.append(f"not understood in the prompt: {', '.join(asked.ignored)}")
        if missing and not reads:
            notes.append(f"the generator {generator.name} has no control of {', '.join(missing)}")
        return held, tuple(notes)

    def _families(self, generator: Any, plan: Plan | None) -> Layout:
        recipe = self.recipe
        if plan:
            if not plan.total:
                raise InputError(f"the plan {recipe.plan} asks for no images: nothing is missing")
            return Cells([(cell.diagnosis, cell.fst, cell.count) for cell in plan.cells], recipe.set)
        if recipe.vary:
            return Sweep(sweep_requests(recipe, generator.parameters))
        if not recipe.diagnosis:
            raise InputError(f"which class? give --class, one or more of {', '.join(DIAGNOSES)}, or all")
        kind = Pairs if recipe.paired else Cycle
        images = recipe.num_images or (2 * len(recipe.tones) if recipe.paired else DEFAULT_IMAGES)
        return kind(recipe.diagnosis, recipe.tones, recipe.set, images)

    def _kinds(self) -> Sequence[Request]:
        recipe, families = self.recipe, self.families
        if isinstance(families, Sweep):
            return families.requests
        if isinstance(families, Cells):
            return [Request(code, Tone(fst)) for code, fst, _ in families.cells]
        return [Request(code, tone) for code in recipe.diagnosis for tone in recipe.tones]

    def _identity(self, generator: Any) -> dict[str, Any]:
        flags = self.recipe.to_flags()
        for name in ("num_images", *WHERE_IT_RUNS):
            flags.pop(name, None)
        if isinstance(self.families, Cells):
            flags["plan"] = [list(cell) for cell in self.families.cells]
        if isinstance(self.families, Sweep):
            flags["vary"] = [[r.diagnosis, *astuple(r.tone), dict(r.parameters)] for r in self.families.requests]
        return {**flags, "generator": generator.name, "generator_version": str(generator.version)}
