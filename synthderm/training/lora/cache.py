"""Tensors on disk, by key: latents and text embeddings that are computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from synthderm.core import InputError
from synthderm.data import write_atomic

KEPT_BYTES = 2**30
"""Tensors that stay in memory once read; more are read from disk again."""

Tensors = dict[str, torch.Tensor]


def cache_key(*parts: object) -> str:
    """40 hexadecimal digits for what a tensor was computed from."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:40]


class TensorCache:
    """A folder of safetensors files, one for each key; complete files only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[str, Tensors] = {}
        self._bytes = 0

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return key in self._kept or self._file(key).is_file()

    def save(self, key: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors, on the CPU, under a key."""
        from safetensors.torch import save

        ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_atomic(self._file(key), save(ready), sync=False)

    def load(self, key: str) -> Tensors:
        """The tensors of a key.

        Raises:
            InputError: if there are none, or the file is damaged.
        """
        if key in self._kept:
            return self._kept[key]
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(str(self._file(key)))
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot read {self._file(key)}: {error}; delete it and run again") from error
        size = sum(value.numel() * value.element_size() for value in found.values())
        if self._bytes + size <= KEPT_BYTES:
            self._kept[key], self._bytes = found, self._bytes + size
        return found


@torch.no_grad()
def fingerprint(*modules: nn.Module | None) -> str:
    """40 hexadecimal digits that tell networks apart: names, shapes and the first 64 values of every tensor.

    Quick even for networks of many GB, which a hash of all weights is not.
    """
    digest = hashlib.sha256()
    for module in modules:
        for name, value in sorted(module.state_dict().items()) if module is not None else ():
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.flatten()[:64].detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:40]
