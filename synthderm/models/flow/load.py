"""The shipped flow and its adapters, or others of the same layout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from synthderm.core import InputError
from synthderm.core.checks import unknown
from synthderm.core.resources import shipped_folder
from synthderm.models.adapters import AdapterInfo, load_adapter
from synthderm.models.copy_index import CopyIndex
from synthderm.models.pipelines import quiet

from .pipeline import SkinFlowPipeline

BASE = "flow"
INDEX = "model_index.json"
ADAPTER_PREFIX = "flow-"
"""The adapter "dermoscopy" lies in ``checkpoints/flow-dermoscopy``."""


@dataclass(frozen=True)
class LoadedFlow:
    """A flow that is ready to use.

    Attributes:
        pipeline: with the adapter fused into its transformer.
        base: name or path.
        base_sha256: of the base's weights.
        adapter: what is known of the adapter; None without one.
        adapter_name: name or path; "" without one.
        copies: index of the adapter's training images; None if it brings none.
    """

    pipeline: SkinFlowPipeline
    base: str
    base_sha256: str
    adapter: AdapterInfo | None
    adapter_name: str
    copies: CopyIndex | None


def flow_adapters() -> list[str]:
    """Names of the adapters that this installation has."""
    folders = shipped_folder("checkpoints").glob(f"{ADAPTER_PREFIX}*/adapter.json")
    return sorted(path.parent.name.removeprefix(ADAPTER_PREFIX) for path in folders)


def load_flow(
    base: str | Path | None = None, adapter: str | Path | None = None, weight: float = 1.0, device: str = "cpu"
) -> LoadedFlow:
    """The compact flow with an adapter.

    Args:
        base: folder of :meth:`SkinFlowPipeline.save_pretrained`; the shipped one by default.
        adapter: name of a shipped adapter, or a folder or file; "none" or None for the base alone.
        weight: how strongly the adapter is applied.
        device: where to.

    Raises:
        InputError: if the base or the adapter is missing, damaged, or they do not fit each other.
    """
    folder = flow_folder(base)
    try:
        with quiet():
            pipeline = SkinFlowPipeline.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{folder} holds no compact flow that can be loaded: {' '.join(str(error).split())[:300]}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    info, name, copies = None, "", None
    if adapter is not None and str(adapter) != "none":
        name = str(adapter)
        info = load_adapter(pipeline, adapter_folder(name), adapter_name="adapter", weight=weight)
        pipeline.transformer.fuse_lora(adapter_names=["adapter"])
        pipeline.transformer.unload_lora()
        copies = CopyIndex.beside(info.path)
    pipeline.to(device)
    return LoadedFlow(pipeline, str(base or BASE), weights_sha256(folder), info, name, copies)


def flow_folder(base: str | Path | None = None) -> Path:
    """The folder of a flow; the shipped one by default.

    Raises:
        InputError: if there is none.
    """
    folder = Path(base).expanduser() if base else shipped_folder("checkpoints") / BASE
    if not (folder / INDEX).is_file():
        raise InputError(
            f"there is no compact flow in {folder}: expected a folder with {INDEX}, as `synthderm train flow` writes it"
        )
    return folder


def adapter_folder(name: str) -> Path:
    """Where an adapter lies: a shipped name, or a path.

    Raises:
        InputError: if it is neither.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    shipped = shipped_folder("checkpoints") / f"{ADAPTER_PREFIX}{name}"
    if shipped.is_dir():
        return shipped
    raise unknown("adapter", name, [*flow_adapters(), "none"])


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the weights of the parts of a pipeline folder, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*/*.safetensors")):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
