"""Intervals of a score, or of the difference between two arms, over test groups and training seeds.

An arm is trained with S seeds; each run predicts the same test images. The score of an arm is its mean over the runs.
What else could have come out: other lesions in the test set (groups are resampled, all images of one together) and
other seeds. The measured coverage of these intervals is in ``eval/results/coverage_difference.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from synthderm.core import InputError

from .features import rows_per_block
from .intervals import Interval, check_level, percentile_interval, proportion_interval, student_t_quantile

__all__ = [
    "Interval",
    "Resampled",
    "group_interval",
    "group_strata",
    "group_weights",
    "paired_group_interval",
    "percentile_interval",
    "proportion_interval",
    "resample_runs",
]

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``statistic(predictions of one run, weights (R, N)) -> (R,)``, for example
``lambda preds, weights: macro_auroc(preds, target, weights)``; nan where it does not exist."""


def _group_index(groups: Sequence[object]) -> tuple[np.ndarray, int]:
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(index.max()) + 1 if len(index) else 0
    if count < 2:
        raise InputError(
            f"expected at least 2 groups to resample, got {count}; give the lesion or patient of each image"
        )
    return index, count


def group_strata(groups: Sequence[object], labels: Sequence[int]) -> np.ndarray:
    """(N,) stratum of each image: the rarest class (by images) that its group holds.

    Resampling within these strata keeps rare classes in every resample, so that a score is not undefined.
    """
    index, count = _group_index(groups)
    classes, label, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(label) != len(index):
        raise InputError(f"expected one label for each of {len(index)} images, got {len(label)}")
    rarity = np.argsort(np.argsort(sizes, kind="stable"))  # 0 for the rarest class
    rarest = np.full(count, len(classes))
    np.minimum.at(rarest, index, rarity[label])
    return rarest[index]


def group_weights(
    groups: Sequence[object], resamples: int = 2000, seed: int = 0, strata: Sequence[object] | None = None
) -> Iterator[np.ndarray]:
    """Bootstrap weights of the images, in parts of at most 16 MB of (r, N), ``resamples`` rows in all.

    From the G groups of a stratum G - 1 are drawn with replacement and weighted by G / (G - 1) (Rao & Wu 1988,
    sec. 3.1 with n - 1 draws): the plain draw of G has a variance too small by (G - 1) / G, which matters for a class
    of a few lesions. A stratum of one group keeps weight 1. All images of a group have the same weight.

    Args:
        groups: (N,) group of each image.
        resamples: rows in all.
        seed: the same seed and groups give the same weights, so that arms are compared on the same resamples.
        strata: (N,) stratum of each image, the same within a group (:func:`group_strata`); None: one stratum.

    Raises:
        InputError: fewer than 2 groups, or a group in two strata.
    """
    index, count = _group_index(groups)
    stratum = np.zeros(len(index), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    if len(stratum) != len(index):
        raise InputError(f"expected one stratum for each of {len(index)} images, got {len(stratum)}")
    of_group = np.zeros(count, dtype=int)
    of_group[index] = stratum
    if (of_group[index] != stratum).any():
        raise InputError("expected all images of a group in one stratum; make strata by group_strata(groups, labels)")
    members = [np.flatnonzero(of_group == s) for s in range(int(stratum.max()) + 1)]
    generators = [np.random.default_rng([seed, s]) for s in range(len(members))]
    step = rows_per_block(len(index))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        weights = np.ones((count, rows))
        for chosen, rng in zip(members, generators, strict=True):
            n = len(chosen)
            if n > 1:
                weights[chosen] = rng.multinomial(n - 1, np.full(n, 1 / n), size=rows).T * (n / (n - 1))
        yield weights[index].T


@dataclass(frozen=True)
class Resampled:
    """A statistic of the S runs of an arm, on the test set and on R resamples of its groups.

    Two of them with the same runs, groups and resample seed can be subtracted: the paired difference of arms.
    """

    point: np.ndarray  # (S,)
    values: np.ndarray  # (S, R); nan where undefined
    n_groups: int
    seed: int

    def __sub__(self, other: Resampled) -> Resampled:
        if self.values.shape != other.values.shape or (self.n_groups, self.seed) != (other.n_groups, other.seed):
            raise InputError(
                f"expected two arms with the same seeds, groups and resamples, got {self.values.shape[0]} runs on "
                f"{self.n_groups} groups and {other.values.shape[0]} runs on {other.n_groups} groups"
            )
        return Resampled(self.point - other.point, self.values - other.values, self.n_groups, self.seed)

    def variance(self) -> tuple[float, float]:
        """Variance of the mean over seeds, and its degrees of freedom.

        With groups g and seeds s crossed, y_gs = mean + a_g + b_s + e_gs. Resampling groups of the mean over runs
        gives V_g = var(a)/G + var(e)/GS, the spread of the S values gives V_s = var(b)/S + var(e)/GS. Their sum
        counts var(e)/GS twice (the "pigeonhole" excess of Owen 2007); it is known from resampling groups of each
        run, V_1 = var(a)/G + var(e)/G, as (V_1 - V_g) / (S - 1). So V = V_g + max(V_s - that, 0), and by
        Satterthwaite 1946 V has V^2 / (V_g^2 / (G - 1) + V_s^2 / (S - 1)) degrees of freedom.
        """
        defined = self.values[:, np.isfinite(self.values).all(axis=0)]
        runs = len(self.point)
        by_groups = float(defined.mean(axis=0).var(ddof=1))
        if runs == 1:
            return by_groups, float(self.n_groups - 1)
        by_seeds = float(self.point.var(ddof=1)) / runs
        shared = max(float(defined.var(axis=1, ddof=1).mean()) - by_groups, 0.0) / (runs - 1)
        variance = by_groups + max(by_seeds - shared, 0.0)
        noise = by_groups**2 / (self.n_groups - 1) + by_seeds**2 / (runs - 1)
        return variance, variance**2 / noise if noise > 0 else float(self.n_groups - 1)

    def interval(self, level: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """The mean over runs with its interval from a bootstrap over groups x seeds.

        The percentiles of the bootstrap deviations are stretched by t / z sqrt(V / V_bootstrap), with V and its
        degrees of freedom from :meth:`variance`: with 5 seeds the plain percentiles are too narrow where the seeds
        decide (a variance of 4/5, and 1.96 for 2.78) and too wide where they do not. Resamples on which any run is
        undefined are left out and counted; with fewer than half of them left the ends are nan.

        Args:
            level: nominal coverage.
            bounds: lowest and highest value that the statistic can have.
        """
        tail = (1 - check_level(level)) / 2
        resamples, value = self.values.shape[1], float(self.point.mean())
        defined = np.isfinite(self.values).all(axis=0)
        about = {
            "n_groups": self.n_groups,
            "n_seeds": len(self.point),
            "resamples": resamples,
            "undefined": int(resamples - defined.sum()),
        }
        if not np.isfinite(value) or 2 * defined.sum() < resamples:
            return Interval(value, float("nan"), float("nan"), level, **about)
        counts = np.random.default_rng([self.seed, 1 << 20]).multinomial(
            len(self.point), np.full(len(self.point), 1 / len(self.point)), size=resamples
        )
        joint = np.einsum("rs,sr->r", counts, self.values)[defined] / len(self.point)
        spread = float(joint.std(ddof=1))
        if spread == 0:
            return Interval(value, value, value, level, **about)
        variance, df = self.variance()
        stretch = student_t_quantile(1 - tail, max(df, 1.0)) / NormalDist().inv_cdf(1 - tail) * variance**0.5 / spread
        low, high = value + stretch * np.quantile(joint - joint.mean(), [tail, 1 - tail])
        return Interval(value, max(float(low), bounds[0]), min(float(high), bounds[1]), level, **about)


def resample_runs(
    statistic: Statistic,
    runs: Sequence[np.ndarray],
    groups: Sequence[object],
    *,
    strata: Sequence[object] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """Score every run of an arm on the test set and on resamples of its groups.

    Score each arm once, then take the interval of any arm or of any difference:
    ``(resample_runs(score, a, groups) - resample_runs(score, b, groups)).interval()``.

    Args:
        statistic: :data:`Statistic`.
        runs: S predictions of the same N images, first axis N; one per seed, in the order of the seeds.
        groups: (N,) lesion or patient of each image.
        strata: (N,) see :func:`group_weights`; ``group_strata(groups, target)`` for scores over classes.
        resamples: at least 100; 2,000 for a report.
        seed: of the resampling.

    Raises:
        InputError: no runs, other numbers of images, too few groups or resamples, or a statistic that does not
            exist on the test set itself.
    """
    sizes = {len(run) for run in runs}
    if sizes != {len(groups)}:
        raise InputError(f"expected runs of {len(groups)} images, one group each, got {sorted(sizes) or 'no runs'}")
    if resamples < 100:
        raise InputError(f"expected at least 100 resamples, got {resamples}; 2000 is usual")
    whole = np.ones((1, len(groups)))
    point = np.array([float(statistic(run, whole)[0]) for run in runs])
    if not np.isfinite(point).all():
        raise InputError("expected a statistic that exists on the test set, got nan; is a class missing?")
    parts = [
        np.stack([statistic(run, weights) for run in runs])
        for weights in group_weights(groups, resamples, seed, strata)
    ]
    return Resampled(point, np.concatenate(parts, axis=1), _group_index(groups)[1], seed)


def group_interval(
    statistic: Statistic,
    runs: Sequence[np.ndarray],
    groups: Sequence[object],
    *,
    strata: Sequence[object] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """A score of one arm, mean over its runs, with its interval over groups and seeds.

    Arguments as :func:`resample_runs` and :meth:`Resampled.interval`.
    """
    return resample_runs(statistic, runs, groups, strata=strata, resamples=resamples, seed=seed).interval(level, bounds)


def paired_group_interval(
    statistic: Statistic,
    runs_a: Sequence[np.ndarray],
    runs_b: Sequence[np.ndarray],
    groups: Sequence[object],
    *,
    strata: Sequence[object] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Score of arm a MINUS score of arm b, mean over paired seeds, with its interval over groups and seeds.

    Run i of both arms has the same training seed, and both are scored on the same resamples. Arguments as
    :func:`resample_runs` and :meth:`Resampled.interval`.
    """
    first, second = (
        resample_runs(statistic, runs, groups, strata=strata, resamples=resamples, seed=seed)
        for runs in (runs_a, runs_b)
    )
    return (first - second).interval(level)
