"""The record of images that a gate turned down."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synthderm.data.files import HIDDEN, make_folder, write_atomic, write_error
from synthderm.data.manifest import folder_lock

MAX_ATTEMPTS = 20
"""Draws of one image before it is given up."""

FILE_NAME = "rejected.jsonl"


class Rejections:
    """One line for each image that was turned down, kept beside the journal of the shard.

    Args:
        root: the output folder.
        shard: (k, n) of ``--shard k/n``.
    """

    def __init__(self, root: Path, shard: tuple[int, int]) -> None:
        self.root = root
        self.path = make_folder(root / HIDDEN) / f"rejected-{shard[0]}-of-{shard[1]}.jsonl"

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Note rejections; a torn line that a killed process left stays a line of its own.

        Raises:
            InputError: if the disk is full.
        """
        lines = "".join("\n" + json.dumps(record, allow_nan=False) for record in records)
        if not lines:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(lines + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def read(self) -> list[dict[str, Any]]:
        """Every rejection of every shard, once, in order of (family, attempt)."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for path in sorted((self.root / HIDDEN).glob("rejected-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                    found[record["family"], record["attempt"]] = record
                except (
                    ValueError,
                    KeyError,
                    TypeError,
                ):  # torn by a killed process; the image is drawn again
                    continue
        return [found[key] for key in sorted(found)]

    def write(self) -> list[dict[str, Any]]:
        """Write ``rejected.jsonl`` from the records of every shard; returns them.

        Raises:
            InputError: if it cannot be written.
        """
        with folder_lock(self.root):
            records = self.read()
            text = "".join(json.dumps(record) + "\n" for record in records)
            write_atomic(self.root / FILE_NAME, text.encode(), root=self.root)
        return records


def given_up(records: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The last rejection of every family that used up its attempts, by family."""
    return {record["family"]: record for record in records if record["attempt"] + 1 >= MAX_ATTEMPTS}


def by_reason(records: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How often each reason was given."""
    return dict(Counter(record["reason"] for record in records).most_common())
