"""Pictures of pairs: a synthetic image, the training image that it is most like, and their score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synthderm.data.contact_sheet import INK, PAPER, QUIET
from synthderm.models.copies import CopyScores

from ..sets import ImageSet, to_square

TILE, GAP, LINE = 192, 6, 18
PICTURES = "pictures"


def write_pairs(
    folder: Path,
    prefix: str,
    sets: tuple[ImageSet, ImageSet],
    scores: CopyScores,
    flagged: np.ndarray,
    most: int,
    names: tuple[str, str] = ("synthetic", "train"),
) -> list[dict[str, Any]]:
    """Write the most alike pairs, side by side, below ``folder/pictures``.

    Args:
        folder: of the result.
        prefix: of the file names.
        sets: the judged images and those that they are compared with.
        scores: of the judged images.
        flagged: (N,) bool, those above the threshold.
        most: how many pairs.
        names: keys of the two files in what is returned.

    Returns:
        JSON values of each pair, the most alike first; "picture" is relative to ``folder``.
    """
    pairs = []
    for place, i in enumerate(np.argsort(-scores.scores, kind="stable")[:most].tolist()):
        j, path = int(scores.nearest[i]), f"{PICTURES}/{prefix}_{place:03d}.png"
        files = sets[0].records[i].file, sets[1].records[j].file
        pair = {
            names[0]: files[0],
            names[1]: files[1],
            "score": round(float(scores.scores[i]), 4),
            "hash_bits": int(scores.hash_distances[i]),
            "flagged": bool(flagged[i]),
            "picture": path,
        }
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        _side_by_side((sets[0], i), (sets[1], j), pair["score"], pair["flagged"], names).save(folder / path)
        pairs.append(pair)
    return pairs


def _side_by_side(
    first: tuple[ImageSet, int], second: tuple[ImageSet, int], score: float, flagged: bool, names: tuple[str, str]
) -> Image.Image:
    sheet = Image.new("RGB", (2 * TILE + 3 * GAP, TILE + 2 * GAP + LINE), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (images, index) in enumerate((first, second)):
        pixels = images.images([index])[0].permute(1, 2, 0).contiguous().numpy()
        left = GAP + place * (TILE + GAP)
        sheet.paste(to_square(Image.fromarray(pixels), TILE), (left, GAP))
        draw.text((left, TILE + GAP + 2), names[place].replace("_", " "), QUIET, font)
    text = f"score {score:.2f}{' above the threshold' if flagged else ''}"
    draw.text((sheet.width - GAP, TILE + GAP + 2), text, INK, font, anchor="ra")
    return sheet
