"""A worker process: reads batches of family numbers, makes them, answers with one line for each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from synthderm.core import InputError, SynthdermError
from synthderm.core.threads import one_thread
from synthderm.recipe import Recipe

from .maker import Maker


def serve(lines: Iterable[str], answers: TextIO) -> None:
    """Answer batches of family numbers, one JSON line each, with one JSON line for each family.

    The first line is the start message of :func:`start_message`. The end of the lines ends the process, so
    that no worker outlives a parent that was killed.
    """

    def answer(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        lines = iter(lines)
        start = json.loads(next(lines))
        maker = Maker(Recipe.from_flags(start["flags"]), Path(start["root"]))
        if maker.work.digest != start["digest"]:
            raise InputError("the plan or the generator changed while the run was starting; run it again")

        def indices() -> Iterator[int]:
            for line in lines:
                yield from json.loads(line)
                answer({"batch": "taken"})

        for result in maker.make(indices()):
            answer(result)
    except BrokenPipeError:  # the parent was killed: nobody is there to be told
        os._exit(1)
    except SynthdermError as error:
        answer({"error": str(error)})
    except OSError as error:
        answer({"error": f"{error.filename or 'output'}: {error.strerror}"})


def start_message(recipe: Recipe, root: Path, digest: str) -> dict[str, Any]:
    """What a worker is told first: the recipe, the folder, and the digest that its work must have."""
    flags = {**recipe.to_flags(), "batch_size": recipe.batch_size}
    return {"flags": flags, "root": str(root), "digest": digest}


def main() -> None:
    """Body of a worker process: batches on stdin, results on stdout; prints of others go to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with one_thread():
        serve(sys.stdin, answers)
