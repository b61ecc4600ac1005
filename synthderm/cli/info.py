"""``synthderm info``."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, print_json, print_table

_MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage", "scikit-learn": "sklearn"} | {
    "colour-science": "colour",
    "import-linter": "importlinter",
}
_PROGRAMS = {"ruff"}


def info(
    parameters: Annotated[
        bool, typer.Option("--parameters", help="List the scene parameters: range, unit, source.")
    ] = False,
    generator: Annotated[str, typer.Option(help="Whose parameters.")] = "simulator",
    json: Json = False,
) -> None:
    """Say what is installed and works here, or list every scene parameter.

    Each package and generator counts as working only if it was loaded just now.

    \b
    Examples:
      synthderm info
      synthderm info --parameters
      synthderm info --parameters --json
      synthderm info --parameters --generator flux
    """  # noqa: D301
    if parameters:
        show_parameters(generator, json)
        return
    found = gather()
    if json:
        print_json(found)
        return
    print(f"synthderm {found['synthderm']}, Python {found['python']}, {found['machine']}, {found['device']}")
    print(f"--device auto is {found['auto_device']}, --dtype auto is {found['auto_dtype']}")
    columns = ("name", "works", "version", "remark")
    print_table("Generators", columns, map(_told, found["generators"]))
    print_table("Feature extractors", columns, map(_told, found["extractors"]))
    for extra, packages in found["packages"].items():
        name = "Packages" if extra == "required" else f"Extra [{extra}]"
        print_table(name, columns, map(_told, packages))
    print()
    for what, place in found["places"].items():
        print(f"{what}: {place or 'none'}")


def _told(row: dict[str, Any]) -> tuple[str, str, str, str]:
    works = "no" if not row["works"] else row.get("needs") or "yes"
    return row["name"], works, row["version"] or "", row["remark"]


def gather() -> dict[str, Any]:
    """Everything that ``synthderm info`` reports, as JSON values."""
    import torch

    import synthderm
    from synthderm.models.pipelines import choose_device, choose_dtype

    device = choose_device("auto")
    packages = {extra: [try_package(name) for name in names] for extra, names in requirements().items()}
    return {
        "synthderm": synthderm.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
        "auto_device": str(device),
        "auto_dtype": str(choose_dtype("auto", device)).removeprefix("torch."),
        "generators": try_generators(),
        "extractors": try_extractors(),
        "packages": packages,
        "places": places(),
    }


def requirements() -> dict[str, list[str]]:
    """Names of the required packages and of those of each extra, as the installed metadata has them."""
    found: dict[str, list[str]] = {"required": []}
    for line in requires("synthderm") or ():
        name = re.match(r"[\w.-]+", line)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        found.setdefault(extra[1] if extra else "required", []).append(name)
    return found


@contextlib.contextmanager
def _quiet() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield


def try_package(name: str) -> dict[str, Any]:
    """Whether a package is installed and its module can be imported."""
    row: dict[str, Any] = {"name": name, "works": False, "version": None, "remark": ""}
    try:
        row["version"] = version(name)
        if name not in _PROGRAMS:
            with _quiet():
                import_module(_MODULES.get(name, name.replace("-", "_")))
    except PackageNotFoundError:
        return {**row, "remark": "not installed"}
    except Exception as error:  # an import can fail in any way; the reason is the answer
        return {**row, "remark": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"}
    return {**row, "works": True}


def try_generators() -> list[dict[str, Any]]:
    """Every generator by name, and whether it can be made; of the large ones, whether their pipeline can be loaded."""
    from synthderm.core import generator_names, load_generator
    from synthderm.models.bases import FAMILIES

    rows = []
    for name, path in generator_names().items():
        if name in FAMILIES:
            rows.append(try_family(name))
            continue
        row: dict[str, Any] = {"name": name, "works": False, "version": None, "remark": path}
        try:
            with _quiet():
                made = load_generator(name)
            remark = made.remark() if hasattr(made, "remark") else f"images {made.licence}"
            row |= {"works": True, "version": str(made.version), "remark": remark}
        except Exception as error:
            row["remark"] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        rows.append(row)
    return rows


def try_family(name: str) -> dict[str, Any]:
    """Whether the pipeline of a large back-end can be imported, what it needs, and which bases the cache holds."""
    from synthderm.models.bases import FAMILIES, cached_bases

    family = FAMILIES[name]
    row: dict[str, Any] = {"name": name, "works": False, "version": None, "remark": "", "needs": "with --base"}
    try:
        with _quiet():
            import diffusers

            getattr(diffusers, family.pipeline)
    except Exception as error:
        return {**row, "remark": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"}
    cached = [base.name for base in cached_bases() if base.family.name == name]
    held = f"in the hub's cache: {', '.join(cached)}" if cached else "none is in the hub's cache"
    remark = f"{family.title}; --base is the folder of a {family.pipeline}, or an id of the hub; {held}"
    return {**row, "works": True, "version": f"diffusers {diffusers.__version__}", "remark": remark}


def try_extractors() -> list[dict[str, Any]]:
    """Every feature extractor that needs no path, and whether it can be loaded."""
    from synthderm.models import EXTRACTORS, load_extractor

    rows = []
    for name, text in EXTRACTORS.items():
        row: dict[str, Any] = {"name": name, "works": False, "version": None, "remark": text}
        try:
            with _quiet():
                made = load_extractor(name)
            row |= {"works": True, "version": made.weights_sha256[:8], "remark": f"{text}; weights {made.licence}"}
        except Exception as error:
            row["remark"] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        rows.append(row)
    return rows


def places() -> dict[str, str | None]:
    """Where the files that the library reads were found; None for those that are not there."""
    from synthderm.core import InputError
    from synthderm.core.resources import shipped_folder
    from synthderm.simulator.table_file import cache_folder

    found: dict[str, str | None] = {}
    for what in ("recipes", "checkpoints"):
        try:
            found[what] = str(shipped_folder(what))
        except InputError:
            found[what] = None
    weights = sorted(Path(found["checkpoints"] or ".").rglob("*.safetensors")) if found["checkpoints"] else []
    found["weights"] = ", ".join(map(str, weights)) or None
    tables = sorted(cache_folder().glob("colour_table-*.safetensors"))
    found["colour table"] = ", ".join(map(str, tables)) or f"made at first use, in {cache_folder()}"
    return found


def show_parameters(generator: str, json: bool) -> None:
    """Print every scene parameter of a generator."""
    from dataclasses import asdict

    from synthderm.core import generator_parameters

    specs = generator_parameters(generator).values()
    if json:
        print_json({"generator": generator, "parameters": [asdict(spec) for spec in specs]})
        return
    rows = []
    for spec in specs:
        values = {"choice": " ".join(spec.choices), "bool": "true false"}.get(spec.kind)
        unit = "" if spec.unit == "1" else spec.unit
        rows.append((spec.name, values or f"{spec.low:g} to {spec.high:g}", unit, spec.description, spec.source))
    print_table("", ("parameter", "values", "unit", "meaning", "source of the range"), rows)
