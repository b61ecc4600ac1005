"""What every evaluation script shares: where results go and what is written beside them."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def git_commit() -> str:
    """Short hash of the checkout, with "+changes" where files differ from it."""
    root = RESULTS.parent.parent

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")


def _plain(argument: str) -> str:
    """An argument as it is, but of a path from the root only the last part."""
    return Path(argument).name if argument.startswith("/") else argument


def write_result(name: str, figures: dict[str, Any], **context: Any) -> Path:
    """Write ``eval/results/NAME.json``: the figures with the command, commit, versions and machine."""
    packages = ("torch", "numpy", "pillow", "synthderm")
    record = {
        "name": name,
        "date": date.today().isoformat(),
        "command": " ".join(["python", f"eval/{Path(sys.argv[0]).name}", *map(_plain, sys.argv[1:])]),
        "commit": git_commit(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "machine": platform.machine(),
        **context,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {path.relative_to(RESULTS.parent.parent)}", file=sys.stderr)
    return path
