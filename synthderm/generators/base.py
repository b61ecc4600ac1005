"""The protocol that every generator answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from synthderm.core import Condition, InputError, ParameterSpec, Sample


@runtime_checkable
class Generator(Protocol):
    """Makes samples; everything downstream knows only :class:`~synthderm.core.Sample`.

    Attributes:
        name: as in ``--generator``.
        version: changes whenever the same seed gives other pixels.
        licence: licence of the images it makes (SPDX name).
        attribution: lines that must travel with the images.
        attributes: names of the masks that it can write beside ``lesion``.
        parameters: scene parameters that a condition may hold at a value; empty if it has none.
    """

    name: str
    version: str
    licence: str
    attribution: tuple[str, ...]
    attributes: tuple[str, ...]
    parameters: Mapping[str, ParameterSpec]

    def sample(self, seeds: Sequence[int], condition: Condition | Sequence[Condition]) -> Iterator[Sample]:
        """One sample for each seed, in order.

        Args:
            seeds: one per image; a sample depends on its own seed and condition alone.
            condition: one for all, or one for each seed.
        """
        ...


def one_for_each(seeds: Sequence[int], condition: Condition | Sequence[Condition]) -> list[Condition]:
    """The condition of each seed: one for all, or one for each.

    Raises:
        InputError: if there are not as many as seeds.
    """
    conditions = [condition] * len(seeds) if isinstance(condition, Condition) else list(condition)
    if len(conditions) != len(seeds):
        raise InputError(f"expected one condition or {len(seeds)}, but got {len(conditions)}")
    return conditions
