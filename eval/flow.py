"""How good are the images of the flow, and what do they cost?

    python eval/flow.py PART --real REAL [--adapter dermoscopy] [--n 775]

PART is one of:

- ``distance``: Frechet distance, KID, precision, recall, density and coverage to the hold-out images of HAM10000, for
  the flow with its adapter, the base alone and the simulator, all asked for the classes and skin colours of the
  hold-out images; the floor is real training images of the same classes. Overall and per class, without any gate.
- ``steps``: distance and cost against the number of steps and the guidance.
- ``shifts``: distance at eight steps against the time shift of their noise levels.
- ``solvers``: how near few steps of either solver come to 80.
- ``fidelity``: share recognised as the requested class by the real-trained classifier beside its recall on real
  images; requested tone against the measured one for six types x seven classes; what the gates turn down.
- ``masks``: agreement of the generated masks with what a segmenter trained on real masks finds in the images.
- ``copies``: nearest training images, by the copy detector of the audit.
- ``speed``: 1,000 images with masks, gates and files through the command; cost per image against steps; a plain
  diffusers pipeline of as many parameters.
- ``own``: ``synthderm train lora`` on 100 images of one class of PAD-UFES-20, as a user would with his own: time, and
  distance to his images before and after, beginning with the base.
- ``sheet``: real and generated images side by side, for the eye (CC0 and CC BY rows only).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, write_result
from PIL import Image
from real_pack import CLASSES, RealPack, Row, add_real_argument

from synthderm import Condition, load_generator
from synthderm.functional.color import median_lab
from synthderm.functional.frechet import least_images
from synthderm.functional.skin import healthy_skin
from synthderm.generators.flow import FlowGenerator
from synthderm.metrics import PRDC, FrechetDistance, KernelDistance
from synthderm.models.checkpoints import load_classifier, load_segmenter
from synthderm.models.copies import CopyDetector
from synthderm.models.features import load_extractor
from synthderm.models.flow import FlowConditions

LEAST_OF_CLASS = 60
"""Images of a class that a distance of that class needs."""


class Real:
    """Hold-out images of HAM10000 with what the flow is told of them, and training images."""

    def __init__(self, path: str, n: int) -> None:
        self.pack = RealPack(path)
        self.rows = [row for row in self.pack.select("ham10000", "val") if row.mask][:n]
        self.images = torch.stack([torch.from_numpy(self.pack.image(row)) for row in self.rows])
        self.masks = torch.stack([torch.from_numpy(self.pack.lesion_mask(row)) for row in self.rows])
        self.codes = [row.diagnosis for row in self.rows]
        pairs = zip(self.images, self.masks, strict=True)
        self.skin = torch.tensor([median_lab(image, healthy_skin(image, mask)) for image, mask in pairs])

    def train_rows(self, datasets: Sequence[str] = ("ham10000", "isic2017")) -> list[Row]:
        """Training images of some sets."""
        return [row for name in datasets for row in self.pack.select(name, "train")]

    def like_classes(self, seed: int = 0) -> torch.Tensor:
        """As many training images of each class as there are hold-out images: the floor."""
        rng, train = np.random.default_rng(seed), self.pack.select("ham10000", "train")
        picked = []
        for code in CLASSES:
            rows = [row for row in train if row.diagnosis == code]
            picked += [rows[i] for i in rng.permutation(len(rows))[: self.codes.count(code)]]
        return torch.stack([torch.from_numpy(self.pack.image(row)) for row in picked])


def like_hold_out(generator: FlowGenerator, real: Real) -> FlowConditions:
    """Classes and skin colours of the hold-out images; nothing of their lesions."""
    config, n = generator.load("dermoscopy").pipeline.condition_encoder.config, len(real.rows)
    return FlowConditions(
        torch.tensor([list(config.classes).index(code) for code in real.codes]),
        torch.full((n,), list(config.styles).index(generator.style or "ham10000")),
        real.skin,
        torch.full((n, 5), torch.nan),
    )


def from_flow(generator: FlowGenerator, real: Real, seed: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and masks for the classes and skin colours of the hold-out images."""
    flow, n = generator.load("dermoscopy"), len(real.rows)
    told = like_hold_out(generator, real)
    seeds = list(range(seed, seed + n))
    made = flow.pipeline(told, seeds, generator.steps, generator.guidance, generator.precision)
    return made.images, made.masks


def from_simulator(real: Real, look: bool) -> torch.Tensor:
    """The simulator for the same classes, its own tones or the free casts of HAM10000."""
    generator = load_generator("simulator", size=128)
    held = {"camera.cast": "ham10000", "camera.calibrated": False} if look else {}
    conditions = [Condition(code, fst=1 + i % 4, parameters=held) for i, code in enumerate(real.codes)]
    return torch.stack([sample.image for sample in generator.sample(list(range(len(conditions))), conditions)])


def distances(real: torch.Tensor, made: torch.Tensor, extractor: Any) -> dict[str, Any]:
    """KID, and for enough images Frechet distance and neighbourhood figures."""
    metrics: dict[str, Any] = {"kid": KernelDistance(extractor)}
    if min(len(real), len(made)) >= least_images(extractor.num_features):
        metrics = {"frechet": FrechetDistance(extractor), **metrics}
    if len(made) >= 300:
        metrics["prdc"] = PRDC(extractor)
    found: dict[str, Any] = {"n": len(made)}
    for name, metric in metrics.items():
        metric.update(real, real=True)
        metric.update(made, real=False)
        value = metric.compute()
        if isinstance(value, dict):
            found |= {key: round(float(v), 4) for key, v in value.items()}
        else:
            found[name] = round(float(torch.as_tensor(value).flatten()[0]), 4)
    return found


def per_class(real: Real, made: torch.Tensor, codes: Sequence[str], extractor: Any) -> dict[str, Any]:
    found = {}
    for code in CLASSES:
        ours = [i for i, c in enumerate(codes) if c == code]
        theirs = [i for i, c in enumerate(real.codes) if c == code]
        if len(theirs) >= LEAST_OF_CLASS:
            found[code] = distances(real.images[theirs], made[ours], extractor)
    return found


def distance(args: argparse.Namespace) -> dict[str, Any]:
    real, extractor = Real(args.real, args.n), load_extractor(args.extractor)
    floor = real.like_classes()
    floor_codes = [code for code in CLASSES for _ in range(real.codes.count(code))]
    sets = {"real training images (floor)": (floor, floor_codes)}
    for name in (*args.adapter.split(","), "none"):
        made, _ = from_flow(flow_generator(args, adapter=name), real)
        sets[f"flow, adapter {name}"] = (made, real.codes)
    sets["simulator"] = (from_simulator(real, look=False), real.codes)
    sets["simulator, HAM10000 look"] = (from_simulator(real, look=True), real.codes)
    found = {}
    for name, (made, codes) in sets.items():
        found[name] = distances(real.images, made, extractor) | {"classes": per_class(real, made, codes, extractor)}
        print(name, {k: v for k, v in found[name].items() if k != "classes"}, flush=True)
    return found


STEPS = [(4, 4.0), (6, 4.0), (8, 1.0), (8, 2.0), (8, 3.0), (8, 4.0), (8, 6.0), (12, 4.0), (40, 4.0)]
"""Steps and guidance that are compared."""


def steps(args: argparse.Namespace) -> dict[str, Any]:
    real, extractor = Real(args.real, args.n), load_extractor(args.extractor)
    found = {}
    for count, guidance in STEPS:
        generator = flow_generator(args, num_inference_steps=count, guidance_scale=guidance)
        generator.load("dermoscopy")
        start = time.process_time()
        made, _ = from_flow(generator, real)
        seconds = time.process_time() - start
        name = f"{count} steps, guidance {guidance:g}"
        found[name] = distances(real.images, made, extractor) | {"ms_per_image": round(1000 * seconds / len(made), 1)}
        found[name]["recognised"] = recall(made, real.codes)["balanced"]
        print(name, found[name], flush=True)
    return found


def shifts(args: argparse.Namespace) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    real, extractor, found = Real(args.real, args.n), load_extractor(args.extractor), {}
    for shift in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0):
        generator = flow_generator(args)
        generator.load("dermoscopy").pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        made, _ = from_flow(generator, real)
        found[f"shift {shift:g}"] = distances(real.images, made, extractor)
        found[f"shift {shift:g}"]["recognised"] = recall(made, real.codes)["balanced"]
        print(shift, found[f"shift {shift:g}"], flush=True)
    return found


def solvers(args: argparse.Namespace) -> dict[str, Any]:
    """Mean absolute difference (of sRGB 0 to 1) to 80 Euler steps, of the same noise, without guidance."""
    real = Real(args.real, 48)
    exact = _solved(args, real, 80, 1)
    found = {}
    for order in (1, 2):
        for count in (4, 6, 8, 12):
            made = _solved(args, real, count, order)
            found[f"order {order}, {count} steps"] = {"difference": round(float((made - exact).abs().mean()), 5)}
    return found


def _solved(args: argparse.Namespace, real: Real, steps: int, order: int) -> torch.Tensor:
    generator = flow_generator(args, num_inference_steps=steps, guidance_scale=1.0)
    pipeline, seeds = generator.load("dermoscopy").pipeline, list(range(len(real.rows)))
    made = pipeline(like_hold_out(generator, real), seeds, steps, 1.0, generator.precision, order)
    return made.images.float() / 255


def recall(images: torch.Tensor, codes: Sequence[str]) -> dict[str, float]:
    """Share of each class that the real-trained classifier names, and the mean of the classes."""
    classifier = load_classifier("derm")
    named = [classifier.classes[i] for part in images.split(256) for i in classifier(part).argmax(1).tolist()]
    hits = {c: [n == c for n, x in zip(named, codes, strict=True) if x == c] for c in CLASSES}
    found = {code: round(float(np.mean(values)), 4) for code, values in hits.items() if values}
    return found | {"balanced": round(float(np.mean(list(found.values()))), 4)}


def fidelity(args: argparse.Namespace) -> dict[str, Any]:
    from synthderm.generators.gates import ToneGate

    real = Real(args.real, args.n)
    raw, _ = from_flow(flow_generator(args), real)
    found: dict[str, Any] = {
        "recognised, real hold-out": recall(real.images, real.codes),
        "recognised, flow, same classes and skin, no gate": recall(raw, real.codes),
        "recognised, simulator, HAM10000 look": recall(from_simulator(real, look=True), real.codes),
    }
    generator, tone = flow_generator(args), ToneGate()
    gates = generator.gates("dermoscopy")
    conditions = [Condition(code, fst=fst) for code in CLASSES for fst in range(1, 7) for _ in range(args.per_cell)]
    cells: dict[str, dict[str, Any]] = {}
    reasons: dict[str, int] = {}
    for sample, condition in zip(generator.sample(list(range(len(conditions))), conditions), conditions, strict=True):
        cell = cells.setdefault(f"{condition.diagnosis} {condition.fst}", {"n": 0, "tone": 0, "accepted": 0})
        verdict = tone(sample.image, sample.masks["healthy_skin"], condition)
        findings = [gate(sample.image, sample, condition).reason for gate in gates]
        why = [reason for reason in (verdict.reason, *findings) if reason]
        cell["n"] += 1
        cell["tone"] += verdict.accepted
        cell["accepted"] += not why
        for reason in why[:1]:
            reasons[reason] = reasons.get(reason, 0) + 1
    n = sum(cell["n"] for cell in cells.values())
    found |= {
        "inside the band, before gates": round(sum(cell["tone"] for cell in cells.values()) / n, 4),
        "accepted by all gates": round(sum(cell["accepted"] for cell in cells.values()) / n, 4),
        "first reason": reasons,
        "n": n,
        "cells": cells,
    }
    return found


def masks(args: argparse.Namespace) -> dict[str, Any]:
    real, segmenter = Real(args.real, args.n), load_segmenter()
    made, own = from_flow(flow_generator(args), real)
    return {
        "real images, segmenter against experts": dice(segmenter(real.images), real.masks),
        "flow, own mask against the segmenter": dice(segmenter(made), own),
    }


def dice(a: torch.Tensor, b: torch.Tensor) -> dict[str, Any]:
    both = (a & b).flatten(1).sum(1).double()
    values = 2 * both / (a.flatten(1).sum(1) + b.flatten(1).sum(1)).clamp_min(1)
    return {"mean": round(float(values.mean()), 4), "median": round(float(values.median()), 4), "n": len(values)}


def copies(args: argparse.Namespace) -> dict[str, Any]:
    real = Real(args.real, args.n)
    made, _ = from_flow(flow_generator(args), real)
    train = torch.stack([torch.from_numpy(real.pack.image(row)) for row in real.train_rows()])
    half = len(real.images) // 2
    detector = CopyDetector.fit(train, real.images[:half], 0.01)
    scored = {"flow, no gate": detector.score(made), "real hold-out, other half": detector.score(real.images[half:])}
    return {
        name: {
            "share above the 1 % threshold": round(float(s.is_copy.mean()), 4),
            "median score": round(float(np.median(s.scores)), 4),
            "highest score": round(float(s.scores.max()), 4),
            "n": len(s.scores),
        }
        for name, s in scored.items()
    } | {"threshold": round(float(detector.threshold), 4), "n_train": len(train)}


def speed(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, options in {
        "flow": ["--generator", "flow", "--size", "128"],
        "flow, no gates": ["--generator", "flow", "--size", "128", "--no-gates"],
        "simulator": ["--generator", "simulator", "--size", "128"],
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "synthderm", "generate", "--class", "all", "-n", str(args.images)]
            start = time.monotonic()
            subprocess.run([*command, *options, "--workers", "2", "-o", f"{folder}/o"], check=True, capture_output=True)
            found[name] = {"images": args.images, "wall_s": round(time.monotonic() - start, 1), "workers": 2}
        print(name, found[name], flush=True)
    found["a plain diffusers pipeline"] = plain_pipeline()
    found["per image"] = per_image(args)
    return found


def per_image(args: argparse.Namespace) -> dict[str, Any]:
    """Processor milliseconds of one thread against steps, without gates and files."""
    found = {}
    for precision in ("fp32", "bf16"):
        for count in (4, 8, 20):
            generator = flow_generator(args, num_inference_steps=count, dtype=precision)
            list(generator.sample(range(16), Condition("nv", fst=3)))
            start = time.process_time()
            list(generator.sample(range(32), Condition("nv", fst=3)))
            found[f"{precision}, {count} steps"] = round(1000 * (time.process_time() - start) / 32, 1)
    return found


def plain_pipeline() -> dict[str, Any]:
    """A pixel U-Net of diffusers with about as many parameters, untrained, 20 steps."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    blocks = (64, 96, 128, 192)
    network = UNet2DModel(
        sample_size=128,
        block_out_channels=blocks,
        down_block_types=("DownBlock2D",) * 3 + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * 3,
        layers_per_block=2,
    )
    pipeline = DDIMPipeline(network, DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    start = time.process_time()
    pipeline(batch_size=4, num_inference_steps=20, output_type="np")
    seconds = (time.process_time() - start) / 4
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "steps": 20, "ms_per_image": round(1000 * seconds, 1)}


OWN_IMAGES = 100


def own(args: argparse.Namespace) -> dict[str, Any]:
    """100 training images and 50 held-out ones of basal cell carcinoma; samples against both, with intervals."""
    pack = RealPack(args.real)
    rows = [row for row in pack.select("padufes20", "train") if row.diagnosis == "bcc"]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images" / "bcc"
        images.mkdir(parents=True)
        for i, row in enumerate(rows[: OWN_IMAGES * 10 // 9]):
            Image.fromarray(pack.image(row).transpose(1, 2, 0)).save(images / f"{i:03}.png")
        command = [
            sys.executable,
            "-m",
            "synthderm",
            "train",
            "lora",
            "--data",
            str(images.parent),
            "-o",
            f"{folder}/o",
        ]
        start = time.monotonic()
        base = args.base or "compact"
        subprocess.run([*command, "--base", base, "--modality", "clinical", "--steps", str(args.steps)], check=True)
        wall = time.monotonic() - start
        facts = json.loads((Path(folder) / "o" / "adapter.json").read_text())
    return {
        "wall_s": round(wall, 1),
        "steps": facts["steps"],
        "images": sum(facts["counts"]["classes"].values()),
        **{when: _short(facts["metrics"][when]) for when in ("before", "after")},
    }


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in ("held_out_loss", "kid", "kid_train") if name in figures}


def sheet(args: argparse.Namespace) -> dict[str, Any]:
    """ISIC 2017 and PAD-UFES-20 rows beside generated images of the same classes."""
    pack = RealPack(args.real)
    generator = flow_generator(args)
    rows = []
    for code in CLASSES:
        real = [row for row in pack.rows if row.diagnosis == code and row.licence.startswith("CC0")][:4]
        shown = [pack.image(row) for row in real]
        shown += [np.full((3, 128, 128), 255, np.uint8)] * (4 - len(shown))
        made = generator.sample(range(40, 46), [Condition(code, fst=fst) for fst in range(1, 7)])
        rows.append(np.concatenate([*shown, *(sample.image.numpy() for sample in made)], 2))
    picture = np.concatenate(rows, 1).transpose(1, 2, 0)
    Image.fromarray(picture).save(RESULTS / f"sheet_flow_{args.adapter}.jpg", quality=88)
    return {}


def flow_generator(args: argparse.Namespace, **options: Any) -> FlowGenerator:
    chosen = {"adapter": args.adapter.split(",")[0], "base": args.base} | options
    return FlowGenerator(128, **chosen)


PARTS = {f.__name__: f for f in (distance, steps, shifts, solvers, fidelity, masks, copies, speed, own, sheet)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    add_real_argument(parser)
    parser.add_argument("--adapter", default="dermoscopy", help="name or path; for distance a list with commas")
    parser.add_argument("--base", help="folder of a flow; the shipped one by default")
    parser.add_argument("--n", type=int, default=775, help="hold-out images")
    parser.add_argument("--per-cell", type=int, default=20, help="images of each class and tone (fidelity)")
    parser.add_argument("--steps", type=int, default=300, help="updates (own)")
    parser.add_argument("--images", type=int, default=1000, help="images of the speed run")
    parser.add_argument("--extractor", default="derm")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = PARTS[args.part](args)
    if figures:
        write_result(f"flow_{args.part}", figures, adapter=args.adapter, n=args.n)


if __name__ == "__main__":
    main()
