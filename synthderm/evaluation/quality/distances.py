"""Distances of two sets of features, beside what two halves of the real set give at the same number of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthderm.core import InputError, stream
from synthderm.functional.frechet import (
    frechet_distance,
    frechet_infinity,
    frechet_intervals,
    gaussian_statistics,
    least_images,
)
from synthderm.functional.intervals import Interval, proportion_interval, student_t_quantile
from synthderm.functional.kernel_distance import kernel_distance, kernel_interval
from synthderm.functional.neighbours import prdc, prdc_intervals
from synthderm.functional.subsampling import LEAST_BLOCKS

from ..result import LEAST_GROUP, figure
from .cells import Cell
from .draws import group_codes, group_halves

NAMES = ("fid", "kid", "precision", "recall", "density", "coverage")
_SHARES = ("precision", "recall", "coverage")

BIAS = (
    "the covariance of D features needs more than D images; below that it has no full rank, and a FID is mostly its "
    "own bias, which falls as 1/n"
)


@dataclass(frozen=True)
class DistanceOptions:
    """How distances are measured.

    Attributes:
        draws: how often the real set is parted; values and floors are means over them.
        halves: half-samples for the intervals of precision, recall, density and coverage.
        neighbours: k of precision, recall, density and coverage.
        most_pairs: images of each side, at most, for figures whose cost grows with pairs of images (all but the FID).
        force: give a FID also where there are too few images for one.
        seed: of all draws.
    """

    draws: int = 10
    halves: int = 40
    neighbours: int = 5
    most_pairs: int = 5000
    force: bool = False
    seed: int = 0


class Effort(NamedTuple):
    """How often a FID is taken for its interval and its extrapolation; its cost grows with the cube of the features."""

    blocks: int
    extrapolations: int
    smaller_sets: int


def _effort(num_features: int) -> Effort:
    return Effort(50, 10, 10) if num_features <= 512 else Effort(12, 3, 2)


@dataclass(frozen=True)
class Draw:
    """Features of one draw: synthetic images, the real ones that they are compared with, other real ones.

    The two real parts share no group. Images stand in random order, so that the first n are a sample.

    Attributes:
        synthetic, reference, held_out: each (M, D), of several lengths.
        synthetic_codes, reference_codes: groups of the first two.
    """

    synthetic: np.ndarray
    reference: np.ndarray
    held_out: np.ndarray
    synthetic_codes: np.ndarray
    reference_codes: np.ndarray

    def __len__(self) -> int:
        """Images that every part has."""
        return min(len(self.synthetic), len(self.reference), len(self.held_out))


def require_enough(synthetic: int, real: int, num_features: int, extractor: str, force: bool) -> None:
    """Refuse sets that are too small for a FID.

    Args:
        synthetic: images.
        real: images; the floor needs two parts of them.
        num_features: of the extractor.
        extractor: its name.
        force: measure all the same.

    Raises:
        InputError: saying how many are needed and why.
    """
    least = least_images(num_features)
    if force or (synthetic >= least and real >= 2 * least):
        return
    raise InputError(
        f"too few images for a FID with the {num_features} features of {extractor!r}: expected at least {least} "
        f"synthetic and {2 * least} real ones (half of them for the real-against-real floor), got {synthetic} and "
        f"{real}. {BIAS[0].upper()}{BIAS[1:]}. Add images, take an extractor with fewer features, or give --force: the "
        "floor at the same n then shows how much of the figure is bias"
    )


def distance_rows(
    cells: Sequence[Cell],
    features: tuple[np.ndarray, np.ndarray],
    groups: tuple[Sequence[str], Sequence[str]],
    options: DistanceOptions,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Every figure of every cell.

    Args:
        cells: what is compared.
        features: (N, D) of the synthetic images and (M, D) of the real ones.
        groups: lesion or patient of each image of both sets.
        options: how.
        progress: called after each cell.

    Returns:
        For each cell a dict: scope, diagnosis, fst, n, n_real, and for each of :data:`NAMES` and ``fid_infinity`` a
        figure and its ``_floor``.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in features)
    codes = tuple(group_codes(side) for side in groups)
    rows = []
    for done, cell in enumerate(cells, 1):
        rows.append(
            _row(cell, (x[cell.synthetic], y[cell.real]), (codes[0][cell.synthetic], codes[1][cell.real]), options)
        )
        if progress is not None:
            progress(done, len(cells))
    return rows


def _row(
    cell: Cell, features: tuple[np.ndarray, np.ndarray], codes: tuple[np.ndarray, np.ndarray], options: DistanceOptions
) -> dict[str, Any]:
    head = {"scope": cell.scope, "diagnosis": cell.diagnosis, "fst": cell.fst}
    head |= {"n": len(features[0]), "n_real": len(features[1])}
    rng = stream(options.seed, f"distances {cell.scope} {cell.diagnosis} {cell.fst}")
    draws = [_draw(features, codes, rng) for _ in range(options.draws)]
    n = min(map(len, draws))
    if n < (2 if options.force and cell.scope == "all" else LEAST_GROUP):
        names = (*NAMES, "fid_infinity")
        return head | {f"{name}{end}": figure(None, n=n) for name in names for end in ("", "_floor")}
    return head | _distances(draws, n, rng, options)


def _draw(
    features: tuple[np.ndarray, np.ndarray], codes: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> Draw:
    (x, y), (x_codes, y_codes) = features, codes
    reference, held_out = group_halves(y_codes, rng)
    order = rng.permutation(len(x))
    return Draw(x[order], y[reference], y[held_out], x_codes[order], y_codes[reference])


def _distances(draws: Sequence[Draw], n: int, rng: np.random.Generator, options: DistanceOptions) -> dict[str, Any]:
    """Means over the draws; errors of the first one, floors with their spread."""
    with_fid = n >= least_images(draws[0].synthetic.shape[1]) or options.force
    pairs = min(n, options.most_pairs)
    values = np.array([_compare(d.synthetic[:n], d.reference[:n], pairs, with_fid, options) for d in draws])
    floors = np.array([_compare(d.held_out[:n], d.reference[:n], pairs, with_fid, options) for d in draws])
    known = _intervals(draws[0], n, pairs, with_fid, options)
    result = {}
    for i, name in enumerate(NAMES):
        count = n if name == "fid" else pairs
        result[name] = _with_interval(name, values[:, i].mean(), known.get(name), count)
        result[f"{name}_floor"] = _with_spread(name, floors[:, i], count)
    return result | _infinity(draws, n, known.get("fid_infinity"), rng)


def _compare(x: np.ndarray, y: np.ndarray, pairs: int, with_fid: bool, options: DistanceOptions) -> np.ndarray:
    """The figures of :data:`NAMES` of two samples of one size; the second is the real reference."""
    fid = _fid(x, y) if with_fid else math.nan
    kid = kernel_distance(x[:pairs], y[:pairs], force=True)
    if pairs <= options.neighbours:
        return np.array([fid, kid, *[math.nan] * 4])
    found = prdc(y[:pairs], x[:pairs], options.neighbours, force=True)
    return np.array([fid, kid, *(found[name] for name in NAMES[2:])])


def _fid(x: np.ndarray, y: np.ndarray) -> float:
    mean_x, cov_x, _ = gaussian_statistics(x)
    mean_y, cov_y, _ = gaussian_statistics(y)
    return frechet_distance(mean_x, cov_x, mean_y, cov_y)


def _intervals(draw: Draw, n: int, pairs: int, with_fid: bool, options: DistanceOptions) -> dict[str, Interval]:
    """Intervals of one draw; none where a set has fewer groups than blocks can be made of."""
    x, y, x_codes, y_codes = (
        a[:n] for a in (draw.synthetic, draw.reference, draw.synthetic_codes, draw.reference_codes)
    )
    if (
        min(len(np.unique(codes[:pairs])) for codes in (x_codes, y_codes)) < LEAST_BLOCKS
        or pairs <= 2 * options.neighbours
    ):
        return {}
    found: dict[str, Interval] = {}
    if with_fid:
        both = frechet_intervals(
            x, y, groups=x_codes, reference_groups=y_codes, blocks=_effort(x.shape[1]).blocks, seed=options.seed,
            force=options.force,
        )  # fmt: skip
        found["fid"] = both.at_n
        if both.at_infinity is not None:
            found["fid_infinity"] = both.at_infinity
    x, y, x_codes, y_codes = x[:pairs], y[:pairs], x_codes[:pairs], y_codes[:pairs]
    found["kid"] = kernel_interval(x, y, groups_x=x_codes, groups_y=y_codes, seed=options.seed, force=True)
    return found | prdc_intervals(
        y, x, options.neighbours, groups_real=y_codes, groups_synthetic=x_codes, draws=options.halves,
        seed=options.seed, force=True,
    )  # fmt: skip


def _infinity(draws: Sequence[Draw], n: int, interval: Interval | None, rng: np.random.Generator) -> dict[str, Any]:
    """The FID extrapolated to infinitely many images, where its interval can be formed at all."""
    if interval is None:
        return {"fid_infinity": figure(None, n=n), "fid_infinity_floor": figure(None, n=n)}
    effort = _effort(draws[0].synthetic.shape[1])
    options = {"draws": effort.smaller_sets, "force": True}
    few = draws[: effort.extrapolations]
    values = [frechet_infinity(d.synthetic[:n], d.reference[:n], rng, **options) for d in few]
    floors = [frechet_infinity(d.held_out[:n], d.reference[:n], rng, **options) for d in few]
    return {
        "fid_infinity": _with_interval("fid_infinity", float(np.mean(values)), interval, n),
        "fid_infinity_floor": _with_spread("fid_infinity", np.array(floors), n),
    }


def _with_interval(name: str, value: float, interval: Interval | None, n: int) -> dict[str, Any]:
    """A mean over draws with the interval of one draw about it."""
    if not math.isfinite(value) or interval is None:
        return figure(value, n=n)
    shift = value - interval.value
    return _bounded(name, value, interval.low + shift, interval.high + shift, n)


def _with_spread(name: str, values: np.ndarray, n: int) -> dict[str, Any]:
    """The mean of values of several draws with the range that 95 % of such draws fall in."""
    half = student_t_quantile(0.975, len(values) - 1) * float(values.std(ddof=1))
    return _bounded(name, float(values.mean()), values.mean() - half, values.mean() + half, n)


def _bounded(name: str, value: float, low: float, high: float, n: int) -> dict[str, Any]:
    """A figure whose interval stays in range; that of a share is at least as wide as Wilson's, which holds near 1."""
    if not math.isfinite(value):
        return figure(None, n=n)
    if name in ("fid", "density"):
        low = max(low, 0.0)
    if name in _SHARES:
        wilson = proportion_interval(min(value * n, n), n)
        low, high = max(0.0, min(low, wilson.low)), min(1.0, max(high, wilson.high))
    return figure(value, low, high, n)
