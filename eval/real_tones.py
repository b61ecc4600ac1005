"""Skin tones of a real set: what its columns state, what the pixels say, and the plan that follows.

    python eval/real_tones.py train_128.zip

For each data set of the pack it compares the ``ita_est`` column with ITA of the median skin colour, and with what
the ITA formula gives when L* and b* are left in the 8-bit scale of OpenCV (L* x 2.55, b* + 128). It also measures
the tone of simulated images, whose healthy skin is known, by the same function that measures real ones.
"""

import argparse
import math
import random
import time

import numpy as np
import torch
from common import write_result

from synthderm.core import Condition, image_seed, load_generator
from synthderm.data import make_plan, read_dataset, tone_table
from synthderm.data.tone import pixel_tone
from synthderm.functional.color import ita_deg, median_lab, skin_ita_deg


def compare_column(read, name, n, seed):
    """The ita_est column of one data set against the two formulas."""
    records = [r for r in read if r.dataset == name and r.ita_deg is not None]
    records = random.Random(seed).sample(records, min(n, len(records)))
    rows = []
    for record in records:
        image = read.open_image(record)
        lesion = read.open_mask(record, image.size)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        if lesion is None:
            skin = torch.ones(pixels.shape[1:], dtype=torch.bool)
            skin[16:-16, 16:-16] = False
        else:
            skin = torch.from_numpy(~lesion)
        lightness, _, b = median_lab(pixels, skin)
        if not math.isnan(b):
            rows.append((record.ita_deg, ita_deg(lightness, b), ita_deg(2.55 * lightness, b + 128), b))
    stated, own, eight_bit, b = np.array(rows).T
    return {
        "n": len(rows),
        "median_off_deg": round(float(np.median(np.abs(stated - own))), 2),
        "median_off_8bit_formula_deg": round(float(np.median(np.abs(stated - eight_bit))), 2),
        "correlation": round(float(np.corrcoef(stated, own)[0, 1]), 3),
        "correlation_8bit_formula": round(float(np.corrcoef(stated, eight_bit)[0, 1]), 3),
        "share_b_below_3": round(float((b < 3).mean()), 3),
    }


def measure_simulated(n):
    """Pixel tone without and with the lesion mask against ITA of the known healthy skin, by type and modality."""
    from PIL import Image

    generator = load_generator("simulator", size=128)
    figures = {}
    for modality in ("dermoscopy", "clinical"):
        for fst in range(1, 7):
            off = {"border": [], "mask": []}
            condition = Condition("nv", fst=fst, modality=modality)
            for sample in generator.sample([image_seed(fst, i) for i in range(n)], condition):
                image = Image.fromarray(sample.image.permute(1, 2, 0).numpy())
                truth = skin_ita_deg(sample.image, sample.masks["healthy_skin"])
                for how, lesion in (("border", None), ("mask", sample.masks["lesion"].numpy())):
                    off[how].append(pixel_tone(image, lesion).ita_deg - truth)
            figures[f"{modality}_{fst}"] = {
                how: {
                    "median_deg": round(float(np.nanmedian(values)), 2),
                    "median_off_deg": round(float(np.nanmedian(np.abs(values))), 2),
                    "p90_off_deg": round(float(np.nanpercentile(np.abs(values), 90)), 2),
                    "unknown": int(np.isnan(values).sum()),
                    "n": len(values),
                }
                for how, values in off.items()
            }
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", help="folder or zip file of the real set")
    parser.add_argument("-n", type=int, default=1000, help="images of each data set to compare")
    parser.add_argument("--simulated", type=int, default=20, help="simulated images of each type and modality")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    read = read_dataset(args.pack)
    seconds = time.perf_counter() - start
    tables = {"auto": tone_table(read, "pack")}
    tables["ita"] = tone_table(read_dataset(args.pack, tone_from="ita", check_images="none"), "pack")
    figures = {
        "read_seconds": round(seconds, 1),
        "left_out": len(read.left_out),
        "table": {how: table.to_json() for how, table in tables.items()},
        "plan_balanced": {how: make_plan(table).to_json()["cells"] for how, table in tables.items()},
        "ita_est": {name: compare_column(read, name, args.n, args.seed) for name in sorted({r.dataset for r in read})},
        "simulated": measure_simulated(args.simulated),
    }
    write_result("real_tones", figures, n=len(read), seed=args.seed)


if __name__ == "__main__":
    main()
