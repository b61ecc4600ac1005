"""The linear front end of the compact flow: images with masks to tokens and back, without a learned autoencoder."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

CHANNELS = 4
"""Red, green, blue (sRGB) and the lesion mask, each in -1 to 1."""


class LappedKLT(ModelMixin, ConfigMixin):
    """A lapped transform followed by the Karhunen-Loeve transform of each block.

    Every boundary between two blocks is first crossed by an orthogonal butterfly (the lapped transform of Malvar &
    Staelin 1989, IEEE TASSP 37:553, written as a filter before the block transform: Tran, Liang & Tu 2003, IEEE TSP
    51:1557), so that each basis image overlaps its neighbours and fades out. Errors of a generator then cannot show
    as a grid of blocks. Then the principal components of the blocks are kept. Both steps are orthogonal; what is lost
    is what the components leave out.

    Component i is divided by its deviation to the ``power`` and by one common factor, so that the tokens have mean
    square 1; ``deviation`` is what each component then has.

    Args:
        size: side of the image, px.
        patch_size: side of a block, px; ``(size / patch_size) ** 2`` tokens.
        num_components: numbers per token.
        power: 0 leaves the components as they are, 1 gives all the same deviation.
        mask_weight: factor on the mask before the transform; a larger one spends more components on it.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 128,
        patch_size: int = 16,
        num_components: int = 96,
        power: float = 0.5,
        mask_weight: float = 0.5,
    ) -> None:
        super().__init__()
        values = CHANNELS * patch_size**2
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("basis", torch.zeros(values, num_components))
        self.register_buffer("gain", torch.ones(num_components))
        self.register_buffer("deviation", torch.ones(num_components))
        self.register_buffer("lapping", lapping(size, patch_size), persistent=False)

    @property
    def num_tokens(self) -> int:
        """Tokens of one image."""
        return (self.config.size // self.config.patch_size) ** 2

    @classmethod
    def fit(cls, batches: Iterable[torch.Tensor], **config: object) -> LappedKLT:
        """The transform for the given images.

        Args:
            batches: (N, 4, size, size) float in -1 to 1; blocks are statistics of all of them.
            **config: arguments of the class.
        """
        model = cls(**config)
        values = model.mean.numel()
        total, products, count = torch.zeros(values).double(), torch.zeros(values, values).double(), 0
        for batch in batches:
            blocks = model._blocks(batch)
            total += blocks.sum(0).double()
            products += (blocks.T @ blocks).double()
            count += len(blocks)
        mean = total / count
        variances, vectors = torch.linalg.eigh(products / count - mean[:, None] * mean[None])
        keep = model.config.num_components
        deviations = variances.flip(0)[:keep].clamp_min(1e-12).sqrt()
        scaled = deviations ** (1 - model.config.power)
        model.mean.copy_(mean)
        model.basis.copy_(vectors.flip(1)[:, :keep])
        model.gain.copy_(deviations**-model.config.power / scaled.square().mean().sqrt())
        model.deviation.copy_(deviations * model.gain)
        return model

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 4, size, size) float in -1 to 1 to (N, tokens, num_components)."""
        blocks = self._blocks(images)
        tokens = ((blocks - self.mean) @ self.basis) * self.gain
        return tokens.view(len(images), self.num_tokens, -1)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, tokens, num_components) to (N, 4, size, size), about -1 to 1, not clamped."""
        blocks = (tokens.float() / self.gain).flatten(0, 1) @ self.basis.T + self.mean
        side, patch = self.config.size // self.config.patch_size, self.config.patch_size
        x = blocks.view(len(tokens), side, side, CHANNELS, patch, patch)
        x = x.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), CHANNELS, self.config.size, self.config.size)
        x = self.lapping.T @ x @ self.lapping
        return torch.cat([x[:, :3], x[:, 3:] / self.config.mask_weight], 1)

    def _blocks(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.cat([images[:, :3], images[:, 3:] * self.config.mask_weight], 1).float()
        x = self.lapping @ x @ self.lapping.T
        side, patch = self.config.size // self.config.patch_size, self.config.patch_size
        x = x.view(len(images), CHANNELS, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(len(images) * side * side, -1)


def lapping(size: int, patch_size: int) -> torch.Tensor:
    """The orthogonal matrix (size, size) of butterflies across block boundaries; the outer borders are left alone.

    Each is ``W diag(I, V) W`` with ``W = [[I, J], [J, -I]] / sqrt(2)`` and ``V = J C_II^T C_IV J`` (Tran et al. 2003,
    eq. 12 and 17; J reverses, C are the orthonormal cosine transforms of types II and IV).
    """
    half = patch_size // 2
    eye = torch.eye(half, dtype=torch.float64)
    reverse = eye.flip(0)
    butterfly = torch.cat([torch.cat([eye, reverse], 1), torch.cat([reverse, -eye], 1)]) / math.sqrt(2)
    rotation = reverse @ _cosine_2(half).T @ _cosine_4(half) @ reverse
    crossing = butterfly @ torch.block_diag(eye, rotation) @ butterfly
    matrix = torch.eye(size, dtype=torch.float64)
    for boundary in range(patch_size, size, patch_size):
        inside = slice(boundary - half, boundary + half)
        matrix[inside, inside] = crossing
    return matrix.float()


def _cosine_2(n: int) -> torch.Tensor:
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix


def _cosine_4(n: int) -> torch.Tensor:
    k = torch.arange(n, dtype=torch.float64)
    return torch.cos(math.pi * (2 * k[None] + 1) * (2 * k[:, None] + 1) / (4 * n)) * math.sqrt(2 / n)
