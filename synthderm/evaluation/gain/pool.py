"""Worker processes that train: each is sent one run at a time, writes it to the folder and says so.

A worker whose parent is gone notices it at its next step and ends.
"""

from __future__ import annotations

import json
import os
import queue
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthderm.core import InputError, SynthdermError
from synthderm.core.processes import JsonWorker
from synthderm.core.threads import one_thread
from synthderm.data.files import HIDDEN

from .config import GainConfig
from .material import Material
from .plan import Run
from .runs import RunFolder, execute

MATERIAL = "material"
"""Folder of the pixels that workers read; it is gone when they have ended."""


def run_all(
    runs: Sequence[Run], config: GainConfig, material: Material, folder: RunFolder, workers: int
) -> Iterator[Run]:
    """Carry out runs and keep each in ``folder``; yields them in the order in which they end.

    One thread each, here or in ``workers`` processes: the number of processes changes no prediction.

    Raises:
        SynthdermError: what a run reports, or that a worker died.
    """
    workers = min(workers, len(runs))
    if workers:
        yield from _in_processes(runs, config, material, folder, workers)
        return
    for run in runs:
        with one_thread():
            folder.save(run, execute(run, config, material))
        yield run


def _in_processes(
    runs: Sequence[Run], config: GainConfig, material: Material, folder: RunFolder, workers: int
) -> Iterator[Run]:
    block = folder.root / HIDDEN / MATERIAL
    block.mkdir(parents=True, exist_ok=True)
    start = {"root": str(folder.root), "material": str(block), "config": config.to_dict(), "parent": os.getpid()}
    answers: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
    crew: list[_Worker] = []
    waiting = iter(runs)
    try:
        material.save(block)
        crew += [_Worker(place, start, answers) for place in range(workers)]
        busy = sum(worker.give(next(waiting, None)) for worker in crew)
        while busy:
            place, message = answers.get()
            if message is None:
                raise SynthdermError(crew[place].obituary())
            if "error" in message:
                raise SynthdermError(message["error"])
            done = crew[place].run
            busy += crew[place].give(next(waiting, None)) - 1
            yield done
    finally:
        for worker in crew:
            worker.end()
        for path in block.glob("*.npy"):
            path.unlink(missing_ok=True)
        block.rmdir()


class _Worker(JsonWorker):
    """One process."""

    def __init__(self, place: int, start: dict[str, Any], answers: Any) -> None:
        self.run: Run | None = None
        super().__init__("synthderm.evaluation.gain.pool", place, start, answers)

    def give(self, run: Run | None) -> int:
        """Send a run; 1 if there was one, else 0."""
        self.run = run
        if run is not None:
            self.send(run.to_message())
        return int(run is not None)


def main() -> None:
    """Body of a worker process: runs on stdin, one line on stdout for each that is kept; prints go to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        start = json.loads(sys.stdin.readline())
        config = GainConfig(**start["config"])
        material, folder = Material.load(Path(start["material"])), RunFolder(Path(start["root"]))

        def watch(done: int, steps: int) -> None:
            if os.getppid() != start["parent"]:  # killed: nobody waits for this run
                os._exit(1)

        with one_thread():
            for line in sys.stdin:
                run = Run.from_message(json.loads(line))
                folder.save(run, execute(run, config, material, watch))
                answer({"done": run.name})
    except BrokenPipeError:
        os._exit(1)
    except (SynthdermError, InputError) as error:
        answer({"error": str(error)})
    except OSError as error:
        answer({"error": f"{error.filename or 'output'}: {error.strerror}"})
