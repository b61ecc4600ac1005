"""What simulated images are worth to a lesion classifier, and to a lesion segmenter, on real HAM10000 images.

    python eval/gain_real.py --real train_128.zip --work runs/gain --workers 2
    python eval/gain_real.py --real train_128.zip --work runs/gain --workers 2 --segmentation
    python eval/gain_real.py --real train_128.zip --work runs/gain --adapter dermoscopy-open --ratios 0.5,1,2,4

The protocol is ``synthderm evaluate gain``: real training images are the pack's training split of HAM10000 (500 and
2,500 of them; 100 and 400 for the segmenter), test images its validation split, whose lesions no arm has seen. The
simulated images are balanced over the seven classes, look like HAM10000 (its colour casts, its tones by share in the
training split), and know nothing else of it but the priors that the simulator ships. With ``--adapter`` they are
those of the flow, with its gates: the adapter "dermoscopy" has seen the whole training split of HAM10000, so that its
images bring what more than the 500 or 2,500 real images show; "dermoscopy-open" has seen none of it, but ISIC 2017.
Each finished run is kept in ``--work``; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from common import write_result
from real_pack import CLASSES, add_real_argument

import synthderm
from synthderm.cli.evaluate.gain import show
from synthderm.data import Plan, PlanCell, read_dataset, write_plan
from synthderm.evaluation.gain import GainConfig, gain
from synthderm.evaluation.sets import ImageSet, open_set

LOOK = {"camera.cast": "ham10000", "camera.calibrated": False}
LEAST_SHARE = 0.01  # tones rarer than this among the real training images are not simulated


def settings(args: argparse.Namespace) -> GainConfig:
    if args.segmentation:
        arms, own = ("real", "real+replay", "real+synthetic", "synthetic"), {"n_real": (100, 400), "validation": 0.0}
    else:
        arms, own = ("real", "real+replay", "real+synthetic", "synthetic", "real+heavy-aug"), {"n_real": (500, 2500)}
    if args.arms:
        arms = tuple(args.arms.split(","))
    given = {"n_real": args.n_real, "steps": args.steps, "size": args.size, "ratios": args.ratios}
    return GainConfig(
        task="segmentation" if args.segmentation else "classification",
        arms=arms,
        seeds=args.seeds,
        precision=args.precision,
        resamples=args.resamples,
        **{**own, **{name: value for name, value in given.items() if value is not None}},
    )


def simulate(train: ImageSet, per_class: int, folder: Path, workers: int, adapter: str | None) -> Path:
    """The synthetic set: so many images of each class, with the tones of the real training images."""
    counts = Counter(fst for fst in train.fst if fst is not None)
    shares = {fst: n / counts.total() for fst, n in sorted(counts.items()) if n >= LEAST_SHARE * counts.total()}
    ends = np.round(np.cumsum([0, *shares.values()]) / sum(shares.values()) * per_class).astype(int)
    amounts = dict(zip(shares, np.diff(ends).tolist(), strict=True))
    cells = tuple(PlanCell(code, fst, n) for code in CLASSES for fst, n in amounts.items() if n)
    plan = write_plan(Plan(cells, "class", modality="dermoscopy"), folder.with_suffix(".yaml"), overwrite=True)
    how = {"generator": "flow", "adapter": adapter} if adapter else {"set": LOOK}
    synthderm.generate(plan=plan, size=128, output=folder, workers=workers, masks="lesion", **how)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_real_argument(parser)
    parser.add_argument("--work", type=Path, required=True, help="where finished runs and simulated images are kept")
    parser.add_argument("--segmentation", action="store_true", help="the segmenter instead of the classifier")
    parser.add_argument("--n-real", type=lambda text: tuple(map(int, text.split(","))), help="real images, 500,2500")
    parser.add_argument("--arms", help="kinds of arms with commas between them; all by default")
    parser.add_argument("--ratios", type=lambda text: tuple(map(float, text.split(","))), help="doses, 1 by default")
    parser.add_argument("--adapter", help="of the flow: its images instead of the simulator's")
    parser.add_argument("--per-class", type=int, default=300, help="synthetic images of each class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int, help="px that networks see; 64, for the segmenter 96")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--reuse", type=Path, help="output of an earlier run: the arms without synthetic images")
    parser.add_argument("--name", help="of the result; gain_real, gain_flow_ADAPTER, ..._segmentation by default")
    args = parser.parse_args()
    config = settings(args)
    masks = args.segmentation
    pack = read_dataset(args.real, check_images="header", tone_from="pixels")  # its own ITA is no CIELAB angle
    sets = [
        open_set(pack, size=config.size, split=split, where={"dataset": "ham10000"}, name=name, need_masks=masks)
        for split, name in (("train", "real-train"), ("val", "real-test"))
    ]
    args.work.mkdir(parents=True, exist_ok=True)
    source = f"flow_{args.adapter}" if args.adapter else "simulated"
    folder = simulate(sets[0], args.per_class, args.work / f"{source}_{args.per_class}", args.workers, args.adapter)
    parts = ("gain", source if args.adapter else "real", "segmentation" if args.segmentation else "")
    name = args.name or "_".join(part for part in parts if part)
    synthetic = open_set(folder, size=config.size, name=source, need_masks=masks)
    result = gain(
        sets[0],
        synthetic,
        sets[1],
        args.work / name,
        config,
        workers=args.workers,
        reuse=args.reuse,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    show(result)
    write_result(name, result["figures"], protocol=result["protocol"], context=result["context"])


if __name__ == "__main__":
    main()
