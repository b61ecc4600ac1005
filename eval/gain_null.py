"""Can the gain protocol say no, and can it say yes?

    python eval/gain_null.py null --real train_128.zip --work runs/null
    python eval/gain_null.py new --real train_128.zip --work runs/null
    python eval/gain_null.py summary --work runs/null

``null``: the "synthetic" set is the real training images themselves, drawn again: nothing is new, and every "gain" is
false. ``new``: it is real images that no arm has seen, the best that synthetic images could be; the share of "gain" is
the power. Each repetition draws new test lesions, new training images and new seeds from HAM10000, and goes through the
same code as ``synthderm evaluate gain``: pools, training, paired intervals, verdict. ``--network linear`` is a linear
model on 8 x 8 px thumbnails, which trains in a fraction of a second; ``--network small`` the library's network.
Finished repetitions are kept in ``--work``; the same command goes on where it stopped, and several may run side by side
with other ``--first``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import write_result
from real_pack import add_real_argument
from torch import nn

from synthderm.core import image_seed, stream
from synthderm.core.threads import one_thread
from synthderm.data import Record
from synthderm.evaluation.gain.arms import REPLAY, SYNTHETIC, balanced_counts, class_counts, resample
from synthderm.evaluation.gain.cells import Scorer, sort_runs
from synthderm.evaluation.gain.comparisons import compare_arms, judge
from synthderm.evaluation.gain.config import SCORES, GainConfig
from synthderm.evaluation.gain.experiment import compare
from synthderm.evaluation.gain.plan import nested_order
from synthderm.evaluation.gain.runs import execute
from synthderm.evaluation.sets import open_set, ordered_classes
from synthderm.functional.intervals import proportion_interval

NETWORKS = {
    "linear": {"classifier": "gain_null:Thumbnail", "size": 16, "steps": 60, "batch_size": 64, "learning_rate": 0.02},
    "small": {"classifier": "small", "size": 32, "steps": 150, "batch_size": 32},
}


class Thumbnail(nn.Sequential):
    """A linear model on 8 x 8 px."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return super().forward(F.adaptive_avg_pool2d(x, 8))


@dataclass(frozen=True)
class Loaded:
    """A set whose pixels are in memory; answers what the protocol asks of an ImageSet."""

    records: tuple[Record, ...]
    pixels: torch.Tensor
    label_names: list[str]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur."""
        return ordered_classes(self.label_names)

    @property
    def groups(self) -> list[str]:
        """Lesion of each image."""
        return ["/".join(record.group_key) for record in self.records]

    @property
    def fst(self) -> list[None]:
        """No tones: they are not what is tested here."""
        return [None] * len(self)

    def images(self) -> torch.Tensor:
        """(N, 3, S, S) uint8."""
        return self.pixels

    def labels_in(self, classes: tuple[str, ...]) -> torch.Tensor:
        """(N,) int64."""
        return torch.tensor([classes.index(name) for name in self.label_names])

    def describe(self) -> dict[str, Any]:
        """JSON values."""
        return {"n": len(self), "groups": len(set(self.groups)), "classes": dict(Counter(self.label_names))}

    def part(self, indices: np.ndarray, synthetic: bool = False) -> Loaded:
        """Some of the images; as ``synthetic`` they say nothing of where they are from."""
        chosen = [self.records[i] for i in indices]
        if synthetic:
            chosen = [Record(f"synthetic/{k}.png", "synthetic", r.label) for k, r in enumerate(chosen)]
        return Loaded(tuple(chosen), self.pixels[indices], [self.label_names[i] for i in indices])


def load(path: str, size: int) -> Loaded:
    images = open_set(path, size=size, where={"dataset": "ham10000"}, tone_from="stated")
    return Loaded(images.records, images.images(), images.label_names)


def draw_sets(whole: Loaded, kind: str, seed: int, args: argparse.Namespace) -> tuple[Loaded, Loaded, Loaded]:
    """New test lesions, new training images, and the set that is called synthetic."""
    rng = stream(seed, "gain null")
    labels, groups = whole.labels_in(whole.classes).numpy(), np.array(whole.groups)
    order = nested_order(labels, groups.tolist(), rng)
    test = order[np.isin(groups[order], groups[order[: args.n_test]])]
    rest = order[~np.isin(groups[order], groups[test])]
    train, unseen = rest[: args.n_real], rest[args.n_real :]
    unseen = unseen[~np.isin(groups[unseen], groups[train])]
    amount = round(1.5 * args.ratio * args.n_real)
    source = train if kind == "null" else unseen
    counts = balanced_counts(amount, sorted(class_counts(labels[source])), rng)
    drawn = source[resample(labels[source], counts, rng)]
    if kind == "null":  # with replacement: an image may come often or never
        drawn = np.concatenate([rng.choice(source[labels[source] == k], n) for k, n in counts.items()])
    return whole.part(train), whole.part(drawn, synthetic=True), whole.part(test)


def repeat(whole: Loaded, kind: str, index: int, args: argparse.Namespace) -> dict[str, Any]:
    """One experiment: its differences and verdicts for every score."""
    start = time.monotonic()
    seed = image_seed(args.seed, index)
    config = GainConfig(
        arms=(REPLAY, SYNTHETIC),
        ratios=(args.ratio,),
        seeds=args.seeds,
        seed=seed,
        resamples=args.resamples,
        force=args.seeds < 5,
        **NETWORKS[args.network],
    )
    experiment = compare(config, *draw_sets(whole, kind, seed, args))
    finished = [execute(run, config, experiment.material) for run in experiment.runs]
    rows = compare_arms(Scorer(experiment.test, config), sort_runs(experiment, finished))
    return {
        "index": index,
        "verdicts": {score: judge(rows, score)[0]["verdict"] for score in SCORES[config.task]},
        "differences": {
            score: {row["against"]: [row["difference"]["value"], *row["difference"]["interval"]]}
            for score in SCORES[config.task]
            for row in rows
            if row["score"] == score and row["against"].startswith(f"{REPLAY}@")
        },
        "seconds": round(time.monotonic() - start, 2),
    }


def setting(args: argparse.Namespace, kind: str) -> str:
    return f"{kind}_{args.network}_n{args.n_real}_r{args.ratio:g}_s{args.seeds}_t{args.n_test}"


def run(args: argparse.Namespace) -> None:
    whole = load(args.real, NETWORKS[args.network]["size"])
    folder = args.work / setting(args, args.command)
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + args.minutes * 60
    for index in range(args.first, args.first + args.repetitions):
        path = folder / f"{index:04d}.json"
        if path.is_file():
            continue
        if time.monotonic() > end:
            break
        with one_thread():
            found = repeat(whole, args.command, index, args)
        path.write_text(json.dumps(found) + "\n")
        print(index, found["verdicts"], found["seconds"], flush=True)


def summarise(args: argparse.Namespace) -> None:
    figures: dict[str, Any] = {}
    for folder in sorted(path for path in args.work.iterdir() if path.is_dir()):
        found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        values: dict[str, list[list[float]]] = defaultdict(list)
        for one in found:
            for score, verdict in one["verdicts"].items():
                counts[score][verdict] += 1
                values[score] += one["differences"][score].values()
        figures[folder.name] = {"repetitions": len(found), "scores": {}}
        for score, verdicts in counts.items():
            share = proportion_interval(verdicts["gain"], len(found))
            table = np.array(values[score])
            figures[folder.name]["scores"][score] = {
                "gain": {"value": share.value, "interval": [share.low, share.high], "n": len(found)},
                "verdicts": dict(verdicts),
                "mean_difference": float(table[:, 0].mean()),
                "sd_of_differences": float(table[:, 0].std(ddof=1)) if len(table) > 1 else None,
                "mean_interval_width": float((table[:, 2] - table[:, 1]).mean()),
                "interval_above_0": float((table[:, 1] > 0).mean()),
                "interval_below_0": float((table[:, 2] < 0).mean()),
            }
            print(
                f"{folder.name} {score}: gain {share.value:.3f} ({share.low:.3f} to {share.high:.3f}), n {len(found)}"
            )
    write_result("gain_null", figures, networks=NETWORKS, data="HAM10000 rows of the real pack, 7 classes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("null", "new"):
        part = commands.add_parser(name)
        add_real_argument(part)
        part.add_argument("--network", choices=NETWORKS, default="linear")
        part.add_argument("--n-real", type=int, default=300)
        part.add_argument("--ratio", type=float, default=1.0)
        part.add_argument("--n-test", type=int, default=700)
        part.add_argument("--seeds", type=int, default=5)
        part.add_argument("--seed", type=int, default=0)
        part.add_argument("--resamples", type=int, default=2000)
        part.add_argument("--first", type=int, default=0)
        part.add_argument("--repetitions", type=int, default=200)
        part.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes")
        part.add_argument("--work", type=Path, required=True)
    commands.add_parser("summary").add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    summarise(args) if args.command == "summary" else run(args)


if __name__ == "__main__":
    main()
