"""Drawn lesions with a texture of their own, in the layout of the training pack."""

import csv

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from synthderm.models.features import FeatureExtractor

COLUMNS = ("file", "dataset", "label", "group", "split", "mask", "is_synthetic")


class Tiny(FeatureExtractor):
    """Mean colours of a 4 x 4 grid."""

    def __init__(self):
        super().__init__("tiny", 48, 16, "0" * 64, "CC0-1.0", ())

    def encode(self, x):
        return F.adaptive_avg_pool2d(x, 4).flatten(1)


class NotFinite(Tiny):
    def encode(self, x):
        return super().encode(x) * torch.nan


def lesion(seed, label, size=48, tint=0.0):
    """(H, W, 3) uint8 and its mask; ``tint`` colours the skin of melanomas."""
    rng = np.random.default_rng([7, seed])
    down, across = np.mgrid[:size, :size] / size
    y, x, ry, rx = rng.uniform([0.4, 0.4, 0.12, 0.12], [0.6, 0.6, 0.25, 0.25])
    mask = ((down - y) / ry) ** 2 + ((across - x) / rx) ** 2 < 1
    skin = rng.uniform([190, 140, 110], [240, 190, 160]) + tint * (label == "mel") * np.array([-1, 0, 1])
    grain = np.kron(rng.normal(0, 10, (size // 4, size // 4)), np.ones((4, 4)))
    pixels = np.where(mask[..., None], 0.5 * skin, skin) + grain[..., None]
    return pixels.clip(0, 255).astype(np.uint8), mask


def write_set(root, seeds, *, dataset="drawn", split="train", tint=0.0, groups=None, masks=True, synthetic=False):
    """A folder with one image for each seed; even ones are nevi, odd ones melanomas."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for place, seed in enumerate(seeds):
        label = ("nv", "mel")[seed % 2]
        pixels, mask = lesion(seed, label, tint=tint)
        file = f"images/{dataset}_{seed:05d}.png"
        Image.fromarray(pixels).save(root / file)
        if masks:
            Image.fromarray(mask).save(root / file.replace("images", "masks"))
        rows.append([
            file, dataset, label, f"{dataset}_{seed}" if groups is None else groups[place],
            split(place) if callable(split) else split, file.replace("images", "masks") if masks else "", synthetic,
        ])  # fmt: skip
    write_table(root, rows)
    return root


def write_table(root, rows):
    table = root / "metadata.csv"
    new = not table.is_file()
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)


def plant(root, name, pixels, label="nv"):
    """Add an image without a mask to a set."""
    Image.fromarray(pixels).save(root / "images" / name)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[16:32, 16:32] = True
    Image.fromarray(mask).save(root / "masks" / name)
    write_table(root, [[f"images/{name}", "planted", label, f"planted_{name}", "train", f"masks/{name}", True]])
