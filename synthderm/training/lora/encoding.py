"""Images and captions through the frozen encoders, once, into the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from synthderm.functional.tone_shift import apply_gains

from .cache import TensorCache, Tensors, cache_key
from .config import AUGMENTATIONS
from .examples import Example
from .images import TrainingImages
from .looks import Masker
from .targets.base import Target

Progress = Callable[[int, int], None]

CAPTIONS_AT_ONCE = 16


class Encoded:
    """Latents and conditions of all examples, read from the cache when asked for.

    Attributes:
        examples: training examples, then held-out ones.
        variants: turns and flips of each image.
    """

    def __init__(self, target: Target, examples: Sequence[Example], cache: TensorCache) -> None:
        self.examples, self.cache, self.variants = list(examples), cache, AUGMENTATIONS[target.config.augmentation]
        config = target.config
        images, conditions = target.image_fingerprint(), target.condition_fingerprint()
        self._image_keys = [
            [
                cache_key("image", target.family, images, example.digest, example.gains, config.resolution, variant)
                for variant in range(self.variants if not example.held_out else 1)
            ]
            for example in examples
        ]
        self._keys = {None: cache_key("condition", target.family, conditions, target.condition_text(None))}
        for example in examples:
            self._keys[example] = cache_key("condition", target.family, conditions, target.condition_text(example))

    def keys(self) -> list[str]:
        """Keys of all that is trained on or held out, in order: a fingerprint of data and base."""
        return (
            [key for keys in self._image_keys for key in keys]
            + [self._keys[None]]
            + [self._keys[example] for example in self.examples]
        )

    def missing_conditions(self) -> list[Example | None]:
        """One example for each condition that is not in the cache yet."""
        found = {key: example for example, key in reversed(self._keys.items()) if key not in self.cache}
        return list(found.values())

    def missing_images(self) -> list[int]:
        """Indices of the examples of which a variant is not in the cache yet."""
        return [i for i, keys in enumerate(self._image_keys) if any(key not in self.cache for key in keys)]

    def latents(self, indices: Sequence[int], variants: Sequence[int] | None = None) -> torch.Tensor:
        """(N, ...) latents of some examples, each in one of its variants; as they are by default."""
        chosen = variants or [0] * len(indices)
        keys = [self._image_keys[i][variant] for i, variant in zip(indices, chosen, strict=True)]
        return torch.stack([self.cache.load(key)["latents"] for key in keys])

    def conditions(self, examples: Sequence[Example | None]) -> Tensors:
        """Conditions with batch dimension; None: no condition."""
        found = [self.cache.load(self._keys[example]) for example in examples]
        return {name: torch.stack([tensors[name] for tensors in found]) for name in found[0]}

    def save_condition(self, example: Example | None, tensors: Tensors) -> None:
        """Put the condition of an example into the cache."""
        self.cache.save(self._keys[example], tensors)

    def save_images(self, index: int, variants: torch.Tensor) -> None:
        """Put the latents of all variants of an example into the cache."""
        for key, latents in zip(self._image_keys[index], variants, strict=True):
            self.cache.save(key, {"latents": latents})

    def variants_of(self, index: int) -> int:
        """How many variants of an example are encoded."""
        return len(self._image_keys[index])


def encode_conditions(
    target: Target, encoded: Encoded, waiting: Sequence[Example | None], progress: Progress | None
) -> None:
    """Encode the conditions of some examples into the cache."""
    for start in range(0, len(waiting), CAPTIONS_AT_ONCE):
        part = waiting[start : start + CAPTIONS_AT_ONCE]
        for example, tensors in zip(part, target.encode_conditions(part), strict=True):
            encoded.save_condition(example, tensors)
        if progress is not None:
            progress(start + len(part), len(waiting))


def encode_images(
    target: Target, encoded: Encoded, images: TrainingImages, waiting: Sequence[int], progress: Progress | None
) -> None:
    """Encode some images, in all their variants, into the cache."""
    size = target.config.resolution
    masker = Masker(images) if target.needs_masks else None
    for done, index in enumerate(waiting, 1):
        stack = _pixels(images, encoded.examples[index], size, masker)
        turned = torch.cat([turn(stack, variant) for variant in range(encoded.variants_of(index))])
        parts = [
            target.encode_images(part[:, :3], part[:, 3] > 0.5 if masker is not None else None)
            for part in turned.split(target.config.batch_size)
        ]
        encoded.save_images(index, torch.cat(parts))
        if progress is not None:
            progress(done, len(waiting))


def _pixels(images: TrainingImages, example: Example, size: int, masker: Masker | None) -> torch.Tensor:
    """(1, 3, S, S) sRGB from -1 to 1; with a masker a fourth channel, the lesion mask from 0 to 1."""
    record = images.all[example.place]
    plain = images.pixels(record, size)
    pixels = apply_gains(plain, torch.tensor(example.gains)) if example.gains else plain
    stack = pixels.float()[None] / 127.5 - 1
    if masker is None:
        return stack
    return torch.cat([stack, masker(record, plain)[None, None].float()], 1)


def turn(images: torch.Tensor, variant: int) -> torch.Tensor:
    """(N, C, S, S) mirrored left to right if ``variant`` is odd, and turned by 90 degrees ``variant // 2`` times."""
    mirrored = images.flip(-1) if variant % 2 else images
    return torch.rot90(mirrored, variant // 2, (-2, -1))
