"""What simulated masks are worth: a U-Net trained on them, beside ones trained on n real masks.

    python eval/segmentation.py --real train_128.zip --work runs/segmentation

Every arm has the same network, optimiser steps, augmentation and seeds; only the training images differ:
``simulated`` (masks of the simulator alone), ``real-25``, ``real-100``, ``real-400`` (nested draws of lesions
of the training split, one image each), ``flat`` (ellipses of drawn colours: a bare shape prior). All are
scored on the validation split of HAM10000, whose lesions no arm has seen, once, at the end of the run.
``--dev`` scores on training lesions that no arm draws instead: use that while changing things.
Each finished run is kept in ``--work``; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import write_result
from real_pack import RealPack, Row, add_real_argument
from simulated import add_simulator_arguments, scene_parameters, simulate

from synthderm.models import UNet

ARMS = ("simulated", "real-25", "real-100", "real-400", "flat")
SIDE = 96  # px that the network sees; scores are at 128 px
DEV_LESIONS = 300


def augment(images: torch.Tensor, masks: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotation, flip, zoom, shift, blur, noise, tone curve, cast, shading; the same for every arm.

    (N, 3, H, W) uint8 and (N, H, W) bool to float images 0 to 1 and float masks of 96 px.
    """
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=g) * (high - low) + low

    angle, zoom = uniform(-math.pi, math.pi), torch.exp(uniform(-0.4, 0.25))
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    affine = [cosine * flip, -sine, uniform(-0.15, 0.15), sine * flip, cosine, uniform(-0.15, 0.15)]
    grid = F.affine_grid(torch.stack(affine, 1).reshape(n, 2, 3), (n, 3, SIDE, SIDE), align_corners=False)
    stack = torch.cat([images.float() / 255, masks[:, None].float()], 1)
    stack = F.grid_sample(stack, grid, padding_mode="reflection", align_corners=False)
    x, target = stack[:, :3], (stack[:, 3] > 0.5).float()
    x = x.clamp_min(1e-3) ** torch.exp(uniform(-0.35, 0.35, 1, 1, 1))
    x = x * torch.exp(torch.randn(n, 3, 1, 1, generator=g) * 0.08)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.5, 1.6, 1, 1, 1)
    slope = F.affine_grid(uniform(-0.12, 0.12, 2, 3), (n, 1, SIDE, SIDE), align_corners=False).sum(-1)
    x = x * (1 + slope[:, None])
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    x = soft + (x - soft) * uniform(0.0, 1.8, 1, 1, 1)
    x = x + torch.randn(x.shape, generator=g) * uniform(0, 0.04, 1, 1, 1)
    return x.clamp(0, 1), target


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus 1 - soft Dice per image (Milletari et al. 2016, eq. 2, without squares)."""
    p = logits.sigmoid()
    dice = (2 * (p * target).sum((1, 2)) + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(logits, target) + (1 - dice).mean()


def train(images: torch.Tensor, masks: torch.Tensor, steps: int, seed: int, batch: int = 16) -> UNet:
    """AdamW with one cycle; what is drawn depends on ``seed`` and the number of images only."""
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    network = UNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(images), generator=g)])
        chosen, order = order[:batch], order[batch:]
        x, target = augment(images[chosen], masks[chosen], g)
        loss = loss_of(network(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def predict(network: UNet, images: torch.Tensor) -> torch.Tensor:
    """(N, 3, 128, 128) uint8 to (N, 128, 128) bool."""
    parts = []
    for part in images.split(64):
        small = F.interpolate(part.float() / 255, size=SIDE, mode="bilinear", antialias=True)
        logits = network(small)[:, None]
        parts.append(F.interpolate(logits, size=part.shape[-2:], mode="bilinear")[:, 0] > 0)
    return torch.cat(parts)


def dice(preds: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Dice coefficient of each image; 1 where both are empty."""
    shared, total = (preds & target).sum((1, 2)), preds.sum((1, 2)) + target.sum((1, 2))
    return torch.where(total > 0, 2 * shared / total.clamp_min(1), 1.0).double().numpy()


def split_lesions(pack: RealPack) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows to draw from (one per lesion, shuffled), development rows, and test rows; no lesion in two."""
    test = pack.select("ham10000", "val")
    first: dict[str, Row] = {}
    for row in pack.select("ham10000", "train"):
        first.setdefault(row.group, row)
    groups = np.random.default_rng(2024).permutation(sorted(first))
    if {r.group for r in test} & set(first):
        raise SystemExit("the pack's splits share lesions")
    rows = [first[g] for g in groups]
    return rows[DEV_LESIONS:], rows[:DEV_LESIONS], test


def load(pack: RealPack, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.stack([torch.from_numpy(pack.image(r)) for r in rows])
    return images, torch.stack([torch.from_numpy(pack.lesion_mask(r)) for r in rows])


def training_set(arm: str, pack: RealPack, pool: list[Row], seed: int, args: argparse.Namespace) -> tuple:
    """Images and masks of an arm. The simulator is told the diagnoses and tones of the pool, nothing else."""
    rng = np.random.default_rng([7, seed])
    if arm.startswith("real-"):
        chosen = rng.permutation(len(pool))[: int(arm.removeprefix("real-"))]  # nested: a longer prefix
        return load(pack, [pool[i] for i in chosen])
    rows = [pool[i] for i in rng.choice(len(pool), args.n_simulated)]
    if arm == "flat":
        return flat_set(pack, rows, seed)
    samples = [(s.image, s.masks["lesion"]) for s in simulate(rows, 900 + seed, scene_parameters(args.set))]
    images, masks = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(masks)


def flat_set(pack: RealPack, rows: list[Row], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ellipses of uniform size and place, with a soft edge, in random colours on smooth noise."""
    g = torch.Generator().manual_seed(seed)
    grid = F.affine_grid(torch.eye(2, 3)[None], (1, 1, 128, 128), align_corners=False)[0]
    images, masks = [], []
    for _ in rows:
        u = torch.rand(12, generator=g)
        angle = float(u[0]) * math.pi
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        place = (grid - (u[1:3] - 0.5) * 0.5) @ turn
        size = 0.2 + 0.6 * u[3]
        distance = torch.hypot(place[..., 0] / size, place[..., 1] / (size * (0.55 + 0.45 * u[4])))
        cover = torch.sigmoid((1 - distance) * (4 + 16 * u[5]))
        skin = torch.tensor([0.82, 0.65, 0.62]) + (u[6:9] - 0.5) * 0.2
        contrast = torch.tensor([-0.3, -0.32, -0.34]) * (0.15 + 0.85 * u[9])
        noise = F.interpolate(torch.randn(1, 1, 16, 16, generator=g), size=128, mode="bicubic")[0, 0]
        image = skin[:, None, None] + contrast[:, None, None] * cover + 0.03 * noise
        images.append((image.clamp(0, 1) * 255).to(torch.uint8))
        masks.append(distance < 1)
    return torch.stack(images), torch.stack(masks)


def run(arm: str, seed: int, pack: RealPack, pool: list[Row], scored: list[Row], args: argparse.Namespace) -> dict:
    start = time.monotonic()
    images, masks = training_set(arm, pack, pool, seed, args)
    made = time.monotonic()
    network = train(images, masks, args.steps, seed)
    real_images, real_masks = load(pack, scored)
    scores = dice(predict(network, real_images), real_masks)
    return {
        "arm": arm,
        "seed": seed,
        "n_train": len(images),
        "dice": [round(float(d), 5) for d in scores],
        "seconds": {"data": round(made - start, 1), "training": round(time.monotonic() - made, 1)},
    }


def summarise(runs: list[dict], rows: list[Row]) -> dict[str, object]:
    """Mean Dice of each arm, and of its difference to ``simulated``, with intervals over lesions x seeds."""
    groups = np.unique([r.group for r in rows], return_inverse=True)[1]
    tables: dict[str, np.ndarray] = {}
    for arm in dict.fromkeys(r["arm"] for r in runs):
        tables[arm] = np.array([r["dice"] for r in sorted(runs, key=lambda r: r["seed"]) if r["arm"] == arm])
    figures: dict[str, object] = {}
    for arm, table in tables.items():
        figures[arm] = {
            "mean_dice": round(float(table.mean()), 4),
            "interval_95": bootstrap(table, groups),
            "by_seed": [round(float(m), 4) for m in table.mean(1)],
            "median_dice": round(float(np.median(table)), 4),
            "share_below_half": round(float((table < 0.5).mean()), 4),
            "by_diagnosis": {
                c: round(float(table[:, [r.diagnosis == c for r in rows]].mean()), 4)
                for c in sorted({r.diagnosis for r in rows})
            },
        }
        if arm != "simulated" and "simulated" in tables:
            k = min(len(table), len(tables["simulated"]))
            gap = tables["simulated"][:k] - table[:k]
            figures[arm]["simulated_minus_this"] = {
                "mean": round(float(gap.mean()), 4),
                "interval_95": bootstrap(gap, groups),
            }
    return figures


def bootstrap(table: np.ndarray, groups: np.ndarray, draws: int = 2000) -> list[float]:
    """95 % interval of the mean of a (seeds, images) table, resampling seeds and lesions."""
    rng = np.random.default_rng(0)
    count = np.bincount(groups)
    sums = np.stack([np.bincount(groups, row) for row in table])
    means = []
    for _ in range(draws):
        seeds = rng.integers(len(table), size=len(table))
        lesions = rng.integers(len(count), size=len(count))
        means.append(sums[seeds][:, lesions].sum() / (len(seeds) * count[lesions].sum()))
    return [round(float(q), 4) for q in np.percentile(means, (2.5, 97.5))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    add_simulator_arguments(parser)
    parser.add_argument("--work", type=Path, default=Path("runs/segmentation"), help="finished runs are kept here")
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--n-simulated", type=int, default=2000)
    parser.add_argument("--dev", action="store_true", help="score on training lesions that no arm draws")
    parser.add_argument("--name", default="segmentation")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pack = RealPack(args.real)
    pool, dev, test = split_lesions(pack)
    scored = dev if args.dev else test
    args.work.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(args.seed, args.seed + args.seeds):
        for arm in args.arms:
            simulated = [args.n_simulated, *args.set] if arm == "simulated" else []
            key = "-".join(map(str, [arm, *simulated, args.steps, seed, "dev" if args.dev else "test"]))
            path = args.work / f"{key}.json"
            if not path.exists():
                done = run(arm, seed, pack, pool, scored, args)
                temporary = path.with_suffix(".part")
                temporary.write_text(json.dumps(done))
                temporary.replace(path)
            runs.append(json.loads(path.read_text()))
            print(f"{key}: Dice {np.mean(runs[-1]['dice']):.4f} {runs[-1]['seconds']}", flush=True)
    figures = summarise(runs, scored)
    network = UNet()
    write_result(
        args.name, figures, data=pack.digest, scored="train lesions kept apart" if args.dev else "val split",
        n_scored=len(scored), n_lesions=len({r.group for r in scored}), steps=args.steps, batch=16,
        side_px=SIDE,
        seeds=args.seeds, n_simulated=args.n_simulated, simulator_settings=args.set,
        parameters=sum(p.numel() for p in network.parameters()),
        seconds={f"{r['arm']}/{r['seed']}": r["seconds"] for r in runs},
    )  # fmt: skip


if __name__ == "__main__":
    main()
