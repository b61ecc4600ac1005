"""Worker processes that check files: the order is kept, and a file that ends a process is one failed file."""

from __future__ import annotations

import pickle
import queue
import struct
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from synthderm.core import SynthdermError
from synthderm.core.processes import end_process, start_process

from .inspection import Settings, failure
from .results import FileResult
from .sources import Item

CHUNKS_AHEAD = 2
"""Chunks that a worker holds, so that it never waits for the next one."""

MAX_CHUNK = 32
"""Files in a chunk."""

_MAX_CHUNK_BYTES = 8 << 20
PATIENCE_S = 600
"""A file that takes longer is given up and its process ended, seconds."""


def send(file: BinaryIO, message: Any) -> None:
    """Write one message: its length in 8 bytes, then the pickle."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(struct.pack("<Q", len(data)) + data)
    file.flush()


def receive(file: BinaryIO) -> Any:
    """Read one message of the other end of our own pipe.

    Raises:
        EOFError: at the end, also in the middle of a message.
    """
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    (length,) = struct.unpack("<Q", head)
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def check_in_processes(items: Iterable[Item], settings: Settings, workers: int) -> Iterator[FileResult]:
    """The results of all items in their order, with a bounded number of items in memory.

    Keys go through the pipe, never onto a command line.

    Args:
        items: the files; drawn as they are needed.
        settings: how to check them.
        workers: how many processes.

    Raises:
        SynthdermError: if a process cannot even start.
    """
    chunks = _chunks(items)
    crew = [_Worker(settings) for _ in range(workers)]
    turns: deque[_Worker] = deque()
    try:
        for worker in crew * CHUNKS_AHEAD:
            if worker.give(next(chunks, [])):
                turns.append(worker)
        while turns:
            worker = turns.popleft()
            yield from worker.collect()
            if worker.give(next(chunks, [])):
                turns.append(worker)
    finally:
        for worker in crew:
            worker.end()


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    weight = 0
    for item in items:
        chunk.append(item)
        weight += item.weight
        if len(chunk) == MAX_CHUNK or weight > _MAX_CHUNK_BYTES:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


class _Worker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: deque[deque[Item]] = deque()
        self._begin()

    def _begin(self) -> None:
        self._answers: queue.SimpleQueue[FileResult | None] = queue.SimpleQueue()
        self._ready = False
        self.process = start_process("synthderm.provenance.check.worker")
        threading.Thread(target=_read, args=(self.process.stdout, self._answers), daemon=True).start()
        self._send(self._settings)

    def _send(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # it died; its reader says so
            send(self.process.stdin, message)

    def give(self, chunk: list[Item]) -> bool:
        """Send a chunk, if it is not empty; whether it was sent."""
        if chunk:
            self._held.append(deque(chunk))
            self._send(chunk)
        return bool(chunk)

    def collect(self) -> Iterator[FileResult]:
        """The results of the oldest chunk."""
        chunk = self._held[0]
        while chunk:
            result = self._answer()
            item = chunk.popleft()
            if result is None:
                cause = self._cause()
                self._again()
                result = failure(item, cause)
            yield result
        self._held.popleft()

    def _answer(self) -> FileResult | None:
        """The next answer; None if the process ended or was given up."""
        try:
            if not self._ready:
                if self._answers.get(timeout=PATIENCE_S) is None:
                    raise SynthdermError(f"a worker process {self._cause()} before it began; see the lines above")
                self._ready = True
            return self._answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            return None

    def _cause(self) -> str:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"took longer than {PATIENCE_S} s and was given up"
        hint = ", perhaps for want of memory" if code == -9 else ""
        return f"ended the process that read it ({f'signal {-code}' if code < 0 else f'status {code}'}{hint})"

    def _again(self) -> None:
        """Start anew with what is left of the held chunks."""
        self.end()
        self._begin()
        for chunk in self._held:
            if chunk:
                self._send(list(chunk))

    def end(self) -> None:
        end_process(self.process)


def _read(stream: BinaryIO, answers: queue.SimpleQueue[Any]) -> None:
    with suppress(EOFError, OSError, ValueError, pickle.UnpicklingError), stream:
        while True:
            answers.put(receive(stream))
    answers.put(None)
