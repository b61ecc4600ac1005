"""Which images every run of an experiment draws, worked out before the first one starts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthderm.core import InputError, image_seed, stream
from synthderm.data import Record, split_by_group

from .arms import (
    HEAVY,
    MATCHED,
    REAL,
    REPLAY,
    SYNTHETIC_ONLY,
    Arm,
    balanced_counts,
    class_counts,
    dose,
    is_balanced,
    make_arms,
    proportional_order,
    resample,
)
from .config import GainConfig


@dataclass(frozen=True)
class Run:
    """One network to train.

    Attributes:
        n_real: real images that the arm may see.
        arm: the arm.
        seed: number of the repetition, from 0.
        training_seed: of first weights, order and augmentation; the same for every arm of a repetition.
        pool: (M,) int64 indices to draw from; real images count from 0, synthetic ones go on after them.
        validation: (V,) int64 indices of real images for choosing the checkpoint.
        n_train: real training images of the repetition.
    """

    n_real: int
    arm: Arm
    seed: int
    training_seed: int
    pool: np.ndarray = field(repr=False)
    validation: np.ndarray = field(repr=False)
    n_train: int

    @property
    def name(self) -> str:
        """File name without ending: "n500_real+synthetic@1_seed0"."""
        ratio = "" if self.arm.ratio is None else f"@{self.arm.ratio:g}"
        return f"n{self.n_real}_{self.arm.kind}{ratio}_seed{self.seed}"

    @property
    def digest(self) -> str:
        """Changes with any image that is drawn or validated on."""
        parts = (self.pool.astype("<i8").tobytes(), self.validation.astype("<i8").tobytes(), str(self.training_seed))
        return hashlib.sha256(b"|".join(p if isinstance(p, bytes) else p.encode() for p in parts)).hexdigest()[:16]

    def to_message(self) -> dict[str, Any]:
        """JSON values for a worker process."""
        return {
            "n_real": self.n_real,
            "arm": [self.arm.kind, self.arm.ratio],
            "seed": self.seed,
            "training_seed": self.training_seed,
            "pool": self.pool.tolist(),
            "validation": self.validation.tolist(),
            "n_train": self.n_train,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Run:
        """The run of :meth:`to_message`."""
        indices = {name: np.asarray(message[name], np.int64) for name in ("pool", "validation")}
        return cls(**{**message, **indices, "arm": Arm(*message["arm"])})


@dataclass(frozen=True)
class Stock:
    """What there is to draw from.

    Attributes:
        records: of the real training images.
        labels: (N,) int64 labels of the real training images, in [0, classes).
        synthetic_labels: (M,) int64.
        sources: for each synthetic image the real groups that it is made from.
        classes: names.
    """

    records: Sequence[Record]
    labels: np.ndarray
    synthetic_labels: np.ndarray
    sources: Sequence[frozenset[str]]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """The real images of one repetition at one size, and the synthetic ones that may join them."""

    n_real: int
    seed: int
    training_seed: int
    train: np.ndarray
    validation: np.ndarray
    synthetic: np.ndarray
    """Indices of synthetic images, in the order in which doses take them."""


def plan_runs(config: GainConfig, stock: Stock) -> list[Run]:
    """Every run of the experiment, seed by seed.

    Raises:
        InputError: if there are too few real or synthetic images, or a class has no training image.
    """
    sizes = sorted(set(config.n_real)) or [len(stock.records)]
    parts = [part for seed in range(config.seeds) for part in _parts(config, stock, sizes, seed)]
    arms = make_arms(config.arms, config.ratios)
    for part in sorted(parts, key=lambda part: -part.n_real):
        for arm in arms:
            _check_dose(arm, part, stock)
    arms = make_arms(config.arms, config.ratios, _unbalanced_ratios(arms, parts, stock))
    return [_run(arm, part, stock) for part in parts for arm in arms]


def _parts(config: GainConfig, stock: Stock, sizes: Sequence[int], seed: int) -> list[Part]:
    """The real subsets of one repetition: the smaller is contained in the larger, in either part."""
    training_seed = image_seed(config.seed, seed)
    groups = ["/".join(record.group_key) for record in stock.records]
    order = {}
    for name, members in _sides(config, stock, training_seed).items():
        rng = stream(training_seed, f"gain {name} images")
        order[name] = members[nested_order(stock.labels[members], [groups[i] for i in members], rng)]
    parts = []
    for n_real in sizes:
        if n_real > len(stock.records):
            raise InputError(
                f"expected at least {n_real} real training images, got {len(stock.records)}; lower --n-real"
            )
        wanted = min(round(config.validation * n_real), len(order["validation"]))
        n_train = min(n_real - wanted, len(order["train"]))
        train, validation = order["train"][:n_train], order["validation"][: n_real - n_train]
        _check_every_class(stock, train, n_real)
        allowed = _allowed(stock.sources, {groups[i] for i in train})
        rng = stream(training_seed, "gain synthetic images")
        synthetic = allowed[proportional_order(stock.synthetic_labels[allowed], rng)]
        parts.append(Part(n_real, seed, training_seed, train, validation, synthetic))
    return parts


def _sides(config: GainConfig, stock: Stock, seed: int) -> dict[str, np.ndarray]:
    """Indices of the real images on the training and on the validation side; no group is on both."""
    if config.validation == 0:
        return {"train": np.arange(len(stock.records)), "validation": np.empty(0, np.int64)}
    index = {id(record): i for i, record in enumerate(stock.records)}
    fractions = {"train": 1 - config.validation, "validation": config.validation}
    sides = split_by_group(stock.records, fractions, seed, stratify=lambda record: stock.labels[index[id(record)]])
    return {name: np.array([index[id(record)] for record in records], np.int64) for name, records in sides.items()}


def nested_order(labels: np.ndarray, groups: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """A random order of images that keeps groups together and of which every beginning has about the class shares.

    A beginning of any length is a stratified draw by group, and the shorter is contained in the longer.

    Args:
        labels: (N,) int.
        groups: of each image.
        rng: the only source of chance.

    Returns:
        (N,) int64 indices.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    strata: dict[int, list[str]] = defaultdict(list)
    for group, images in members.items():
        strata[int(labels[images[0]])].append(group)
    place = {}
    for names in strata.values():
        names = [names[i] for i in rng.permutation(len(names))]
        sizes = np.array([len(members[name]) for name in names])
        before = np.cumsum(sizes) - sizes
        place.update(zip(names, (before + rng.random()) / sizes.sum(), strict=True))
    ties = dict(zip(members, rng.random(len(members)), strict=True))
    ordered = sorted(members, key=lambda group: (place[group], ties[group]))
    return np.array([i for group in ordered for i in members[group]], np.int64)


def _allowed(sources: Sequence[frozenset[str]], training_groups: set[str]) -> np.ndarray:
    """Synthetic images that are made from nothing, or from lesions of the training part only."""
    return np.array([i for i, found in enumerate(sources) if found <= training_groups], np.int64)


def _check_every_class(stock: Stock, train: np.ndarray, n_real: int) -> None:
    missing = sorted(set(range(len(stock.classes))) - set(stock.labels[train].tolist()))
    if missing:
        names = ", ".join(stock.classes[i] for i in missing)
        raise InputError(
            f"expected training images of every class at n_real {n_real}, got none of {names}; "
            "use a larger --n-real or leave the class out"
        )


def _check_dose(arm: Arm, part: Part, stock: Stock) -> None:
    wanted = dose(arm, len(part.train))
    if not arm.uses_synthetic or wanted <= len(part.synthetic):
        return
    excluded = len(stock.synthetic_labels) - len(part.synthetic)
    why = f" ({excluded} more are made from images outside the training part)" if excluded else ""
    raise InputError(
        f"expected at least {wanted} synthetic images for ratio {arm.ratio:g} at n_real {part.n_real} "
        f"({len(part.train)} real training images), got {len(part.synthetic)}{why}; "
        "make more, or lower --ratios or --n-real"
    )


def _unbalanced_ratios(arms: Sequence[Arm], parts: Sequence[Part], stock: Stock) -> set[float]:
    """Ratios at which a synthetic dose is not class-balanced in some repetition."""
    return {
        arm.ratio
        for arm in arms
        for part in parts
        if arm.uses_synthetic and not is_balanced(_drawn_labels(arm, part, stock), len(stock.classes))
    }


def _drawn_labels(arm: Arm, part: Part, stock: Stock) -> np.ndarray:
    return stock.synthetic_labels[part.synthetic[: dose(arm, len(part.train))]]


def _run(arm: Arm, part: Part, stock: Stock) -> Run:
    added = _added(arm, part, stock)
    pool = added if arm.kind == SYNTHETIC_ONLY else np.concatenate([part.train, added])
    return Run(part.n_real, arm, part.seed, part.training_seed, pool, part.validation, len(part.train))


def _added(arm: Arm, part: Part, stock: Stock) -> np.ndarray:
    """What the arm draws beside the real training images."""
    if arm.kind in (REAL, HEAVY):
        return np.empty(0, np.int64)
    amount = dose(arm, len(part.train))
    if arm.uses_synthetic:
        return len(stock.records) + part.synthetic[:amount]
    rng = stream(part.training_seed, f"gain {arm.kind}")
    labels = stock.labels[part.train]
    if arm.kind == REPLAY:
        counts = balanced_counts(amount, sorted(class_counts(labels)), rng)
    else:
        assert arm.kind == MATCHED
        counts = class_counts(_drawn_labels(arm, part, stock))
    return part.train[resample(labels, counts, rng)]
