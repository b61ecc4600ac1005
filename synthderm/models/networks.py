"""Two networks small enough to train from scratch on a processor in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

MEAN, DEVIATION = 0.6, 0.2
"""Rounded mean and standard deviation of dermoscopic sRGB values; both networks standardise with them."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016, fig. 2 and 5)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A compact residual classifier; also the body of the ``derm`` feature extractor.

    A 5x5 stem and one block per width each halve the image; further blocks follow where the maps are small.

    Attributes:
        num_features: length of the pooled feature vector, the last of ``widths``.
        num_classes: number of logits.
    """

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (24, 48, 96, 128),
        depths: Sequence[int] = (1, 2, 2),
    ) -> None:
        """Random weights.

        Args:
            num_classes: number of logits.
            widths: channels of the stem and of each stage.
            depths: residual blocks in each stage; one fewer than ``widths``.

        Raises:
            ValueError: if the lengths do not fit.
        """
        super().__init__()
        if len(depths) != len(widths) - 1:
            raise ValueError(f"depths must have {len(widths) - 1} entries for {len(widths)} widths, got {len(depths)}")
        self.num_classes, self.num_features = num_classes, widths[-1]
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks: list[nn.Module] = []
        for (inputs, outputs), depth in zip(pairwise(widths), depths, strict=True):
            blocks.append(ResidualBlock(inputs, outputs, 2))
            blocks += [ResidualBlock(outputs, outputs, 1) for _ in range(depth - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(self.num_features, num_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float sRGB 0 to 1 to (N, num_features)."""
        x = ((x - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        return self.blocks(self.stem(x)).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float sRGB 0 to 1 to (N, num_classes) logits."""
        return self.head(self.features(x))


class DoubleConvolution(nn.Sequential):
    """Two 3x3 convolutions with group norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(4, outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(4, outputs), nn.ReLU(),
        )  # fmt: skip


class UNet(nn.Module):
    """A compact U-Net (Ronneberger et al. 2015) for one foreground class.

    The first and the last step trade 2 x 2 pixels for channels, which halves the cost on a processor. Each image
    is first brought to mean 0 and standard deviation 1: exposure tells nothing of where the lesion is.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 96, 128)) -> None:
        """Random weights; ``widths`` are multiples of 4 (groups of the norm), one per resolution."""
        super().__init__()
        self.down = nn.ModuleList(DoubleConvolution(a, b) for a, b in pairwise((12, *widths)))
        self.up = nn.ModuleList(DoubleConvolution(a + b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float sRGB 0 to 1 to (N, H, W) logits of the lesion; H and W multiples of 16."""
        mean, deviation = x.mean((2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
        x = F.pixel_unshuffle((x - mean) / (deviation + 0.02), 2).contiguous(memory_format=torch.channels_last)
        kept: list[torch.Tensor] = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for block, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            x = block(torch.cat([skip, F.interpolate(x, scale_factor=2)], 1))
        return F.pixel_shuffle(self.head(x), 2)[:, 0]
