"""Generators by name: the built-in ones and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .checks import InputError, unknown

ENTRY_POINT_GROUP = "synthderm.generators"
_BUILT_IN = {"simulator": "synthderm.generators.simulated:SimulatorGenerator"}


def generator_names() -> dict[str, str]:
    """Name -> "module:class" of every generator that is installed."""
    found = dict(_BUILT_IN)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(point.name, point.value)
    return found


def load_object(path: str) -> Any:
    """The object at ``"module:attribute"``.

    Raises:
        InputError: if the module or the attribute is not there.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load {path!r}: {error}") from error


def load_generator(name: str, **options: Any) -> Any:
    """A generator by name.

    Args:
        name: one of :func:`generator_names`, or ``"module:class"``.
        **options: handed to the generator's class (``size=256``, ``masks="all"``, ...).

    Raises:
        InputError: for an unknown name, with near matches.
    """
    names = generator_names()
    if name not in names and ":" not in name:
        raise unknown("generator", name, names)
    make: Callable[..., Any] = load_object(names.get(name, name))
    return make(**options)
