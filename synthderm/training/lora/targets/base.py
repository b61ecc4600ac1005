"""What training asks of a base model, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from synthderm.core import InputError

from ..cache import Tensors
from ..config import LoraConfig
from ..examples import Example

ADAPTER = "default"


class Target(ABC):
    """A base model with one small interface: encode images, encode conditions, one loss, samples.

    Attributes:
        family: "compact", "flux", "sd3" or "sd".
        defaults: of the configuration's fields that are None.
        needs_masks: :meth:`encode_images` takes lesion masks, too.
        pipeline: the live diffusers pipeline; its networks are the ones that are trained.
        config: the run's, filled with the defaults.
        dtype: of the frozen weights.
        device: where the tuned network is.
    """

    family: ClassVar[str]
    defaults: ClassVar[dict[str, Any]]
    needs_masks: ClassVar[bool] = False

    def __init__(self, pipeline: Any, config: LoraConfig) -> None:
        self.pipeline, self.config = pipeline, config
        self.dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.mixed_precision]
        self.device = torch.device("cpu")
        if config.resolution % self.multiple:
            raise InputError(
                f"resolution must be a multiple of {self.multiple} px for this base, but got {config.resolution}"
            )

    @classmethod
    @abstractmethod
    def load(cls, config: LoraConfig) -> Any:
        """The pipeline of ``config.base``, on the CPU.

        Raises:
            InputError: if it is not there or cannot be loaded.
        """

    @abstractmethod
    def base_facts(self) -> tuple[str, str]:
        """Name of the base, and the fingerprint that a loader compares."""

    def adapter_facts(self, examples: Sequence[Example]) -> dict[str, Any]:
        """What the adapter's card says beside what all families say."""
        return {}

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """The network that gets the adapter."""

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Sides of images must be a multiple of it, px."""

    @abstractmethod
    def image_fingerprint(self) -> str:
        """What :meth:`encode_images` depends on."""

    @abstractmethod
    def condition_fingerprint(self) -> str:
        """What :meth:`encode_conditions` depends on."""

    @abstractmethod
    def condition_text(self, example: Example | None) -> str:
        """The condition of an example, or of none, as a text; equal texts are encoded once."""

    @abstractmethod
    def encode_conditions(self, examples: Sequence[Example | None]) -> list[Tensors]:
        """Tensors without batch dimension for the condition of each example; None: no condition."""

    @abstractmethod
    def encode_images(self, images: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
        """Latents.

        Args:
            images: (N, 3, S, S) float32 sRGB, -1 to 1.
            masks: (N, S, S) bool where :attr:`needs_masks`.

        Returns:
            (N, ...) float32 in the scale that the tuned network works in.
        """

    @abstractmethod
    def loss(
        self, model: nn.Module, latents: torch.Tensor, conditions: Tensors, generator: torch.Generator
    ) -> torch.Tensor:
        """Training loss of each image, (N,) float32.

        Args:
            model: :attr:`model`, perhaps wrapped for several processes.
            latents: (N, ...) from :meth:`encode_images`.
            conditions: from :meth:`encode_conditions`, with batch dimension.
            generator: on the CPU; the only source of noise and timesteps.
        """

    @abstractmethod
    def sample(self, conditions: Tensors, unconditional: Tensors, seeds: Sequence[int]) -> torch.Tensor:
        """(N, 3, S, S) uint8 sRGB images of the live networks, one seed each."""

    @property
    def sample_batch(self) -> int:
        """How many images :meth:`sample` makes at a time."""
        return self.config.batch_size

    @abstractmethod
    def release_encoders(self) -> None:
        """Drop what only :meth:`encode_conditions` needs from memory."""

    @abstractmethod
    def place(self, device: torch.device) -> None:
        """Bring frozen networks to their device and dtype for training."""

    def noise(self, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Standard normal numbers of the shape, type and device of ``like``, drawn on the CPU."""
        return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) float sRGB 0 to 1 to uint8."""
    return (images.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def per_image(error: torch.Tensor) -> torch.Tensor:
    """(N, ...) squared errors to their mean for each image, (N,) float32."""
    return error.float().flatten(1).mean(1)
