"""How often the 95 % intervals hold the truth, in simulations whose truth is known.

    python eval/coverage.py difference --work FOLDER     scores of two training arms, over test groups x seeds
    python eval/coverage.py distances --work FOLDER      Frechet, kernel, precision, recall, density, coverage
    python eval/coverage.py proportions                  Wilson's interval, exactly

Every experiment draws its own data from its own seed, and its result is kept in FOLDER, so that an interrupted run
goes on (``--minutes`` stops it on purpose). The result file is written once all experiments are there. The truth of
a difference is the mean over fresh test sets and fresh seeds of the same population; that of a distance at n the
mean of the estimator over fresh sets of n images; that of the extrapolated distance is the population's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from common import write_result

from synthderm.functional.bootstrap import group_strata, resample_runs
from synthderm.functional.frechet import frechet_distance, frechet_intervals, gaussian_statistics
from synthderm.functional.intervals import Interval, proportion_interval
from synthderm.functional.kernel_distance import kernel_distance, kernel_interval
from synthderm.functional.neighbours import prdc, prdc_intervals
from synthderm.functional.scores import accuracy, balanced_accuracy, macro_auroc

AIM = (0.93, 0.97)


@dataclass(frozen=True)
class Cell:
    """One simulated situation."""

    name: str
    experiments: int
    experiment: Callable[
        [int], dict[str, dict[str, list[float]]]
    ]  # number -> score -> interval name -> [value, low, high]
    truth: Callable[[], dict[str, dict[str, float]]]  # score -> interval name -> truth
    about: dict[str, object]


# ---- two arms of a classifier


@dataclass(frozen=True)
class Arms:
    """A population of test groups and of training seeds, for two arms of which the second is a little better.

    Logits are signal x one-hot + what images and groups have in both arms + what they have in one arm (all seeds)
    + what a seed does to a class + what a seed does to an image; standard deviations of each.
    """

    groups: int = 150
    most_images: int = 1
    priors: tuple[float, ...] = (0.6, 0.28, 0.12)
    of_group: float = 0.5
    of_image: float = 1.0
    of_arm: float = 0.5
    of_seed: float = 0.1
    of_strength: float = 0.04
    of_seed_and_image: float = 0.3

    def draw(self, rng: np.random.Generator, seeds: int):
        """Group and class of each image, and the probabilities (seeds, N, C) of both arms."""
        classes = len(self.priors)
        of_image = np.repeat(np.arange(self.groups), rng.integers(1, self.most_images + 1, self.groups))
        target = rng.choice(classes, self.groups, p=self.priors)[of_image]
        n = len(target)
        shared = self.of_group * rng.normal(size=(self.groups, classes))[of_image]
        shared += self.of_image * rng.normal(size=(n, classes))
        of_seed = rng.normal(size=(seeds, 1, classes))  # half of what a seed does, both arms have
        return of_image, target, [self._arm(rng, seeds, s, target, shared, of_seed, of_image) for s in (1.6, 1.8)]

    def _arm(self, rng, seeds, signal, target, shared, of_seed, of_image):
        size = (len(target), len(self.priors))
        own = rng.normal(size=(self.groups, size[1]))[of_image] + rng.normal(size=size)
        bias = (of_seed + rng.normal(size=of_seed.shape)) / np.sqrt(2)
        strength = signal * (1 + self.of_strength * rng.normal(size=(seeds, 1, 1)))
        logits = strength * np.eye(size[1])[target] + shared + self.of_arm * own / np.sqrt(2)
        logits = logits + self.of_seed * bias + self.of_seed_and_image * rng.normal(size=(seeds, *size))
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        return odds / odds.sum(-1, keepdims=True)


ARMS = {
    "seeds_alone": Arms(of_seed=1.5, of_strength=0.4),
    "seeds_decide": Arms(of_seed=0.5, of_strength=0.15),
    "groups_decide": Arms(of_image=1.5, of_arm=0.8, of_seed=0.01, of_strength=0.01, of_seed_and_image=0.05),
    "mixed_clusters": Arms(groups=100, most_images=6, of_group=1.2, of_image=0.8, of_seed=0.15, of_strength=0.06,
                           of_seed_and_image=0.6),
    "seed_by_image": Arms(of_arm=0.2, of_seed=0.03, of_strength=0.02, of_seed_and_image=1.0),
    "rare_classes": Arms(groups=250, most_images=2, priors=(0.4, 0.22, 0.12, 0.1, 0.08, 0.05, 0.03),
                         of_seed_and_image=0.4),
}  # fmt: skip
SCORES = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_auroc": macro_auroc}


def difference_experiment(arms: Arms, seeds: int, resamples: int, number: int):
    rng = np.random.default_rng([1, number])
    groups, target, (first, second) = arms.draw(rng, seeds)
    strata = group_strata(groups, target)
    found = {}
    for name, score in SCORES.items():
        statistic = partial(_scored, score, target)
        options = {"strata": strata, "resamples": resamples, "seed": number}
        one, other = (resample_runs(statistic, list(runs), groups, **options) for runs in (second, first))
        found[name] = {"interval": _ends((one - other).interval()), "percentile": plain_percentile(one - other, rng)}
    return found


def _scored(score, target, preds, weights):
    return score(preds, target, weights)


def plain_percentile(resampled, rng):
    """Groups and seeds resampled, percentiles taken as they are: what is usual."""
    runs, resamples = resampled.values.shape
    chosen = rng.integers(0, runs, (resamples, runs))
    joint = resampled.values[chosen, np.arange(resamples)[:, None]].mean(axis=1)
    return [float(resampled.point.mean()), *np.nanquantile(joint, [0.025, 0.975]).tolist()]


def _ends(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def difference_truth(arms: Arms, sets: int):
    rng = np.random.default_rng([2, sets])
    sums = {name: [] for name in SCORES}
    for _ in range(sets):
        _, target, (first, second) = arms.draw(rng, 4)
        for name, score in SCORES.items():
            sums[name].append(
                np.mean([score(b, target)[0] - score(a, target)[0] for a, b in zip(first, second, strict=True)])
            )
    return {name: dict.fromkeys(("interval", "percentile"), float(np.mean(v))) for name, v in sums.items()}


def difference_cells(experiments: int, resamples: int) -> list[Cell]:
    cells = []
    for name, arms in ARMS.items():
        for seeds in (5, 10) if name != "rare_classes" else (5,):
            about = {"seeds": seeds, "groups": arms.groups, "images_per_group": [1, arms.most_images],
                     "classes": len(arms.priors), "resamples": resamples}  # fmt: skip
            experiment = partial(difference_experiment, arms, seeds, resamples)
            truth = partial(difference_truth, arms, 3000)
            cells.append(Cell(f"{name}_{seeds}_seeds", experiments, experiment, truth, about))
    return cells


# ---- two sets of features


@dataclass(frozen=True)
class Sets:
    """Two populations of features: correlated Gaussians of which one is shifted and stretched in half its causes."""

    features: int = 32
    images: int = 300
    shift: float = 0.075
    stretch: float = 1.15
    in_group: int = 1
    rectified: bool = False

    def population(self):
        """Mixing matrix of the causes, and mean, of either population."""
        rng = np.random.default_rng(1)
        mix = rng.normal(size=(self.features, self.features)) / np.sqrt(self.features)
        mix *= np.exp(-2 * np.arange(self.features) / self.features)[:, None]
        other = mix.copy()
        other[:, : self.features // 2] *= self.stretch
        return (mix, np.zeros(self.features)), (other, self.shift * rng.normal(size=self.features))

    def draw(self, rng: np.random.Generator, images: int | None = None):
        """Features of both sets and the group of each image; half the variance is the group's where there are some."""
        count = (images or self.images) // self.in_group
        within = 1.0 if self.in_group == 1 else np.sqrt(0.5)
        both = []
        for mix, mean in self.population():
            causes = within * rng.normal(size=(count, self.in_group, self.features))
            if self.in_group > 1:
                causes += within * rng.normal(size=(count, 1, self.features))
            x = causes.reshape(-1, self.features) @ mix.T + mean
            both.append(np.maximum(x + 0.2, 0) if self.rectified else x)
        return *both, np.arange(count).repeat(self.in_group)

    def distance(self) -> float:
        """Frechet distance of the populations (of a million images each where there is no formula)."""
        if not self.rectified:
            (mix, mean), (other, shifted) = self.population()
            return frechet_distance(mean, mix @ mix.T, shifted, other @ other.T)
        x, y, _ = self.draw(np.random.default_rng(3), 1_000_000)
        return frechet(x, y)


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    (mean_x, cov_x, _), (mean_y, cov_y, _) = gaussian_statistics(x), gaussian_statistics(y)
    return frechet_distance(mean_x, cov_x, mean_y, cov_y)


SETS = {
    "apart": Sets(),
    "same_population": Sets(shift=0, stretch=1),
    "groups_of_3": Sets(stretch=1.2, in_group=3),
    "rectified": Sets(shift=0.1, stretch=1.2, rectified=True, images=400),
    "3_images_per_feature": Sets(images=100),
    "2_images_per_feature": Sets(features=64, images=132),
}
NEIGHBOURS = ("apart", "same_population", "groups_of_3")


def distance_experiment(sets: Sets, number: int):
    rng = np.random.default_rng([4, number])
    x, y, groups = sets.draw(rng)
    options = {"seed": number}
    at_n, at_infinity = frechet_intervals(x, y, groups=groups, reference_groups=groups, **options)
    found = {"frechet": {"interval": _ends(at_n)}, "frechet_infinity": {"interval": _ends(at_infinity)}}
    kernel = kernel_interval(x, y, groups_x=groups, groups_y=groups, **options)
    found["kernel"] = {"interval": _ends(kernel)}
    if number % 5 == 0:
        values = [frechet(x[rng.integers(0, len(x), len(x))], y[rng.integers(0, len(y), len(y))]) for _ in range(100)]
        found["frechet"]["bootstrap_with_replacement"] = [at_n.value, *np.quantile(values, [0.025, 0.975]).tolist()]
    return found


def distance_truth(sets: Sets, draws: int):
    rng = np.random.default_rng(5)
    values = [(frechet(x, y), kernel_distance(x, y)) for x, y, _ in (sets.draw(rng) for _ in range(draws))]
    at_n, kernel = np.mean(values, axis=0).tolist()
    return {
        "frechet": {"interval": at_n, "bootstrap_with_replacement": at_n},
        "frechet_infinity": {"interval": sets.distance()},
        "kernel": {"interval": kernel},
    }


def neighbour_experiment(sets: Sets, number: int):
    x, y, groups = sets.draw(np.random.default_rng([6, number]))
    found = prdc_intervals(x, y, groups_real=groups, groups_synthetic=groups, seed=number)
    return {name: {"interval": _ends(interval)} for name, interval in found.items()}


def neighbour_truth(sets: Sets, draws: int):
    rng = np.random.default_rng(7)
    values = [prdc(x, y) for x, y, _ in (sets.draw(rng) for _ in range(draws))]
    return {name: {"interval": float(np.mean([v[name] for v in values]))} for name in values[0]}


def distance_cells(experiments: int) -> list[Cell]:
    cells = []
    for name, sets in SETS.items():
        about = {"features": sets.features, "images": sets.images, "images_per_group": sets.in_group}
        truth = partial(distance_truth, sets, 3000)
        cells.append(Cell(name, experiments, partial(distance_experiment, sets), truth, about))
        if name in NEIGHBOURS:
            experiment, truth = partial(neighbour_experiment, sets), partial(neighbour_truth, sets, 1000)
            cells.append(Cell(f"neighbours_{name}", min(experiments, 300), experiment, truth, about))
    return cells


# ---- running and counting


def run(cells: list[Cell], work: Path, minutes: float) -> bool:
    """Do the experiments that are not in ``work`` yet; False if time ran out first."""
    work.mkdir(parents=True, exist_ok=True)
    stop = time.perf_counter() + 60 * minutes
    for cell in cells:
        kept, truth = work / f"{cell.name}.jsonl", work / f"{cell.name}.truth.json"
        done = len(kept.read_text().splitlines()) if kept.exists() else 0
        with kept.open("a") as rows:
            for number in range(done, cell.experiments):
                if time.perf_counter() > stop:
                    print(f"{cell.name}: {number} of {cell.experiments} experiments; run again to go on")
                    return False
                rows.write(json.dumps(cell.experiment(number)) + "\n")
                rows.flush()
        if not truth.exists():
            truth.write_text(json.dumps(cell.truth()))
        print(cell.name, "done", flush=True)
    return True


def count(cell: Cell, work: Path) -> dict[str, object]:
    """Coverage, misses on either side and widths of every interval of a cell."""
    truth = json.loads((work / f"{cell.name}.truth.json").read_text())
    rows = [json.loads(line) for line in (work / f"{cell.name}.jsonl").read_text().splitlines()[: cell.experiments]]
    figures: dict[str, object] = dict(cell.about)
    for score, intervals in truth.items():
        for kind, true in intervals.items():
            value, low, high = np.array([row[score][kind] for row in rows if kind in row[score]]).T
            inside = (low <= true) & (true <= high)
            figures.setdefault(score, {})[kind] = {
                "coverage": round(float(inside.mean()), 4),
                "truth_below": round(float((true < low).mean()), 4),
                "truth_above": round(float((true > high).mean()), 4),
                "experiments": len(inside),
                "truth": round(true, 6),
                "mean_value": round(float(value.mean()), 6),
                "mean_width": round(float((high - low).mean()), 6),
                "width_of_known_spread": round(float(2 * 1.96 * value.std()), 6),
                "in_aim": bool(AIM[0] <= inside.mean() <= AIM[1]),
            }
    return figures


def proportions() -> dict[str, object]:
    """Exact coverage of Wilson's interval by the binomial distribution, over shares from 0.01 to 0.99."""
    shares = np.arange(1, 100) / 100
    figures = {}
    for n in (10, 30, 100, 300, 1000):
        successes = torch.arange(n + 1, dtype=torch.float64)
        ends = np.array([(i.low, i.high) for i in (proportion_interval(k, n) for k in range(n + 1))])
        inside = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])
        known = torch.distributions.Binomial(n, torch.from_numpy(shares)[None])
        chances = known.log_prob(successes[:, None]).exp().numpy()
        wald = successes.numpy()[:, None] / n
        half = NormalDist().inv_cdf(0.975) * np.sqrt(wald * (1 - wald) / n)
        naive = ((wald - half <= shares) & (shares <= wald + half)) * chances
        coverage = (inside * chances).sum(axis=0)
        figures[f"n_{n}"] = {
            "coverage_mean": round(float(coverage.mean()), 4),
            "coverage_least": round(float(coverage.min()), 4),
            "coverage_most": round(float(coverage.max()), 4),
            "normal_approximation_mean": round(float(naive.sum(axis=0).mean()), 4),
            "normal_approximation_least": round(float(naive.sum(axis=0).min()), 4),
        }
    return figures


def main() -> None:
    """Run a part and write eval/results/coverage_PART.json once it is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("difference", "distances", "proportions"))
    parser.add_argument("--work", type=Path, help="folder of finished experiments")
    parser.add_argument("--experiments", type=int, default=1000, help="of each situation")
    parser.add_argument("--resamples", type=int, default=500, help="of each interval of a difference")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == "proportions":
        write_result("coverage_proportions", proportions(), level=0.95)
        return
    if args.work is None:
        parser.error("--work FOLDER is needed: experiments are kept there")
    difference = args.part == "difference"
    cells = difference_cells(args.experiments, args.resamples) if difference else distance_cells(args.experiments)
    if run(cells, args.work / args.part, args.minutes):
        figures = {cell.name: count(cell, args.work / args.part) for cell in cells}
        write_result(f"coverage_{args.part}", figures, level=0.95, aim=list(AIM), experiments=args.experiments)


if __name__ == "__main__":
    main()
