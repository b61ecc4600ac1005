"""Synthetic dermatology images with exact masks, measured skin tone and a record of every pixel's origin.

>>> import synthderm
>>> synthderm.generate(diagnosis="melanoma", fst=5, num_images=10, output="out")  # doctest: +SKIP

What is heavy is imported at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synthderm import data as data
    from synthderm.core import Condition as Condition
    from synthderm.core import InputError as InputError
    from synthderm.core import Sample as Sample
    from synthderm.core import SynthdermError as SynthdermError
    from synthderm.core import load_generator as load_generator
    from synthderm.recipe import Recipe as Recipe
    from synthderm.recipe import load_recipe as load_recipe
    from synthderm.run import RunSummary as RunSummary
    from synthderm.run import generate as generate

_HOMES = {
    "Condition": "core",
    "InputError": "core",
    "Sample": "core",
    "SynthdermError": "core",
    "load_generator": "core",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "RunSummary": "run",
    "generate": "run",
}
_PARTS = (
    "core",
    "data",
    "evaluation",
    "functional",
    "generators",
    "metrics",
    "models",
    "provenance",
    "recipe",
    "run",
    "simulator",
    "training",
)

__all__ = ["__version__", "data", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"synthderm.{_HOMES[name]}"), name)
    if name in _PARTS:
        return import_module(f"synthderm.{name}")
    raise AttributeError(f"module 'synthderm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PARTS})
