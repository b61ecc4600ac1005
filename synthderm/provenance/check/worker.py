"""A worker process: reads chunks of files, answers each file with its result."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from synthderm.core.threads import one_thread

from .inspection import Inspector
from .pool import receive, send


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer "ready", then one result for each item of each chunk, until the end of the questions."""
    try:
        inspector = Inspector(receive(questions))
        send(answers, "ready")
        while True:
            for item in receive(questions):
                send(answers, inspector.inspect(item))
    except EOFError:
        return
    except BrokenPipeError:  # the parent was killed: nobody is there to be told
        os._exit(1)


def main() -> None:
    """Body of a worker process: chunks on stdin, results on stdout; prints of others go to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with one_thread():
        serve(sys.stdin.buffer, answers)
