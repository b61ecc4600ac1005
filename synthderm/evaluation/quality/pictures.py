"""Pictures of a quality result: both sets side by side, and the real neighbours of synthetic images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from synthderm.core import DIAGNOSES, stream
from synthderm.data.contact_sheet import INK, PAPER, QUIET
from synthderm.functional.neighbours import nearest

from ..sets import ImageSet, to_square

TILE, GAP, LINE, LABEL = 112, 6, 20, 120
SHEET, NEIGHBOURS = Path("pictures") / "sheet.png", Path("pictures") / "neighbours.png"


def class_sheet(synthetic: ImageSet, real: ImageSet, classes: Sequence[str], seed: int, each: int = 4) -> Image.Image:
    """Images of both sets, a line for each class: real ones left, synthetic ones right, drawn at random.

    Args:
        synthetic: the synthetic set.
        real: the real set.
        classes: which, from top to bottom.
        seed: of the choice.
        each: images of each class and set, at most.
    """
    sheet = _blank(len(classes), 2 * each, 1)
    draw, fonts = ImageDraw.Draw(sheet), _fonts()
    for side, title in enumerate(("real", "synthetic")):
        draw.text((_left(side * each, side), GAP), title, INK, fonts[1])
    for row, name in enumerate(classes):
        top = LINE + GAP + row * (TILE + GAP)
        draw.text((GAP, top + GAP), _wrapped(_class_name(name)), INK, fonts[0])
        for side, images in enumerate((real, synthetic)):
            for place, i in enumerate(_some(images, name, each, seed)):
                sheet.paste(_tile(images, i), (_left(side * each + place, side), top))
    return sheet


def neighbour_sheet(
    synthetic: ImageSet, real: ImageSet, features: Mapping[str, np.ndarray], seed: int, rows: int = 8, k: int = 5
) -> Image.Image:
    """A few synthetic images, each with its nearest real ones in feature space and their distances.

    Args:
        synthetic: the synthetic set.
        real: the real set.
        features: "synthetic" and "real" -> (N, D).
        seed: of the choice, which is spread over classes.
        rows: synthetic images.
        k: neighbours of each.
    """
    chosen = _spread(synthetic, rows, seed)
    k = min(k, len(real))
    distances, indices = nearest(
        features["synthetic"][chosen].astype(np.float64), features["real"].astype(np.float64), k
    )
    sheet = _blank(len(chosen), 1 + k, 1, extra=LINE)
    draw, fonts = ImageDraw.Draw(sheet), _fonts()
    draw.text((_left(0, 0), GAP), "synthetic", INK, fonts[1])
    draw.text((_left(1, 1), GAP), "nearest real images, feature distance", INK, fonts[1])
    for row, i in enumerate(chosen):
        top = LINE + GAP + row * (TILE + GAP + LINE)
        draw.text((GAP, top + GAP), _wrapped(_class_name(synthetic.label_names[i])), INK, fonts[0])
        sheet.paste(_tile(synthetic, i), (_left(0, 0), top))
        for place in range(k):
            j, x = int(indices[row, place]), _left(1 + place, 1)
            sheet.paste(_tile(real, j), (x, top))
            draw.text((x, top + TILE + 2), f"{real.label_names[j]}  {distances[row, place]:.3g}", QUIET, fonts[0])
    return sheet


def save_pictures(folder: Path, pictures: Mapping[Path, Image.Image]) -> None:
    """Write pictures below a folder."""
    for path, picture in pictures.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / path)


def _blank(rows: int, columns: int, gutters: int, extra: int = 0) -> Image.Image:
    size = (LABEL + columns * (TILE + GAP) + gutters * 2 * GAP + GAP, LINE + GAP + rows * (TILE + GAP + extra) + GAP)
    return Image.new("RGB", size, PAPER)


def _left(column: int, gutters: int) -> int:
    return LABEL + column * (TILE + GAP) + gutters * 2 * GAP


def _fonts() -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
    return ImageFont.load_default(11), ImageFont.load_default(13)


def _tile(images: ImageSet, index: int) -> Image.Image:
    pixels: torch.Tensor = images.images([index])[0]
    return to_square(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()), TILE)


def _class_name(name: str) -> str:
    return DIAGNOSES[name].name if name in DIAGNOSES else name


def _wrapped(text: str) -> str:
    return "\n".join(text.split(" "))


def _some(images: ImageSet, name: str, most: int, seed: int) -> list[int]:
    of_class = [i for i, label in enumerate(images.label_names) if label == name]
    return sorted(stream(seed, f"sheet {name}").permutation(of_class)[:most].tolist()) if of_class else []


def _spread(images: ImageSet, most: int, seed: int) -> list[int]:
    """Images of all classes in turn."""
    queues = [_some(images, name, len(images), seed) for name in images.classes]
    turns = [queue[place] for place in range(max(map(len, queues))) for queue in queues if place < len(queue)]
    return turns[:most]
