"""Real images that the training set does not know: what the copy threshold is set on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from synthderm.core import InputError
from synthderm.data import split_by_group

from ..sets import ImageSet, label_of
from .options import AuditOptions

MADE = "held_out"


@dataclass(frozen=True)
class RealParts:
    """The real set in two parts that share no lesion or patient.

    Attributes:
        train: every real image that a synthetic one may be a copy of.
        compared: indices into ``train`` of the images that the hold-out images are compared with: all but themselves.
        hold_out: the images that the threshold is set on.
        origin: where they come from, in words.
        shared_groups: hold-out images left out because their lesion or patient is among ``compared``.
        excluded: hold-out images left out by name.
    """

    train: ImageSet
    compared: tuple[int, ...]
    hold_out: ImageSet
    origin: str
    shared_groups: int
    excluded: int


def part_real(real: ImageSet, train_split: str | None, hold_out_split: str | None, options: AuditOptions) -> RealParts:
    """Part a real set by its split column, or by lesion or patient.

    With a named split the training images are the rest of the set (or ``train_split`` of it). Without one a share of
    the groups is held out to set the threshold; synthetic images are then compared with all real images, theirs too.

    Raises:
        InputError: for a split that the set does not have, an excluded name that is no hold-out image, or parts
            without images.
    """
    if hold_out_split is None:
        return _made(_of_split(real, train_split), options)
    train = [i for i, r in enumerate(real.records) if r.split != hold_out_split and train_split in (None, r.split)]
    held = [i for i, r in enumerate(real.records) if r.split == hold_out_split]
    if not train or not held:
        has = ", ".join(sorted({str(r.split) for r in real.records}))
        raise InputError(
            f"{real.name} cannot be parted by the split {hold_out_split!r}: it has {has}; name another "
            "--hold-out-split or none, and a share of the lesions or patients is held out"
        )
    known = {real.groups[i] for i in train}
    apart = [i for i in held if real.groups[i] not in known]
    chosen, excluded = _without(real, apart, options.hold_out_exclude)
    return RealParts(
        real.subset(train),
        tuple(range(len(train))),
        real.subset(chosen, f"{real.name}, {hold_out_split}"),
        f"the split {hold_out_split!r}",
        len(held) - len(apart),
        excluded,
    )


def _of_split(real: ImageSet, split: str | None) -> ImageSet:
    if split is None:
        return real
    chosen = [i for i, record in enumerate(real.records) if record.split == split]
    if not chosen:
        has = ", ".join(sorted({str(r.split) for r in real.records}))
        raise InputError(f"{real.name} has no split {split!r}; it has {has}")
    return real.subset(chosen)


def _made(real: ImageSet, options: AuditOptions) -> RealParts:
    fractions = {MADE: options.hold_out_share, "train": 1 - options.hold_out_share}
    parts = split_by_group(real.records, fractions, options.seed, lambda record: label_of(record, real.label_by))
    held = {id(record) for record in parts[MADE]}
    inside = [i for i, record in enumerate(real.records) if id(record) in held]
    chosen, excluded = _without(real, inside, options.hold_out_exclude)
    compared = tuple(i for i, record in enumerate(real.records) if id(record) not in held)
    if not compared or not chosen:
        raise InputError(f"{real.name} has too few lesions or patients to hold some out: {len(set(real.groups))}")
    origin = f"{options.hold_out_share:.0%} of the lesions or patients of {real.name}, drawn with seed {options.seed}"
    return RealParts(real, compared, real.subset(chosen, f"{real.name}, held out"), origin, 0, excluded)


def _without(real: ImageSet, indices: list[int], names: tuple[str, ...]) -> tuple[list[int], int]:
    unwanted = {PurePosixPath(name).stem for name in names}
    stems = {i: PurePosixPath(real.records[i].file).stem for i in indices}
    strange = unwanted - set(stems.values())
    if strange:
        raise InputError(f"{sorted(strange)[0]!r} is to be excluded from the hold-out images, but is none of them")
    kept = [i for i in indices if stems[i] not in unwanted]
    return kept, len(indices) - len(kept)


def with_floor(options: AuditOptions, n: int) -> AuditOptions:
    """The options with a rate that n hold-out images allow, if ``force`` is set; else as they are."""
    finest = 1 / (n + 1)
    return replace(options, false_alarm_rate=finest) if options.force and options.false_alarm_rate < finest else options
