"""The whole path from a recipe to a finished folder."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthderm.core import InputError
from synthderm.core.threads import one_thread
from synthderm.data import FolderWriter, Journal, finish_folder
from synthderm.data.files import write_atomic
from synthderm.data.writers import check_space
from synthderm.recipe import Recipe, Work, default_folder, load_recipe

from .folder import claim_folder
from .maker import Maker
from .pool import run_pool
from .rejections import Rejections, by_reason, given_up
from .summary import RunSummary, tone_rows
from .worker import start_message

PLAN_COPY = "plan.yaml"

Progress = Callable[[int, int], None]
"""Told (images that are there, images of this shard) whenever either changes."""

_IMAGES_WORTH_A_WORKER = 8


def generate(recipe: Recipe | str | Path | None = None, progress: Progress | None = None, **flags: Any) -> RunSummary:
    """Make the images of a recipe, or those of it that are still missing.

    The folder is the state: a run that was stopped in any way is finished by the same call, which makes only
    what is not there, and every byte is what an uninterrupted run would have written.

    Args:
        recipe: a recipe, a file, or the name of one that ships with the library.
        progress: called as images are finished.
        **flags: the flags of ``synthderm generate`` (``diagnosis`` for ``--class``), on top of the recipe.

    Returns:
        What was made, with the requested and the measured tone.

    Raises:
        InputError: for a request that cannot be met or a folder that holds something else.
        SynthdermError: if a worker process dies.

    Example:
        >>> summary = generate(diagnosis="melanoma", fst=5, num_images=2, output="out")  # doctest: +SKIP
    """
    maker = Maker(with_flags(recipe, flags), Path())
    recipe, work = maker.recipe, maker.work
    root = maker.root = recipe.output or default_folder(recipe, work.num_images)
    claim_folder(root, work, recipe.overwrite)
    with Journal(root, recipe.shard) as journal:
        rejections = Rejections(root, recipe.shard)
        done = journal.done()
        check_not_shrunk(root, done, work)
        lost = given_up(rejections.read())
        todo = missing_families(work, done, set(lost))
        images = count_images(work)
        here = images - sum(len(work.families[i].requests) for i in todo)
        check_space(root, images - here, recipe.size, recipe.format, masks=len(maker.masks), maps=recipe.maps)
        workers = worker_count(recipe, images - here)
        started, made = time.monotonic(), 0
        with closing(results(maker, todo, workers)) as settled:
            for result in settled:
                rejections.append(result["rejected"])
                for row in result["rows"]:
                    journal.append(row)
                made += len(result["rows"])
                if progress:
                    progress(here + made, images)
        seconds = time.monotonic() - started
    return finish(maker, rejections, images, made, workers, seconds)


def with_flags(recipe: Recipe | str | Path | None, flags: dict[str, Any]) -> Recipe:
    """The recipe with ``flags`` on top."""
    if isinstance(recipe, Recipe):
        return replace(recipe, **flags) if flags else recipe
    return load_recipe(recipe, flags)


def missing_families(work: Work, done: Collection[int], lost: set[int]) -> list[int]:
    """Numbers of this shard's families that are neither finished nor given up."""
    return [
        family.index
        for family in work.shard()
        if family.index not in lost
        and not all(i in done for i in range(family.first, family.first + len(family.requests)))
    ]


def count_images(work: Work) -> int:
    """Images of this run's shard."""
    return sum(len(family.requests) for family in work.shard())


def check_not_shrunk(root: Path, done: Collection[int], work: Work) -> None:
    """Refuse to describe fewer images than the folder holds.

    Raises:
        InputError: if an image is there that this n does not reach.
    """
    if done and max(done) >= work.num_images:
        raise InputError(
            f"{root} already holds image {max(done)} of this recipe, more than n = {work.num_images}; "
            f"give -n {max(done) + 1} or more, or another --output"
        )


def worker_count(recipe: Recipe, images: int) -> int:
    """Processes to start: as asked for, or one per processor but no more than the images are worth."""
    if recipe.workers is not None:
        return min(recipe.workers, images)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, images // _IMAGES_WORTH_A_WORKER)


def results(maker: Maker, todo: list[int], workers: int) -> Iterator[dict[str, Any]]:
    """Make the families, here or in worker processes."""
    recipe = maker.recipe
    if workers == 0:
        with one_thread():
            yield from maker.make(todo)
        return
    FolderWriter(maker.root)  # the folders are there before the processes race to make them
    batch_size = max(1, min(recipe.batch_size, math.ceil(len(todo) / (2 * workers))))
    yield from run_pool(start_message(recipe, maker.root, maker.work.digest), todo, workers, batch_size)


def resolved(maker: Maker) -> dict[str, Any]:
    """The recipe for the record: run from the output folder, it makes the same images again."""
    flags = maker.recipe.to_flags()
    if maker.recipe.plan is None:
        return {**flags, "num_images": maker.work.num_images}
    write_atomic(maker.root / PLAN_COPY, maker.recipe.plan.read_bytes(), root=maker.root)
    return {**flags, "plan": PLAN_COPY}


def finish(maker: Maker, rejections: Rejections, in_shard: int, made: int, workers: int, seconds: float) -> RunSummary:
    """Describe the folder as a whole; whichever shard ends last describes all of it."""
    work, generator = maker.work, maker.generator
    records = rejections.write()
    lost = list(given_up(records).values())
    rejected = by_reason(records)
    rows = finish_folder(
        maker.root,
        recipe=resolved(maker),
        summary={
            "requested": work.num_images,
            "recipe_id": work.digest,
            "rejected": rejected,
            "given_up": len(lost),
        },
        licences=generator.licence.split(" AND "),
        attribution=generator.attribution,
    )
    return RunSummary(
        output=maker.root,
        recipe_id=work.digest,
        requested=work.num_images,
        in_shard=in_shard,
        made=made,
        present=len(rows),
        classes=dict(sorted(Counter(row["dx"] for row in rows).items())),
        given_up=lost,
        rejected=rejected,
        tone=tone_rows(rows),
        workers=workers,
        seconds=seconds,
        licence=generator.licence,
        notes=work.notes,
    )
