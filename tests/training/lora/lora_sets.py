"""Drawn data sets for tests of LoRA tuning."""

import csv

import numpy as np
from PIL import Image

SKIN, MOLE, DARK = (205, 160, 135), (125, 85, 65), (70, 50, 50)


def draw_lesion(file, seed=0, colour=MOLE, size=(72, 64), skin=SKIN):
    """A dark disc on skin."""
    width, height = size
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), skin, float) + rng.normal(0, 3, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    place, radius = rng.uniform(-4, 4, 2), rng.uniform(10, 16)
    pixels[(y - height / 2 - place[0]) ** 2 + (x - width / 2 - place[1]) ** 2 < radius**2] = colour
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(file)


def class_folders(folder, counts=None):
    """A folder for each class; code -> images."""
    for code, n in (counts or {"nv": 4, "mel": 4}).items():
        for i in range(n):
            draw_lesion(folder / code / f"{i}.png", seed=i, colour=DARK if code == "mel" else MOLE)
    return folder


def with_table(folder, rows):
    """Images named in a metadata.csv; rows hold the columns beside ``file``."""
    for i, row in enumerate(rows):
        draw_lesion(folder / "images" / f"{i}.png", seed=i)
        row["file"] = f"images/{i}.png"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return folder
