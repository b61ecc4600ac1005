"""What a run was made with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "kornia", "pillow", "safetensors", "diffusers", "transformers", "peft")


def _git_commit() -> str | None:
    """Hash of the checkout of the package, "+changes" if files differ; None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Versions of this library, Python and the packages that draw pixels, and the kind of machine.

    Holds no host name, user name, path or time, so that equal machines write equal files.
    ``git_commit`` is None for an installed package; a package that is not installed has the version None.
    """
    return {
        "synthderm": _version("synthderm"),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": {package: _version(package) for package in PACKAGES},
    }
