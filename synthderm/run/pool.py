"""Worker processes: each is sent batches of family numbers and answers with one line per family.

A worker that wants more says "taken", and is sent a batch, or the end of its input when there is none: families that it
has to draw again wait for company, so that it may owe the answers of more than one batch.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from synthderm.core import SynthdermError
from synthderm.core.processes import JsonWorker

BATCHES_AHEAD = 2
"""Batches that a worker holds, so that it never waits for the next one."""


def run_pool(start: dict[str, Any], families: Iterable[int], workers: int, batch_size: int) -> Iterator[dict[str, Any]]:
    """Results of all families, in the order in which workers finish them.

    The families are drawn from the iterator as they are needed.

    Args:
        start: the first line that every worker is sent.
        families: numbers of the families.
        workers: how many processes.
        batch_size: families per line.

    Raises:
        SynthdermError: what a worker reports, or that one died.
    """
    numbers = iter(families)
    answers: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
    crew = [_Worker(i, start, answers) for i in range(workers)]
    try:
        owed = sum(worker.give(numbers, batch_size) for _ in range(BATCHES_AHEAD) for worker in crew)
        while owed:
            place, message = answers.get()
            if message is None:
                crew[place].check_end()
            elif "error" in message:
                raise SynthdermError(message["error"])
            elif "batch" in message:
                owed += crew[place].give(numbers, batch_size)
            else:
                owed -= 1
                yield message
        for worker in crew:
            worker.dismiss()
    finally:
        for worker in crew:
            worker.end()


class _Worker(JsonWorker):
    def __init__(self, place: int, start: dict[str, Any], answers: Any) -> None:
        super().__init__("synthderm.run.worker", place, start, answers)

    def give(self, numbers: Iterator[int], batch_size: int) -> int:
        """Send the next batch, or the end if there is none; how many families it holds."""
        batch = list(islice(numbers, batch_size))
        if batch:
            self.send(batch)
        else:
            self._close()
        return len(batch)

    def check_end(self) -> None:
        """Raise if the process ended otherwise than it was told to."""
        if self.process.wait() or not self.process.stdin.closed:
            raise SynthdermError(self.obituary())

    def dismiss(self) -> None:
        self._close()
        self.process.wait()

    def _close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.close()
