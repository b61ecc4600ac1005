"""What every generator returns: an image with its masks, maps and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .checks import InputError

LESION = "lesion"
HEALTHY_SKIN = "healthy_skin"


@dataclass(frozen=True)
class Sample:
    """One generated image.

    Attributes:
        image: (3, H, W) uint8, sRGB (IEC 61966-2-1).
        masks: name -> (H, W) bool. ``"lesion"`` and ``"healthy_skin"`` are always there; the latter is what
            the skin tone is measured on: no lesion, hair, artefact, or pixels outside the field of view.
        metadata: JSON values that describe the image; one row of the manifest without the file names.
        seed: the image's own seed.
        maps: name -> (H, W) or (C, H, W) float32, such as melanin, blood, height, normals; often empty.

    Raises:
        InputError: if a shape or type differs from the above.
    """

    image: torch.Tensor
    masks: dict[str, torch.Tensor]
    metadata: dict[str, Any]
    seed: int
    maps: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.image.dtype != torch.uint8 or self.image.ndim != 3 or self.image.shape[0] != 3:
            raise InputError(
                f"Sample.image must be uint8 of shape (3, H, W), but got {self.image.dtype} {tuple(self.image.shape)}"
            )
        size = self.image.shape[1:]
        for name in (LESION, HEALTHY_SKIN):
            if name not in self.masks:
                raise InputError(f"Sample.masks must hold {name!r}, but got {sorted(self.masks)}")
        for name, mask in self.masks.items():
            if mask.dtype != torch.bool or mask.shape != size:
                raise InputError(
                    f"mask {name!r} must be bool of shape {tuple(size)}, but got {mask.dtype} {tuple(mask.shape)}"
                )
        for name, values in self.maps.items():
            if values.shape[-2:] != size:
                raise InputError(f"map {name!r} must end in {tuple(size)}, but got {tuple(values.shape)}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return int(self.image.shape[1]), int(self.image.shape[2])
