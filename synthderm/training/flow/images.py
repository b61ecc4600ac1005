"""Images with masks and conditions that a flow is trained on, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.functional.attributes import lesion_attributes
from synthderm.functional.color import median_lab
from synthderm.functional.filters import gaussian_blur
from synthderm.functional.skin import healthy_skin
from synthderm.models.flow.conditions import CLASSES, STYLES, FlowConditions

MASK_BLUR = 1.5 / 128
"""Standard deviation of the blur of masks before the front end, as a share of the side."""

MIN_SKIN_PX = 40


@dataclass
class FlowImages:
    """Training images in memory.

    Attributes:
        images: (N, 3, S, S) uint8, sRGB.
        masks: (N, S, S) bool, lesion.
        diagnosis: (N,) int64 index into the classes, -1 where unknown.
        style: (N,) int64 index into the styles.
        skin_lab: (N, 3) float32, nan where no healthy skin is seen.
        measures: (N, 5) float32, raw lesion attributes, nan where there is no lesion.
    """

    images: torch.Tensor
    masks: torch.Tensor
    diagnosis: torch.Tensor
    style: torch.Tensor
    skin_lab: torch.Tensor
    measures: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def measured(
        cls, images: torch.Tensor, masks: torch.Tensor, diagnosis: Sequence[str | None], style: Sequence[str]
    ) -> FlowImages:
        """Images with what is measured of them; classes and styles by name."""
        skin, measures = zip(*(describe(image, mask) for image, mask in zip(images, masks, strict=True)), strict=True)
        codes = torch.tensor([CLASSES.index(d) if d in CLASSES else -1 for d in diagnosis])
        return cls(
            images,
            masks,
            codes,
            torch.tensor([STYLES.index(s) for s in style]),
            torch.stack(skin),
            torch.stack(measures),
        )

    @classmethod
    def cat(cls, parts: Sequence[FlowImages]) -> FlowImages:
        """All of them in one."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS))

    def select(self, rows: torch.Tensor) -> FlowImages:
        """Some of them."""
        return FlowImages(*(getattr(self, name)[rows] for name in _FIELDS))

    def to(self, device: torch.device | str) -> FlowImages:
        """The same on another device; itself if it is there already."""
        if self.images.device == torch.device(device):
            return self
        return FlowImages(*(getattr(self, name).to(device) for name in _FIELDS))

    def save(self, path: Path) -> None:
        """Write them as one safetensors file, complete or not at all."""
        from safetensors.torch import save_file

        temporary = path.with_suffix(".part")
        save_file({name: getattr(self, name).contiguous() for name in _FIELDS}, str(temporary))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> FlowImages:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: if the file is damaged or holds something else.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(str(path))
            return cls(*(found[name] for name in _FIELDS))
        except (SafetensorError, OSError, KeyError) as error:
            raise InputError(f"{path} holds no training images ({error}); remove it, and it is made again") from error

    def conditions(self, percentiles: torch.Tensor) -> FlowConditions:
        """Conditions, with the attributes that an encoder turned into percentiles."""
        return FlowConditions(self.diagnosis, self.style, self.skin_lab, percentiles)

    def knots(self) -> list[list[float]]:
        """0, 5, ..., 100 % points of each measure."""
        shares = torch.linspace(0, 1, 21)
        columns = [column[~column.isnan()] for column in self.measures.T]
        return [[round(float(v), 5) for v in column.quantile(shares)] for column in columns]


_FIELDS = ("images", "masks", "diagnosis", "style", "skin_lab", "measures")


def describe(image: torch.Tensor, lesion: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Median CIELAB of the healthy skin (3,), and the lesion's measures (5,); nan where they cannot be taken."""
    skin = healthy_skin(image, lesion)
    if int(skin.sum()) < MIN_SKIN_PX:
        return torch.full((3,), torch.nan), torch.full((5,), torch.nan)
    colour = torch.tensor(median_lab(image, skin), dtype=torch.float32)
    return colour, lesion_attributes(image, lesion, colour)


def to_input(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """uint8 images and bool masks as the front end takes them: (N, 4, S, S) float32 in -1 to 1."""
    soft = gaussian_blur(masks.float() * 2 - 1, MASK_BLUR * masks.shape[-1])
    return torch.cat([images.float() / 127.5 - 1, soft[:, None]], 1)


def turned(x: torch.Tensor, turns: np.ndarray) -> torch.Tensor:
    """Each image of (N, C, S, S) turned by ``turns % 4`` right angles and, from 4 on, mirrored."""
    found = torch.empty_like(x)
    for turn in np.unique(turns):
        rows = torch.from_numpy(np.flatnonzero(turns == turn)).to(x.device)
        part = torch.rot90(x[rows], int(turn) % 4, (2, 3))
        found[rows] = part.flip(3) if turn >= 4 else part
    return found
