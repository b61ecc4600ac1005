"""Worker processes.

They are plain Python ones that talk over pipes, not :mod:`multiprocessing`: a script that calls this needs no
``if __name__ == "__main__"``, and a worker whose parent was killed reads the end of its input and ends.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any


def environment() -> dict[str, str]:
    """The environment of a worker: this process's import paths, and one thread for every numeric library."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**os.environ, **one, "PYTHONPATH": paths}


def start_process(module: str, encoding: str | None = None) -> subprocess.Popen[Any]:
    """A process that runs ``main()`` of a module, with pipes to its standard input and output.

    Args:
        module: its full name.
        encoding: of the pipes; None for bytes.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding=encoding,
        env=environment(),
        start_new_session=True,  # the parent alone answers Ctrl-C
    )


def end_process(process: subprocess.Popen[Any]) -> None:
    """End a process that may be at work, or have ended, and close its input."""
    if process.poll() is None:
        process.kill()
        process.wait()
    with suppress(BrokenPipeError):
        process.stdin.close()


class JsonWorker:
    """A process that is sent JSON lines and answers with JSON lines.

    Args:
        module: whose ``main()`` it runs.
        place: number of the worker; its answers are put as (place, message), and (place, None) when it has ended.
        start: the first line that it is sent.
        answers: where the answers go.
    """

    def __init__(
        self,
        module: str,
        place: int,
        start: dict[str, Any],
        answers: queue.SimpleQueue[tuple[int, dict[str, Any] | None]],
    ) -> None:
        self.process = start_process(module, "utf-8")
        threading.Thread(target=self._read, args=(place, answers), daemon=True).start()
        self.send(start)

    def _read(self, place: int, answers: queue.SimpleQueue[tuple[int, dict[str, Any] | None]]) -> None:
        for line in self.process.stdout:
            answers.put((place, json.loads(line)))
        answers.put((place, None))

    def send(self, message: Any) -> None:
        """One line. A worker that died does not mind; its reader says so."""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def obituary(self) -> str:
        """How the process ended, for a person."""
        code = self.process.wait()
        cause = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; out of memory? try fewer --workers" if code == -9 else ""
        return f"a worker process {cause}{hint}; run the same command again to continue"

    def end(self) -> None:
        """End it now."""
        end_process(self.process)
        self.process.stdout.close()
