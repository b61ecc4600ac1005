"""Does the audit find what it should, and leave alone what it should?

    python eval/audit_controls.py --real REAL [--part copies,shortcut,leakage,time] [--planted 200]

Copies: training images are planted after each of a list of changes; the threshold is set on one half of the lesions or
patients of the validation split, false alarms are counted on the other half, and the two halves change places. Once
with all hold-out images, once without those of ``SAME_LESION``: pairs of the pack's validation and training images that
show the same lesion (seen by eye; other ids, other groups) and that no threshold can tell from copies.
Shortcut: real backgrounds tinted by class, the same images untinted with labels drawn at random, the real set as it is,
and simulated images. Leakage: test images hidden in a synthetic folder. Time: 5,000 images against the training split.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import RESULTS, git_commit, write_result
from PIL import Image
from real_pack import CLASSES, RealPack, Row, add_real_argument

from synthderm import Condition, load_generator
from synthderm.core import image_seed
from synthderm.evaluation.audit import AuditOptions, audit
from synthderm.evaluation.audit.copies import density_ratio
from synthderm.functional.intervals import proportion_interval
from synthderm.metrics.shortcut import (
    LEAST_PER_CLASS,
    background_statistics,
    deal_folds,
    held_out_probabilities,
    shortcut_intervals,
)
from synthderm.models.copies import CopyDetector, upper_threshold
from synthderm.models.features import load_extractor

RATE = 0.01
TINTS = (6.0, 12.0, 24.0, 40.0)
"""Blue more and red less, in levels of 255."""
SAME_LESION = (
    "isic2017_ISIC_0012127", "ham10000_ISIC_0027027", "isic2017_ISIC_0015124", "isic2017_ISIC_0014946",
    "isic2017_ISIC_0015313", "ham10000_ISIC_0027435", "ham10000_ISIC_0025470", "ham10000_ISIC_0029232",
    "ham10000_ISIC_0027737",
)  # fmt: skip
"""Validation images of the pack that show a lesion of the training split."""


# ---- changes that a copy may have gone through


def resized(x: torch.Tensor, size: int) -> torch.Tensor:
    y = F.interpolate(x[None].float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    return y.round().clamp(0, 255).byte()


def jpeg(x: torch.Tensor, quality: int = 50) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(x.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as opened:
        return torch.from_numpy(np.array(opened)).permute(2, 0, 1)


def crop(x: torch.Tensor, area: float, rng: np.random.Generator) -> torch.Tensor:
    size = x.shape[-1]
    side = round(size * area**0.5)
    top, left = rng.integers(0, size - side + 1, 2)
    return resized(x[:, top : top + side, left : left + side], size)


def hue(x: torch.Tensor, degrees: float) -> torch.Tensor:
    values = np.array(Image.fromarray(x.permute(1, 2, 0).numpy()).convert("HSV")).astype(int)
    values[..., 0] = (values[..., 0] + round(degrees / 360 * 256)) % 256
    back = Image.fromarray(values.astype(np.uint8), "HSV").convert("RGB")
    return torch.from_numpy(np.array(back)).permute(2, 0, 1)


def rotated(x: torch.Tensor, degrees: float) -> torch.Tensor:
    size, cut = x.shape[-1], round(0.11 * x.shape[-1])
    turned = Image.fromarray(x.permute(1, 2, 0).numpy()).rotate(degrees, Image.Resampling.BICUBIC)
    inner = turned.crop((cut, cut, size - cut, size - cut)).resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(inner)).permute(2, 0, 1)


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    line = torch.exp(-0.5 * (torch.arange(-6, 7) / sigma) ** 2)
    line = (line / line.sum())[None, None, None]
    padded = F.pad(x[:, None].float(), (6, 6, 6, 6), mode="reflect")
    return F.conv2d(F.conv2d(padded, line), line.mT)[:, 0].round().clamp(0, 255).byte()


def changes(x: torch.Tensor, other: torch.Tensor, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Name of each change -> the changed image; the blend is half ``other``, an image outside of the training set."""

    def whole(values: torch.Tensor) -> torch.Tensor:
        return values.round().clamp(0, 255).byte()

    values = x.float()
    gains = torch.from_numpy(np.exp(rng.uniform(-0.2, 0.2, 3)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(0, 15, tuple(x.shape)).astype(np.float32))
    return {
        "none": x,
        "JPEG quality 50": jpeg(x),
        "flip": x.flip(-1),
        "quarter turn": x.rot90(1, (1, 2)),
        "crop to 80 % of the area": crop(x, 0.8, rng),
        "crop to 60 % of the area": crop(x, 0.6, rng),
        "crop to 50 % of the area": crop(x, 0.5, rng),
        "colour gains within 20 %": whole(values * gains[:, None, None]),
        "brightness x 0.7": whole(values * 0.7),
        "hue by 18 degrees": hue(x, 18.0 if rng.random() < 0.5 else -18.0),
        "half blended with another image": whole((values + other.float()) / 2),
        "Gaussian blur, 2 px": blurred(x, 2.0),
        "noise of 15 levels": whole(values + noise),
        "resized to 64 px and back": resized(resized(x, 64), x.shape[-1]),
        "turn, crop to 60 %, JPEG": jpeg(crop(x.rot90(3, (1, 2)), 0.6, rng)),
        "rotated by 15 degrees": rotated(x, 15.0),
    }


# ---- copies


def load(pack: RealPack, rows: list[Row]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(pack.image(row)) for row in rows])


def lesion_masks(pack: RealPack, rows: list[Row]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(pack.lesion_mask(row)) for row in rows])


def shown(hits: int, n: int) -> dict[str, object]:
    interval = proportion_interval(hits, n)
    return {"value": round(interval.value, 4), "interval": [round(interval.low, 4), round(interval.high, 4)], "n": n}


def halves(rows: list[Row], seed: int) -> np.ndarray:
    groups = np.unique([f"{row.dataset}/{row.group}" for row in rows], return_inverse=True)[1]
    return (np.random.default_rng(seed).permutation(groups.max() + 1) % 2)[groups]


def copies(pack: RealPack, planted: int, seed: int, extractor_name: str | None) -> dict[str, object]:
    train, held = pack.select(split="train"), pack.select(split="val")
    rng = np.random.default_rng(seed)
    network = None if extractor_name is None else load_extractor(extractor_name)
    detector = CopyDetector.fit(load(pack, train[i : i + 256]) for i in range(0, len(train), 256))
    images = load(pack, held)
    chosen = rng.choice(len(train), planted, replace=False)
    made: dict[str, list[torch.Tensor]] = {}
    for i in chosen:
        original, other = torch.from_numpy(pack.image(train[i])), images[rng.integers(len(images))]
        for name, changed in changes(original, other, rng).items():
            made.setdefault(name, []).append(changed)
    hold_out = detector.score(images)
    found = {name: detector.score(torch.stack(some)) for name, some in made.items()}
    kinds = {
        "aligned detail": ({name: s.scores for name, s in found.items()}, hold_out.scores),
        "perceptual hash": ({name: -s.hash_distances for name, s in found.items()}, -hold_out.hash_distances),
    }
    if network is not None:
        reference = np.concatenate([network(load(pack, train[i : i + 256])).numpy() for i in range(0, len(train), 256)])
        near = {name: density_ratio(network(torch.stack(some)).numpy(), reference)[0] for name, some in made.items()}
        kinds["feature distance"] = (near, density_ratio(network(images).numpy(), reference)[0])
    stems = [Path(row.file).stem for row in held]
    side, same = halves(held, seed), np.isin(stems, SAME_LESION)
    figures: dict[str, object] = {}
    for title, kept in (("all hold-out images", ~np.zeros(len(held), bool)), ("without the same lesions", ~same)):
        figures[title] = {
            kind: _recall(scores, held_scores, side, kept, planted) for kind, (scores, held_scores) in kinds.items()
        }
    figures["right training image named"] = {
        name: shown(int((scores.nearest == chosen).sum()), planted) for name, scores in found.items()
    }
    figures["most alike hold-out pairs"] = [
        {"hold_out": stems[i], "train": Path(train[int(hold_out.nearest[i])].file).stem,
         "score": round(float(hold_out.scores[i]), 3), "seen_to_be_the_same_lesion": bool(same[i])}
        for i in np.argsort(-hold_out.scores)[:25]
    ]  # fmt: skip
    described = None if network is None else network.describe()
    return {"n_train": len(train), "n_hold_out": len(held), "rate": RATE, "extractor": described, **figures}


def _recall(
    scores: dict[str, np.ndarray], hold_out: np.ndarray, side: np.ndarray, kept: np.ndarray, planted: int
) -> dict[str, object]:
    """Recall at the threshold of each half, false alarms of the other; both halves together."""
    hits = {name: 0 for name in scores}
    alarms = judged = 0
    thresholds = []
    for half in (0, 1):
        threshold = upper_threshold(hold_out[kept & (side == half)], RATE)
        thresholds.append(round(threshold, 4))
        other = hold_out[kept & (side != half)]
        alarms, judged = alarms + int((other > threshold).sum()), judged + len(other)
        for name, values in scores.items():
            hits[name] += int((values > threshold).sum())
    return {
        "thresholds": thresholds,
        "false_alarms": shown(alarms, judged),
        # a planted image is judged at both thresholds: the mean of the two recalls, n counted once
        "recall": {name: shown(round(count / 2), planted) for name, count in hits.items()},
    }


# ---- shortcut


def shortcut_of(statistics: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, object]:
    kept = np.isfinite(statistics).all(1)
    counts = {c: len(set(groups[kept & (labels == c)])) for c in set(labels.tolist())}
    kept &= np.isin(labels, [c for c, n in counts.items() if n >= LEAST_PER_CLASS])
    labels = np.unique(labels[kept], return_inverse=True)[1]
    probabilities = held_out_probabilities(statistics[kept], labels, groups[kept])
    macro = shortcut_intervals(probabilities, labels, groups[kept], deal_folds(labels, groups[kept]))[0]
    interval = [round(macro.low, 4), round(macro.high, 4)]
    sizes = {"n": int(kept.sum()), "groups": macro.n_groups, "classes": int(labels.max()) + 1}
    return {"auc": round(macro.value, 4), "interval": interval, **sizes}


def shortcut(pack: RealPack, seed: int, simulated: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    rows = [row for row in pack.select("ham10000", "train") if row.diagnosis in ("nv", "mel")]
    rows = [rows[i] for i in rng.choice(len(rows), min(1500, len(rows)), replace=False)]
    images = load(pack, rows)
    masks = lesion_masks(pack, rows)
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    names = np.unique(groups)
    drawn = (rng.permutation(len(names)) % 2)[groups]  # labels that know nothing of the image
    figures = {"random labels (clean control)": shortcut_of(background_statistics(images, masks), drawn, groups)}
    for levels in TINTS:
        tint = torch.tensor([-levels, 0.0, levels])[:, None, None] * torch.from_numpy(drawn)[:, None, None, None]
        tinted = torch.where(masks[:, None], images.float(), images.float() + tint).round().clamp(0, 255).byte()
        name = f"random labels, background of one class tinted by {levels:g} levels (positive control)"
        figures[name] = shortcut_of(background_statistics(tinted, masks), drawn, groups)
    figures |= {
        "HAM10000, nevi against melanomas": shortcut_of(
            background_statistics(images, masks), np.array([row.diagnosis == "mel" for row in rows]).astype(int), groups
        ),
    }
    every = pack.select("ham10000", "train")
    every = [every[i] for i in rng.choice(len(every), min(3000, len(every)), replace=False)]
    parts = [every[i : i + 256] for i in range(0, len(every), 256)]
    statistics = np.concatenate([background_statistics(load(pack, part), lesion_masks(pack, part)) for part in parts])
    labels = np.array([CLASSES.index(row.diagnosis) for row in every])
    groups = np.unique([row.group for row in every], return_inverse=True)[1]
    figures["HAM10000, seven classes"] = shortcut_of(statistics, labels, groups)
    wanted = [(CLASSES[i % 7], 1 + (i // 7) % 6) for i in range(simulated)]
    generator = load_generator("simulator", size=128, masks="lesion")
    conditions = [Condition(name, fst=fst) for name, fst in wanted]
    samples = list(generator.sample([image_seed(seed, i) for i in range(simulated)], conditions))
    masks = torch.stack([sample.masks["lesion"] for sample in samples])
    found = background_statistics(torch.stack([sample.image for sample in samples]), masks)
    labels = np.array([CLASSES.index(name) for name, _ in wanted])
    figures["simulator, seven classes on six skin types"] = shortcut_of(found, labels, np.arange(simulated))
    return figures


# ---- leakage: whole audits of small sets


def _write(root: Path, rows: list[tuple[Row, torch.Tensor, str]], synthetic: bool) -> Path:
    (root / "images").mkdir(parents=True)
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "dataset", "label", "group", "is_synthetic"])
        for i, (row, image, group) in enumerate(rows):
            name = f"images/{i:05d}.png"
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / name)
            writer.writerow([name, "made" if synthetic else row.dataset, row.diagnosis, group, synthetic])
    return root


def leakage(pack: RealPack, seed: int) -> dict[str, object]:
    """Real images of other lesions stand for a clean synthetic set; then test images are hidden among them."""
    rng = np.random.default_rng(seed)
    train, held = pack.select("ham10000", "train"), pack.select("ham10000", "val")
    held = [row for row in held if Path(row.file).stem not in SAME_LESION]
    some = [train[i] for i in rng.choice(len(train), 1600, replace=False)]
    groups = sorted({row.group for row in held})
    side = dict(zip(groups, rng.permutation(len(groups)) % 2, strict=True))
    stand_in, test = ([row for row in held if side[row.group] == half] for half in (0, 1))

    def pixels(row: Row) -> torch.Tensor:
        return torch.from_numpy(pack.image(row))

    verdicts: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        real = _write(root / "train", [(row, pixels(row), row.group) for row in some], synthetic=False)
        tested = _write(root / "test", [(row, pixels(row), row.group) for row in test], synthetic=False)
        base = [(row, pixels(row), f"made {i}") for i, row in enumerate(stand_in)]
        hidden = [test[i] for i in rng.choice(len(test), 10, replace=False)]
        sets = {
            "clean": base,
            "10 test images hidden": base + [(row, pixels(row), f"hidden {i}") for i, row in enumerate(hidden)],
            "10 test images hidden as flipped JPEG 50": base
            + [(row, jpeg(pixels(row).flip(-1)), f"hidden {i}") for i, row in enumerate(hidden)],
        }
        options = AuditOptions(pairs=0, resamples=200, seed=seed)
        for title, rows in sets.items():
            made = _write(root / title.replace(" ", "_"), rows, synthetic=True)
            figures = audit(made, real, root / "result", test=tested, extractor=None, options=options)["figures"]
            found = {key: len(value) for key, value in figures["leakage"].items() if isinstance(value, list)}
            reasons = [reason.split(":")[0] for reason in figures["reasons"]]
            verdicts[title] = {"n": len(rows), "verdict": figures["verdict"], "found": found, "reasons": reasons}
    return verdicts


# ---- time


def timing(pack: RealPack, seed: int, n: int = 5000) -> dict[str, object]:
    """Seconds of searching n images, drawn from the pack and changed a little, in the whole training split."""
    rng = np.random.default_rng(seed)
    train = pack.select(split="train")
    images = load(pack, [train[i] for i in rng.integers(0, len(train), 500)]).flip(-1)
    start, cpu = time.monotonic(), time.process_time()
    detector = CopyDetector.fit(load(pack, train[i : i + 256]) for i in range(0, len(train), 256))
    detector.score(images[:1])
    fitted, fitted_cpu = time.monotonic(), time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(n // len(images)):
        detector.score(images)
    end, end_cpu = time.monotonic(), time.process_time()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = detector.thumbs.numel() + detector.hashes.size + 2 * detector._views.numel()
    return {
        "n_train": len(train),
        "n_judged": n,
        "fit_s": round(fitted - start, 1),
        "fit_processor_s": round(fitted_cpu - cpu, 1),
        "score_s": round(end - fitted, 1),
        "score_processor_s": round(end_cpu - fitted_cpu, 1),
        "peak_memory_growth_while_scoring_mb": round((after - before) / 1024, 1),
        "kept_per_training_image_bytes": round(kept / len(train)),
        "threads": torch.get_num_threads(),
    }


NAME = "audit_controls"
PARTS = ("copies", "shortcut", "leakage", "time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--part", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--planted", type=int, default=200, help="training images that are changed")
    parser.add_argument("--simulated", type=int, default=840)
    parser.add_argument("--extractor", default="derm", help="of the feature distance, or none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pack, parts = RealPack(args.real), args.part.split(",")
    extractor = None if args.extractor == "none" else args.extractor
    work = {
        "copies": lambda: copies(pack, args.planted, args.seed, extractor),
        "shortcut": lambda: shortcut(pack, args.seed, args.simulated),
        "leakage": lambda: leakage(pack, args.seed),
        "time": lambda: timing(pack, args.seed),
    }
    for name in parts:
        start = time.monotonic()
        found = work[name]()
        minutes = round((time.monotonic() - start) / 60, 1)
        measured = {"commit": git_commit(), "seed": args.seed, "minutes": minutes, **found}
        print(f"{name}: {minutes} min", flush=True)
        figures = earlier(pack.digest) | {name: measured}  # read now: another part may have been written meanwhile
        write_result(NAME, {part: figures[part] for part in PARTS if part in figures}, data=pack.digest)


def earlier(data: str) -> dict[str, object]:
    """Parts of an earlier run on the same images; each bears the commit that it was measured with."""
    path = RESULTS / f"{NAME}.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    return record["figures"] if record.get("data") == data else {}


if __name__ == "__main__":
    main()
