"""Distances of two sets of features, beside what two halves of the real set give at the same number of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthderm.core import InputError, stream
from synthderm.functional.bootstrap import proportion_interval
from synthderm.functional.frechet import frechet_distance, frechet_infinity, gaussian_statistics
from synthderm.functional.kernel_distance import kernel_distance
from synthderm.functional.neighbours import prdc

from ..result import LEAST_GROUP, figure
from .cells import Cell
from .draws import Z_95, group_codes, group_halves, half_sample_error

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
        halves: half-samples for the intervals.
        neighbours: k of precision, recall, density and coverage.
        most_pairs: images of each side, at most, for figures whose cost grows with pairs of images (all but the FID).
        infinity_factor: a FID is extrapolated where both sides have so many times as many images as features.
        force: give a FID also where there are too few images for one.
        seed: of all draws.
    """

    draws: int = 10
    halves: int = 40
    neighbours: int = 5
    most_pairs: int = 5000
    infinity_factor: int = 2
    force: bool = False
    seed: int = 0


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


def least_images(num_features: int) -> int:
    """Images that a FID of so many features needs on each side."""
    return num_features + 1


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
    return head | _distances(draws, n, rng, options) | _infinity(draws, n, rng, options)


def _draw(
    features: tuple[np.ndarray, np.ndarray], codes: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> Draw:
    (x, y), (x_codes, y_codes) = features, codes
    reference, held_out = group_halves(y_codes, rng)
    order = rng.permutation(len(x))
    return Draw(x[order], y[reference], y[held_out], x_codes[order], y_codes[reference])


def _distances(draws: Sequence[Draw], n: int, rng: np.random.Generator, options: DistanceOptions) -> dict[str, Any]:
    with_fid = n >= least_images(draws[0].synthetic.shape[1]) or options.force

    def compare(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _compare(x, y, options, with_fid)

    values = np.array([compare(d.synthetic[:n], d.reference[:n]) for d in draws])
    floors = np.array([compare(d.held_out[:n], d.reference[:n]) for d in draws])
    counts = np.array([n if name == "fid" else min(n, options.most_pairs) for name in NAMES])
    first, few = draws[0], min(n, options.most_pairs)
    errors = half_sample_error(
        lambda a, b: compare(first.synthetic[a], first.reference[b]),
        first.synthetic_codes[:few], first.reference_codes[:few], rng, options.halves,
    ) * np.sqrt(few / counts)  # fmt: skip
    spread = floors.std(0, ddof=1)
    result = {}
    for i, name in enumerate(NAMES):
        result[name] = _figure(name, values[:, i].mean(), errors[i], int(counts[i]))
        result[f"{name}_floor"] = _figure(name, floors[:, i].mean(), spread[i], int(counts[i]))
    return result


def _compare(x: np.ndarray, y: np.ndarray, options: DistanceOptions, with_fid: bool) -> np.ndarray:
    """The figures of :data:`NAMES` of two samples at their common n; the second is the real reference."""
    n = min(len(x), len(y))
    fid = _fid(x[:n], y[:n]) if with_fid and n > 1 else math.nan
    pairs = min(n, options.most_pairs)
    kid = kernel_distance(x[:pairs], y[:pairs]) if pairs > 1 else math.nan
    if pairs <= options.neighbours:
        return np.array([fid, kid, *[math.nan] * 4])
    found = prdc(y[:pairs], x[:pairs], k=options.neighbours)
    return np.array([fid, kid, *(found[name] for name in NAMES[2:])])


def _fid(x: np.ndarray, y: np.ndarray) -> float:
    mean_x, cov_x, _ = gaussian_statistics(x)
    mean_y, cov_y, _ = gaussian_statistics(y)
    return frechet_distance(mean_x, cov_x, mean_y, cov_y)


def _infinity(draws: Sequence[Draw], n: int, rng: np.random.Generator, options: DistanceOptions) -> dict[str, Any]:
    """FID extrapolated to infinitely many synthetic images, against half of all real ones; its floor likewise."""
    if n < options.infinity_factor * least_images(draws[0].synthetic.shape[1]):
        return {"fid_infinity": figure(None, n=n), "fid_infinity_floor": figure(None, n=n)}
    few, first = draws[: max(2, options.draws // 4)], draws[0]
    values = [frechet_infinity(d.synthetic, d.reference, rng) for d in few]
    floors = [frechet_infinity(d.held_out, d.reference, rng) for d in few]
    error = half_sample_error(
        lambda a, b: np.array([frechet_infinity(first.synthetic[a], first.reference[b], rng)]),
        first.synthetic_codes, first.reference_codes, rng, max(8, options.halves // 4),
    )  # fmt: skip
    sizes = [min(len(getattr(d, part)) for d in few) for part in ("synthetic", "held_out", "reference")]
    extra = {"n_real": sizes[2]}
    return {
        "fid_infinity": _figure("fid_infinity", np.mean(values), error[0], sizes[0]) | extra,
        "fid_infinity_floor": _figure("fid_infinity", np.mean(floors), np.std(floors, ddof=1), sizes[1]) | extra,
    }


def _figure(name: str, value: float, error: float, n: int) -> dict[str, Any]:
    """A figure; the interval of a share is at least as wide as Wilson's, which also holds near 0 and 1."""
    if not math.isfinite(value):
        return figure(None, n=n)
    low, high = value - Z_95 * error, value + Z_95 * error
    if name in ("fid", "density"):
        low = max(low, 0.0)
    if name in _SHARES:
        wilson = proportion_interval(value * n, n)
        low, high = max(0.0, min(low, wilson.low)), min(1.0, max(high, wilson.high))
    return figure(value, low, high, n)
