"""A sheet of samples: one PNG, each image with a line of text below it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from synthderm.data import write_atomic

_GAP, _LINE, _LARGEST = 6, 16, 192


def write_sheet(file: Path, images: torch.Tensor, titles: Sequence[str]) -> None:
    """Write images side by side.

    Args:
        file: PNG.
        images: (N, 3, S, S) uint8, sRGB; shown at 192 px at most.
        titles: one for each.
    """
    columns = min(8, max(1, math.ceil(math.sqrt(len(images)))))
    side = min(_LARGEST, images.shape[-1])
    rows = math.ceil(len(images) / columns)
    size = (columns * (side + _GAP) + _GAP, rows * (side + _LINE + _GAP) + _GAP)
    sheet, font = Image.new("RGB", size, "white"), ImageFont.load_default(11)
    draw = ImageDraw.Draw(sheet)
    for i, (image, title) in enumerate(zip(images, titles, strict=True)):
        x, y = _GAP + i % columns * (side + _GAP), _GAP + i // columns * (side + _LINE + _GAP)
        tile = Image.fromarray(image.permute(1, 2, 0).numpy())
        sheet.paste(tile.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + side + 1), title, (60, 60, 60), font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(file, buffer.getvalue(), sync=False)
