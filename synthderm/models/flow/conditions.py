"""What the compact flow is told: diagnosis, style, skin colour and lesion attributes, each of which may be unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from synthderm.core import InputError
from synthderm.functional.attributes import ATTRIBUTES

CLASSES = ("nv", "mel", "bcc", "akiec", "bkl", "df", "vasc")
STYLES = ("simulated", "ham10000", "isic2017", "padufes20")
"""Whose look an image has; "padufes20" are photographs, the others dermoscopy."""

STYLE_OF_MODALITY = {"dermoscopy": "ham10000", "clinical": "padufes20"}
"""The look of images for which none is named."""


def style_of(dataset: str, modality: str) -> str:
    """The style that an image is trained under: its data set's, else that of its modality."""
    return dataset if dataset in STYLES else STYLE_OF_MODALITY[modality]


UNKNOWN = -1
_LAB_CENTRE, _LAB_SCALE = (55.0, 15.0, 12.0), (20.0, 10.0, 12.0)
_FREQUENCIES = 8


@dataclass(frozen=True)
class FlowConditions:
    """Conditions of N images, as tensors.

    Attributes:
        diagnosis: (N,) int64, index into the encoder's classes; -1 where unknown.
        style: (N,) int64, index into its styles; -1 where unknown.
        skin_lab: (N, 3) float32, median CIELAB (D65/2 deg) of the healthy skin; nan where unknown.
        attributes: (N, 5) float32, percentiles 0 to 1 of :data:`~synthderm.functional.attributes.ATTRIBUTES` among
            the images that the base was trained on; nan where unknown.
    """

    diagnosis: torch.Tensor
    style: torch.Tensor
    skin_lab: torch.Tensor
    attributes: torch.Tensor

    def __len__(self) -> int:
        return len(self.diagnosis)

    def __getitem__(self, rows: object) -> FlowConditions:
        return FlowConditions(*(getattr(self, name)[rows] for name in _FIELDS))

    def to(self, device: torch.device | str) -> FlowConditions:
        """The same on another device."""
        return FlowConditions(*(getattr(self, name).to(device) for name in _FIELDS))

    @classmethod
    def unknown(cls, n: int) -> FlowConditions:
        """Nothing known of n images: the unconditional side of guidance."""
        none = torch.full((n,), UNKNOWN)
        return cls(none, none.clone(), torch.full((n, 3), math.nan), torch.full((n, len(ATTRIBUTES)), math.nan))

    @classmethod
    def cat(cls, parts: Sequence[FlowConditions]) -> FlowConditions:
        """All of them in one."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS))


_FIELDS = ("diagnosis", "style", "skin_lab", "attributes")


class ConditionEncoder(ModelMixin, ConfigMixin):
    """Conditions to the two inputs of a FLUX transformer: a token for each condition, and one vector.

    Numbers go through sines of eight octaves and a linear map each; an unknown condition has a token of its own.

    Args:
        width: length of the tokens and of the vector.
        classes: diagnosis codes.
        styles: names of looks.
        knots: for each attribute its 0, 5, ..., 100 % points among the training images; raw measures become
            percentiles by them.
        skin_colours: colours that are kept of each style, from which the skin of new images is drawn.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 128,
        classes: Sequence[str] = CLASSES,
        styles: Sequence[str] = STYLES,
        knots: Sequence[Sequence[float]] = (),
        skin_colours: int = 256,
    ) -> None:
        super().__init__()
        self.register_buffer("colours", torch.full((len(styles), skin_colours, 3), math.nan))
        self.diagnosis = nn.Embedding(len(classes) + 1, width)
        self.style = nn.Embedding(len(styles) + 1, width)
        self.skin = nn.Linear(3 * (2 * _FREQUENCIES + 1), width)
        self.attributes = nn.ModuleList(nn.Linear(2 * _FREQUENCIES + 1, width) for _ in ATTRIBUTES)
        self.missing = nn.Parameter(torch.randn(1 + len(ATTRIBUTES), width))
        self.pooled = nn.Sequential(
            nn.Linear((3 + len(ATTRIBUTES)) * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    @property
    def num_tokens(self) -> int:
        """Tokens for one image."""
        return 3 + len(ATTRIBUTES)

    def forward(self, conditions: FlowConditions) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (N, 8, width) and pooled vector (N, width)."""
        tokens = [self.diagnosis(conditions.diagnosis + 1), self.style(conditions.style + 1)]
        centre, scale = (torch.tensor(v).to(conditions.skin_lab) for v in (_LAB_CENTRE, _LAB_SCALE))
        tokens.append(self._number(self.skin, (conditions.skin_lab - centre) / scale, self.missing[0]))
        for i, layer in enumerate(self.attributes):
            value = 2 * conditions.attributes[:, i : i + 1] - 1
            tokens.append(self._number(layer, value, self.missing[1 + i]))
        joined = torch.stack(tokens, 1)
        return joined, self.pooled(joined.flatten(1))

    @staticmethod
    def _number(layer: nn.Linear, values: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        known = ~values.isnan().any(1, keepdim=True)
        return torch.where(known, layer(waves(values.nan_to_num())), missing)

    def keep_colours(self, style: str, labs: torch.Tensor) -> None:
        """Keep skin colours (M, 3) CIELAB of a style, spread evenly over ITA if there are more than have room."""
        angles = torch.atan2(labs[:, 0] - 50, labs[:, 2])
        sorted_labs = labs[angles.argsort()]
        places = torch.linspace(0, len(labs) - 1, self.colours.shape[1]).round().long()
        self.colours[self.config.styles.index(style)] = sorted_labs[places].to(self.colours)

    def skin_table(self, style: str) -> torch.Tensor:
        """Skin colours (M, 3) of a style, CIELAB D65/2 deg.

        Raises:
            InputError: if the flow has none of that style.
        """
        table = self.colours[list(self.config.styles).index(style)].float().cpu()
        if table.isnan().any():
            raise InputError(f"this flow has seen no image of style {style!r}; choose another style")
        return table

    def percentiles(self, raw: torch.Tensor) -> torch.Tensor:
        """Raw measures (N, 5) of :func:`~synthderm.functional.attributes.lesion_attributes` as percentiles 0 to 1."""
        knots = torch.tensor(self.config.knots, dtype=torch.float32, device=raw.device)
        columns = []
        for column, points in zip(raw.T, knots, strict=True):
            place = torch.searchsorted(points, column.contiguous()).clamp(1, len(points) - 1)
            low, high = points[place - 1], points[place]
            share = ((column - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
            columns.append((place - 1 + share) / (len(points) - 1))
        return torch.stack(columns, 1)


def waves(values: torch.Tensor) -> torch.Tensor:
    """(N, k) numbers of about -1 to 1 as themselves with sines and cosines of 1/4 to 32 turns per unit.

    The octaves are damped, so that near numbers stay near (Tancik et al. 2020, NeurIPS, eq. 5 with falling weights).
    """
    turns = 2.0 ** torch.arange(-2, _FREQUENCIES - 2, device=values.device)
    angles = 2 * math.pi * values[..., None] * turns
    damped = turns.clamp_min(1.0).rsqrt()
    return torch.cat([values[..., None], angles.sin() * damped, angles.cos() * damped], -1).flatten(1)
