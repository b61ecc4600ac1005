"""One picture of many images, to be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synthderm.core import InputError

from .images import open_image
from .layout import Layout, arrange, caption

Row = Mapping[str, Any]

INK, PAPER, QUIET = (24, 24, 27), (255, 255, 255), (113, 113, 122)
OUTLINE = (0, 229, 255)
"""Colour of the mask's outline, sRGB: a cyan that no skin has."""

_GAP, _CAPTION, _HEAD, _LABEL = 8, 34, 26, 22


def outline(mask: np.ndarray, width: int = 2) -> np.ndarray:
    """The inner edge of a mask, ``width`` px wide.

    Args:
        mask: (H, W) bool.
        width: px.
    """
    inside = mask.copy()
    for _ in range(width):
        padded = np.pad(inside, 1, mode="edge")
        inside &= padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def tile_pixels(root: Path, row: Row, size: int, outlines: bool = False) -> Image.Image:
    """The image of a row at ``size`` px, if asked for with the outline of its lesion mask."""
    tile = open_image(root / row["file_name"]).resize((size, size), Image.Resampling.LANCZOS)
    if outlines and row.get("mask_file_name"):
        mask = open_image(root / row["mask_file_name"]).convert("L").resize((size, size), Image.Resampling.NEAREST)
        pixels = np.array(tile)
        pixels[outline(np.asarray(mask) > 127)] = OUTLINE
        tile = Image.fromarray(pixels)
    return tile


def _shortened(text: str, font: Any, width: int) -> str:
    """``text`` with its middle left out until it fits into ``width`` px; the end tells images apart."""
    short, kept = text, len(text)
    while kept > 4 and font.getlength(short) > width:
        kept -= 1
        short = text[: kept // 2] + "\N{HORIZONTAL ELLIPSIS}" + text[len(text) - (kept - kept // 2) :]
    return short


def _draw(layout: Layout, root: Path, tile: int, outlines: bool) -> Image.Image:
    columns = max((len(line) for _, line in layout.lines), default=1)
    labelled = len({label for label, _ in layout.lines if label}) > 1
    label_height = _LABEL if labelled else 0
    heights = [tile + _CAPTION + (label_height if label else 0) for label, _ in layout.lines]
    head = _HEAD if layout.columns else 0
    size = (columns * (tile + _GAP) + _GAP, head + sum(heights) + (len(heights) + 1) * _GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    small, plain = ImageFont.load_default(11), ImageFont.load_default(13)
    for i, name in enumerate(layout.columns):
        draw.text((_GAP + i * (tile + _GAP) + tile // 2, _GAP), name, INK, plain, anchor="ma")
    top = head + _GAP
    for (label, line), height in zip(layout.lines, heights, strict=True):
        y = top
        if label and labelled:
            draw.text((_GAP, y), label, INK, plain)
            y += label_height
        for i, row in enumerate(line):
            if row is None:
                continue
            x = _GAP + i * (tile + _GAP)
            sheet.paste(tile_pixels(root, row, tile, outlines), (x, y))
            first, second = caption(row, layout.varied)
            draw.text((x, y + tile + 3), _shortened(first, small, tile), INK, small)
            draw.text((x, y + tile + 17), _shortened(second, small, tile), QUIET, small)
        top += height + _GAP
    return sheet


def contact_sheet(
    rows: Iterable[Row],
    root: str | Path,
    columns: int = 8,
    limit: int = 64,
    tile: int = 160,
    *,
    outlines: bool = False,
) -> Image.Image:
    """One RGB picture of a set's images, each with its class, measured tone and name.

    Args:
        rows: manifest rows in the order of their index.
        root: the output folder.
        columns: most images in a line; see :func:`~synthderm.data.layout.arrange` for what stands where.
        limit: most images in all.
        tile: width of an image on the sheet, px.
        outlines: draw the outline of every lesion mask.

    Raises:
        InputError: if an image file is missing or damaged, or there is no image at all.
    """
    layout = arrange(rows, columns, limit)
    if not layout.lines:
        raise InputError(f"{root} has no images to show; make some first")
    return _draw(layout, Path(root), tile, outlines)
