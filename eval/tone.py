"""Requested against measured skin tone: python eval/tone.py [--images 1000] [--size 128].

For each of the six types and both modalities, images of all classes in turn are generated as a user gets them; the
tone is measured on the written 8-bit pixels (median L* and b* of the healthy-skin mask, atan2). Counted before any
redraw, so that the share inside the band is the simulator's own.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from common import write_result

from synthderm.core import DIAGNOSES, TONE_BANDS, Condition, image_seed, load_generator
from synthderm.functional.color import skin_ita_deg


def measure(modality: str, fst: int, n: int, size: int) -> list[tuple[float, float]]:
    """(requested, measured) ITA in degrees of ``n`` images; measured is nan where no tone could be read."""
    generator = load_generator("simulator", size=size)
    codes = list(DIAGNOSES)
    conditions = [Condition(codes[i % len(codes)], fst=fst, modality=modality) for i in range(n)]
    seeds = [image_seed(20_000 + fst, i) for i in range(n)]
    return [
        (s.metadata["ita_requested_deg"], skin_ita_deg(s.image, s.masks["healthy_skin"]))
        for s in generator.sample(seeds, conditions)
    ]


def summarise(pairs: list[tuple[float, float]], fst: int) -> dict[str, float | int]:
    """Share inside the band with its 95 % Wilson interval, error of the angle, and where the others went."""
    band = TONE_BANDS[fst - 1]
    measured = np.array([m for _, m in pairs])
    inside = sum(not math.isnan(m) and m in band for m in measured)
    n, z = len(pairs), 1.96
    share = inside / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    error = np.array([m - r for r, m in pairs])
    return {
        "n": n,
        "inside": int(inside),
        "share_inside": round(share, 4),
        "interval_95": [round(middle - half, 4), round(min(1.0, middle + half), 4)],
        "no_tone": int(np.isnan(measured).sum()),
        "error_mean_deg": round(float(np.nanmean(error)), 2),
        "error_abs_p95_deg": round(float(np.nanpercentile(np.abs(error), 95)), 2),
    }


def main() -> None:
    """Measure and write eval/results/tone.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="images per type and modality")
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    figures: dict[str, dict] = {}
    for modality in ("dermoscopy", "clinical"):
        for band in TONE_BANDS:
            result = summarise(measure(modality, band.fst, args.images, args.size), band.fst)
            figures.setdefault(modality, {})[f"fst_{band.fst}"] = result
            print(modality, band.fst, result, flush=True)
    write_result("tone", figures, size_px=args.size)


if __name__ == "__main__":
    main()
