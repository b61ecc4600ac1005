"""Thresholds of the class gate, from real hold-out images: python eval/fit_gates.py --real REAL [--write].

For each class the probability that the ``derm`` classifier gives it on real validation images of the class, their skin
turned to the same light tone as the gate does; the threshold is what all but ``SHARE`` of them reach.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from common import write_result
from real_pack import CLASSES, RealPack, add_real_argument

import synthderm.generators
from synthderm.functional.color import median_lab
from synthderm.functional.skin import healthy_skin
from synthderm.generators.likeness import ClassGate
from synthderm.models.checkpoints import load_classifier

SHARE = 0.25
CLASSIFIER = "derm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--write", action="store_true", help="into the library")
    args = parser.parse_args()
    pack = RealPack(args.real)
    gate = ClassGate(load_classifier(CLASSIFIER), {})
    rows = [row for row in pack.select("ham10000", "val") if row.mask]
    found: dict[str, list[float]] = {code: [] for code in CLASSES}
    hits: dict[str, list[bool]] = {code: [] for code in CLASSES}
    for row in rows:
        image, mask = torch.from_numpy(pack.image(row)), torch.from_numpy(pack.lesion_mask(row))
        skin = torch.tensor(median_lab(image, healthy_skin(image, mask)))
        shares = gate.probabilities(image[None], skin[None])[0]
        place = gate.classifier.classes.index(row.diagnosis)
        found[row.diagnosis].append(float(shares[place]))
        hits[row.diagnosis].append(int(shares.argmax()) == place)
    least = {code: round(float(np.quantile(values, SHARE)), 4) for code, values in found.items()}
    figures = {
        code: {"n": len(found[code]), "least_probability": least[code], "recall": round(float(np.mean(hits[code])), 4)}
        for code in CLASSES
    }
    write_result("gates", figures, data=pack.digest, share_below=SHARE, classifier=CLASSIFIER)
    if args.write:
        path = Path(synthderm.generators.__file__).with_name("gates.json")
        path.write_text(json.dumps({"classifier": CLASSIFIER, "least_probability": least}, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
