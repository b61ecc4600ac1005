"""Generators by name: the built-in ones and those that other packages register as entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .checks import InputError, unknown

DEFAULT_SIZE = 256
"""Pixels per side of a generator that states no other."""

ENTRY_POINT_GROUP = "synthderm.generators"
_BUILT_IN = {
    "simulator": "synthderm.generators.simulated:SimulatorGenerator",
    "flow": "synthderm.generators.flow:FlowGenerator",
    "flux": "synthderm.generators.text_to_image:flux",
    "sd3": "synthderm.generators.text_to_image:sd3",
    "sd": "synthderm.generators.text_to_image:sd",
}


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


def load_generator(name: str, /, *, offer: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """A generator by name.

    Args:
        name: one of :func:`generator_names`, or ``"module:class"``.
        offer: options that are handed over only if the class takes them.
        **options: handed to the generator's class (``size=256``, ``masks="all"``, ...).

    Raises:
        InputError: for an unknown name, with near matches, and for an option that this generator does not take; the
            message says which ones do.
    """
    names = generator_names()
    if name not in names and ":" not in name:
        raise unknown("generator", name, names)
    make: Callable[..., Any] = load_object(names.get(name, name))
    for option in options:
        if not takes(make, option):
            raise InputError(f"the generator {name} takes no {option}; {_who_takes(option)}")
    return make(**options, **{key: value for key, value in (offer or {}).items() if takes(make, key)})


def generator_parameters(name: str) -> Mapping[str, Any]:
    """The scene parameters of a generator by name, without making one where its class states them.

    Raises:
        InputError: for an unknown name, or a generator that states them only once it is made and cannot be.
    """
    names = generator_names()
    if name not in names and ":" not in name:
        raise unknown("generator", name, names)
    made = load_object(names.get(name, name))
    stated = getattr(getattr(made, "func", made), "parameters", None)
    return stated if isinstance(stated, Mapping) else load_generator(name).parameters


def default_size(name: str) -> int:
    """Pixels per side of a generator's images where none are asked for: its class's ``default_size``, else 256."""
    made = load_object(generator_names().get(name, name)) if name in generator_names() or ":" in name else None
    return int(getattr(getattr(made, "func", made), "default_size", DEFAULT_SIZE))


def takes(make: Callable[..., Any], option: str) -> bool:
    """Whether a class or function has a parameter of that name, or takes any."""
    parameters = inspect.signature(make).parameters
    return option in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def _who_takes(option: str) -> str:
    found = []
    for name, path in generator_names().items():
        try:
            found += [name] if takes(load_object(path), option) else []
        except (InputError, ValueError):  # not to be loaded here: it cannot be recommended
            continue
    return f"{', '.join(found)} {'does' if len(found) == 1 else 'do'}" if found else "no generator here does"
