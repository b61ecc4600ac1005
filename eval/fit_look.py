"""Fit the colour casts of real data sets: python eval/fit_look.py --real PACK [--write].

The colour of healthy skin in each image, over the model's skin of ITA 45, gives log gains of red, green and
blue. Their distribution per data set is kept as 24 centres with weights and spreads (k-means), in
``synthderm/simulator/look.json``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from common import write_result
from PIL import Image
from scipy.cluster.vq import kmeans2
from scipy.ndimage import binary_dilation

from synthderm.functional.color import lab_to_linear, linear_to_lab, rgb_to_lab, srgb_to_linear
from synthderm.simulator.tissue import SITES, ita_to_melanin, skin_reflectance, spectrum_to_lab

REFERENCE_ITA = 45.0
CENTRES = 24


def reference_skin() -> np.ndarray:
    """Linear sRGB of the model's skin of ITA 45 (surface reflection excluded, as in dermoscopy)."""
    site = SITES["body"]
    spectrum = skin_reflectance(ita_to_melanin(REFERENCE_ITA), site.blood, site.oxygenation)
    return lab_to_linear(torch.from_numpy(spectrum_to_lab(spectrum))).numpy()


def skin_colour(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
    """Linear sRGB of the median healthy skin; without a mask the image's border stands for it."""
    size = image.shape[0]
    if mask is None:
        skin = np.ones(image.shape[:2], bool)
        skin[size // 6 : -size // 6, size // 6 : -size // 6] = False
    else:
        skin = ~binary_dilation(mask, iterations=size // 20)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    lab = rgb_to_lab(tensor).numpy()
    skin &= lab[0] > 25
    if skin.sum() < 200:
        return None
    return np.median(srgb_to_linear(tensor.float() / 255).numpy()[:, skin], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="the real training pack (zip)")
    parser.add_argument("--write", action="store_true", help="write synthderm/simulator/look.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = reference_skin()
    gains: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(args.real) as pack:
        root = args.real.stem
        rows = list(csv.DictReader(io.StringIO(pack.read(f"{root}/metadata.csv").decode())))
        for row in rows:
            if row["split"] != "train":
                continue
            image = np.array(Image.open(io.BytesIO(pack.read(f"{root}/{row['file']}"))).convert("RGB"))
            mask = None
            if row["mask"]:
                mask = np.array(Image.open(io.BytesIO(pack.read(f"{root}/{row['mask']}"))).convert("L")) > 127
            colour = skin_colour(image, mask)
            if colour is not None:
                gains.setdefault(row["dataset"], []).append(np.log(colour.clip(0.004) / reference))
    casts, figures = {}, {"reference_linear_srgb": reference.round(4).tolist()}
    for name, values in gains.items():
        data = np.stack(values)
        centres, label = kmeans2(data, CENTRES, minit="++", seed=0)
        kept = [k for k in range(CENTRES) if (label == k).sum() > 2]
        cast = {
            "weights": [round(float((label == k).mean()), 5) for k in kept],
            "log_gains": [centres[k].round(4).tolist() for k in kept],
            "spread": [data[label == k].std(0).round(4).tolist() for k in kept],
        }
        casts["pad_ufes_20" if name == "padufes20" else name] = cast
        lab = linear_to_lab(torch.from_numpy(reference * np.exp(data))).numpy()
        quantiles = np.percentile(lab, (5, 25, 50, 75, 95), axis=0).round(2).tolist()
        figures[name] = {"n": len(data), "lab_quantiles_5_25_50_75_95": quantiles}
    write_result("fit_look", figures)
    if args.write:
        path = Path(__file__).resolve().parent.parent / "synthderm" / "simulator" / "look.json"
        path.write_text(json.dumps(casts, separators=(",", ":")).replace("},", "},\n") + "\n")


if __name__ == "__main__":
    main()
