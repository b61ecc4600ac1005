"""The arms of the gain protocol, and which images each may draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from synthderm.core import InputError
from synthderm.core.checks import unknown

REAL = "real"
REPLAY = "real+replay"
MATCHED = "real+replay-matched"
SYNTHETIC = "real+synthetic"
SYNTHETIC_ONLY = "synthetic"
HEAVY = "real+heavy-aug"

ARMS = (REAL, REPLAY, SYNTHETIC, SYNTHETIC_ONLY, HEAVY)
"""What can be asked for; :data:`MATCHED` is added where the synthetic dose is not class-balanced."""

BALANCE_TOLERANCE = 0.05
"""A dose is class-balanced if no class is further from its equal share than this."""

_DOSED = (REPLAY, MATCHED, SYNTHETIC, SYNTHETIC_ONLY)


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        kind: one of :data:`ARMS`, or :data:`MATCHED`.
        ratio: added images for each real training image; None for arms that add none.
    """

    kind: str
    ratio: float | None = None

    @property
    def name(self) -> str:
        """Name in results, such as "real+synthetic@0.5"; there is one "synthetic", whatever its ratio."""
        return self.kind if self.ratio is None or self.kind == SYNTHETIC_ONLY else f"{self.kind}@{self.ratio:g}"

    @property
    def uses_synthetic(self) -> bool:
        """Whether it draws synthetic images."""
        return self.kind in (SYNTHETIC, SYNTHETIC_ONLY)


def make_arms(kinds: Iterable[str], ratios: Sequence[float], matched: Iterable[float] = ()) -> list[Arm]:
    """The arms of a plan, in the order of :data:`ARMS`.

    Args:
        kinds: which are asked for.
        ratios: doses; ``synthetic`` is given the largest.
        matched: ratios at which the replay with the synthetic dose's own class counts is needed too.

    Raises:
        InputError: for an unknown arm or a ratio that is not positive.
    """
    kinds, matched = list(dict.fromkeys(kinds)), set(matched)
    for kind in kinds:
        if kind not in ARMS:
            raise unknown("arm", kind, ARMS)
    if not ratios or min(ratios) <= 0:
        raise InputError(f"expected ratios above 0, got {list(ratios)}; give for example --ratios 0.5,1,2")
    ratios = sorted(set(ratios))
    doses = {REPLAY: ratios, SYNTHETIC: ratios, SYNTHETIC_ONLY: ratios[-1:]}
    arms = [Arm(kind, ratio) for kind in ARMS if kind in kinds for ratio in doses.get(kind, [None])]
    if REPLAY in kinds:
        arms += [Arm(MATCHED, ratio) for ratio in ratios if ratio in matched]
    return arms


def dose(arm: Arm, n_train: int) -> int:
    """Images that the arm adds to (or, for ``synthetic``, takes in place of) ``n_train`` real ones."""
    return round(arm.ratio * n_train) if arm.kind in _DOSED else 0


def proportional_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of which every beginning has the class shares of the whole, to within an image per class.

    Args:
        labels: (N,) int.
        rng: the only source of chance.

    Returns:
        (N,) int64 indices.
    """
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.lexsort((rng.random(len(labels)), place))


def balanced_counts(total: int, classes: Sequence[int], rng: np.random.Generator) -> dict[int, int]:
    """``total`` images shared out evenly; which classes get one more is drawn."""
    order = rng.permutation(np.asarray(classes))
    each, more = divmod(total, len(order))
    return {int(label): each + (i < more) for i, label in enumerate(order)}


def resample(labels: np.ndarray, counts: dict[int, int], rng: np.random.Generator) -> np.ndarray:
    """So many images of each class, each image of a class as often as any other (to within one).

    Args:
        labels: (N,) int.
        counts: images wanted, by label.
        rng: the only source of chance.

    Returns:
        Indices in [0, N) with repeats.

    Raises:
        InputError: if a class is wanted that has no image.
    """
    chosen = []
    for label in sorted(counts):
        members = np.flatnonzero(labels == label)
        if counts[label] and not len(members):
            raise InputError(
                f"expected training images of class number {label} to replay, got none; use a larger n_real"
            )
        rounds = -(-counts[label] // max(1, len(members)))
        drawn = [rng.permutation(members) for _ in range(rounds)]
        chosen.append(np.concatenate([*drawn, members[:0]])[: counts[label]])
    return rng.permutation(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def class_counts(labels: np.ndarray) -> dict[int, int]:
    """Images of each label that occurs."""
    found, counts = np.unique(labels, return_counts=True)
    return {int(label): int(count) for label, count in zip(found, counts, strict=True)}


def is_balanced(labels: np.ndarray, classes: int, tolerance: float = BALANCE_TOLERANCE) -> bool:
    """Whether every one of ``classes`` has its equal share of ``labels``, within the tolerance."""
    shares = np.bincount(labels, minlength=classes) / max(1, len(labels))
    return bool(np.abs(shares - 1 / classes).max() <= tolerance + 1e-9)
