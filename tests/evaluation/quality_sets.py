"""Folders of drawn lesions, and an extractor small enough for tests."""

import csv
import json
import math

import numpy as np
import torch
from PIL import Image

from synthderm.core import tone_band
from synthderm.functional.color import lab_to_linear, linear_to_srgb
from synthderm.models.features import FeatureExtractor

COLOURS = {"nv": (150, 95, 70), "mel": (70, 50, 60), "bcc": (190, 60, 60), "vasc": (160, 20, 60)}


class TinyExtractor(FeatureExtractor):
    """Mean colours of image and centre, mean responses of random filters; counts the images that it sees."""

    def __init__(self, num_features=8):
        super().__init__("tiny", num_features, 24, "0" * 64, "CC0-1.0", ())
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("kernels", torch.randn(num_features - 6, 3, 5, 5, generator=generator) / 6)
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return super().forward(images)

    def encode(self, x):
        filtered = torch.nn.functional.conv2d(x - 0.5, self.kernels, stride=2).relu().mean((2, 3))
        return torch.cat([x.mean((2, 3)), centre_colour(x), filtered], 1)


class BrokenExtractor(TinyExtractor):
    """Gives nan for one image."""

    def encode(self, x):
        found = super().encode(x)
        found[3, 2] = torch.nan
        return found


def centre_colour(x):
    """(N, 3) mean of the middle ninth of (N, 3, H, W) images; the lesion's colour."""
    third = x.shape[-1] // 3
    return x[..., third : 2 * third, third : 2 * third].mean((2, 3))


def skin(ita_deg, chroma=20.0):
    """(3,) sRGB 0 to 255 of skin with an ITA."""
    angle = math.radians(ita_deg)
    lab = torch.tensor([50 + chroma * math.sin(angle), 8.0, max(chroma * math.cos(angle), 4.0)])
    return (linear_to_srgb(lab_to_linear(lab)).clamp(0, 1) * 255).numpy()


def draw(seed, code, ita_deg=35.0, size=48):
    """A disc in the colour of its class on noisy skin: (H, W, 3) uint8 and (H, W) bool."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    y, x, radius = rng.uniform([0.4, 0.4, 0.17], [0.6, 0.6, 0.25])
    mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    colour = np.array(COLOURS[code]) + rng.normal(0, 6, 3)
    pixels = np.where(mask[..., None], colour, skin(ita_deg)) + rng.normal(0, 2, (size, size, 3))
    return pixels.round().clip(0, 255).astype(np.uint8), mask


def real_folder(root, n=72, classes=("nv", "mel", "bcc"), per_group=2, masks=True, size=48, seed=0):
    """A set in the layout of the training pack; classes take turns, groups hold images of one class."""
    rows = []
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i in range(n):
        code = classes[i // per_group % len(classes)]
        fst = 1 + i % 3
        band = tone_band(fst)
        image, mask = draw(seed + i, code, (band.draw_low_deg + band.draw_high_deg) / 2, size)
        Image.fromarray(image).save(root / "images" / f"{i:04d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{i:04d}.png")
        rows.append(
            {
                "file": f"images/{i:04d}.png",
                "dataset": "drawn",
                "label": code,
                "fitzpatrick": fst,
                "mask": f"masks/{i:04d}.png" if masks else "",
                "group": f"lesion{i // per_group}",
                "split": "val" if i // per_group % 4 == 0 else "train",
                "licence": "CC0-1.0",
            }
        )
    with open(root / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return root


def synthetic_folder(
    root, n=48, classes=("nv", "mel", "bcc"), size=48, seed=10_000, change=lambda i, row, image: image
):
    """A set in this library's own layout; ``change`` may alter a row and gives the pixels."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = []
    for i in range(n):
        code, fst = classes[i % len(classes)], 1 + i // len(classes) % 3
        band = tone_band(fst)
        ita = (band.draw_low_deg + band.draw_high_deg) / 2
        row = {
            "file_name": f"images/S{i:04d}.png",
            "mask_file_name": f"masks/S{i:04d}_segmentation.png",
            "isic_id": f"S{i:04d}",
            "lesion_id": f"SYNL_{i}",
            "dx": code,
            "is_synthetic": True,
            "fst_requested": fst,
            "ita_requested_deg": ita,
        }
        image, mask = draw(seed + i, code, ita, size)
        image = change(i, row, image)
        Image.fromarray(image).save(root / row["file_name"])
        if row["mask_file_name"]:
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / row["mask_file_name"])
        lines.append(json.dumps(row))
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return root
