"""Drawn sets for the gain protocol: discs whose colour is their class, in the layout of the training pack."""

import csv

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from synthderm.data import Record

COLOURS = {"nv": (170, 110, 70), "mel": (70, 40, 60), "bcc": (190, 60, 60)}
COLUMNS = ("file", "dataset", "label", "group", "split", "fitzpatrick", "mask", "source_group")


class Thumbnail(nn.Sequential):
    """A linear model on 4 x 4 px: learns discs in a few steps."""

    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(48, num_classes))

    def forward(self, x):
        return super().forward(4 * (F.adaptive_avg_pool2d(x, 4) - 0.5))


class Blob(nn.Module):
    """Segments what is darker than the image's mean by a learnt margin."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([5.0, 0.0]))

    def forward(self, x):
        grey = x.mean(1)
        return self.weight[0] * (grey.mean((1, 2), keepdim=True) - grey) + self.weight[1]


class Broken(Thumbnail):
    """Fails when it is used."""

    def forward(self, x):
        raise OSError(28, "No space left on device", "somewhere")


def draw(seed, label, size=16, spread=45.0):
    """(H, W, 3) uint8 and its (H, W) bool mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    y, x, radius = rng.uniform([0.4, 0.4, 0.2], [0.6, 0.6, 0.3])
    mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    colour = np.array(COLOURS[label]) + rng.normal(0, spread, 3)
    pixels = np.where(mask[..., None], colour, (215, 180, 160)) + rng.normal(0, 3, (size, size, 3))
    return pixels.round().clip(0, 255).astype(np.uint8), mask


def make_set(root, labels, seed, dataset="drawn", per_group=2, split="train", masks=False, **columns):
    """A folder with one image for each of ``labels``; further columns are functions of the image's number."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "masks").mkdir(exist_ok=True)
    rows = []
    for i, label in enumerate(labels):
        image, mask = draw((seed, i), label)
        name = f"{split}_{seed}_{i:04d}.png"
        Image.fromarray(image).save(root / "images" / name)
        row = {"file": f"images/{name}", "dataset": dataset, "label": label, "split": split}
        row |= {"group": f"{seed}-{i // per_group}" if per_group else "", "fitzpatrick": 1 + i % 2}
        if masks:
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / name)
            row["mask"] = f"masks/{name}"
        rows.append(row | {key: value(i) for key, value in columns.items()})
    add_rows(root, rows)
    return root


def add_rows(root, rows):
    path = root / "metadata.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


def shares(n, **of):
    """n labels in the given shares, in runs of two (a group has one class)."""
    names = [name for name, share in of.items() for _ in range(round(share * n / 2))]
    order = np.random.default_rng(0).permutation(len(names))
    return [names[i] for i in order for _ in range(2)]


def make_sets(root, n_train=60, n_synthetic=60, n_test=64, masks=False):
    """Folders "real" (splits train and val) and "synthetic"."""
    real = make_set(root / "real", shares(n_train, nv=0.6, mel=0.2, bcc=0.2), 1, masks=masks)
    make_set(real, shares(n_test, nv=0.5, mel=0.25, bcc=0.25), 2, split="val", masks=masks)
    labels = ["nv", "mel", "bcc"] * (n_synthetic // 3)
    return real, make_set(root / "synthetic", labels, 3, dataset="made", per_group=0, split="", masks=masks)


def record(i, label="nv", group=None, dataset="real", **more):
    return Record(f"{dataset}/{i}.png", dataset, label, group=group, metadata=more)
