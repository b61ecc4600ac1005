"""Seeds that belong to images: every random draw is a function of (run seed, image index, stream name)."""

from __future__ import annotations

import hashlib

import numpy as np


def image_seed(seed: int, index: int, attempt: int = 0) -> int:
    """Seed of image ``index`` of the run ``seed``, a number in [0, 2**63).

    It depends on nothing else: not on the batch, the worker, the shard or the order. ``attempt`` counts
    the redraws of an image that a gate turned down.
    """
    text = f"synthderm image {seed} {index} {attempt}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of the image ``seed``.

    Streams are independent of each other, so that a new attribute with a stream of its own leaves every
    other draw of the image as it was. Counter-based (Philox 4x64: Salmon et al., SC 2011).
    """
    key = hashlib.sha256(f"synthderm stream {seed} {name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))
