"""Worker processes: each is sent batches of family numbers and answers with one line per family.

A worker that wants more says "taken", and is sent a batch, or the end of its input when there is none: families that it
has to draw again wait for company, so that it may owe the answers of more than one batch.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from synthderm.core import SynthdermError

BATCHES_AHEAD = 2
"""Batches that a worker holds, so that it never waits for the next one."""


def run_pool(start: dict[str, Any], families: Iterable[int], workers: int, batch_size: int) -> Iterator[dict[str, Any]]:
    """Results of all families, in the order in which workers finish them.

    The processes are plain Python ones that talk over pipes, not :mod:`multiprocessing`: a script that calls
    this needs no ``if __name__ == "__main__"``, and a worker whose parent was killed reads the end of its
    input and ends. The families are drawn from the iterator as they are needed.

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


class _Worker:
    def __init__(self, place: int, start: dict[str, Any], answers: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from synthderm.run.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
            start_new_session=True,  # the parent alone answers Ctrl-C
        )
        threading.Thread(target=self._read, args=(place, answers), daemon=True).start()
        self._send(start)

    def _read(self, place: int, answers: Any) -> None:
        for line in self.process.stdout:
            answers.put((place, json.loads(line)))
        answers.put((place, None))

    def _send(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # it died; its reader says so
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def give(self, numbers: Iterator[int], batch_size: int) -> int:
        """Send the next batch, or the end if there is none; how many families it holds."""
        batch = list(islice(numbers, batch_size))
        if batch:
            self._send(batch)
        elif not self.process.stdin.closed:
            self._close()
        return len(batch)

    def check_end(self) -> None:
        """Raise if the process ended otherwise than it was told to."""
        code = self.process.wait()
        if code == 0 and self.process.stdin.closed:
            return
        cause = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; out of memory? try fewer --workers" if code == -9 else ""
        raise SynthdermError(f"a worker process {cause}{hint}; run the same command again to continue")

    def dismiss(self) -> None:
        self._close()
        self.process.wait()

    def _close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


def environment() -> dict[str, str]:
    """The environment of a worker: this process's import paths, and one thread for every numeric library."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**os.environ, **one, "PYTHONPATH": paths}
