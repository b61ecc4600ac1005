"""Leaks: test lesions among the training images, test images among the synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthderm.models.copies import CopyDetector, CopyScores

from ..gain.checks import group_names, source_groups
from ..sets import ImageSet
from .copies import SURE, exceeds, share_figure
from .measured import Measured

NOT_CHECKED = {"checked": False, "reason": "no test set was given; give --test to look for leaks into it"}


def exact_pairs(first: Measured, second: Measured) -> list[dict[str, str]]:
    """Images of two sets that are the same pixel for pixel: [{name of the set: file, ...}]."""
    known = {digest: record.file for digest, record in zip(second.digests, second.images.records, strict=True)}
    return [
        {"file": record.file, "same_as": known[digest]}
        for digest, record in zip(first.digests, first.images.records, strict=True)
        if digest in known
    ]


def both_agree(detector: CopyDetector, scores: CopyScores) -> np.ndarray:
    """(N,) bool: near duplicates, by aligned detail and by perceptual hash at the detector's thresholds."""
    threshold, bits = detector.threshold, detector.hash_threshold
    if threshold is None or bits is None:
        return np.zeros(len(scores.scores), bool)
    return (scores.scores > threshold) & (scores.hash_distances < bits)


def near_pairs(images: ImageSet, other: ImageSet, scores: CopyScores, hits: np.ndarray) -> list[dict[str, Any]]:
    """Near duplicates with their partners, the most alike first."""
    order = [int(i) for i in np.argsort(-scores.scores, kind="stable") if hits[i]]
    return [
        {
            "file": images.records[i].file,
            "like": other.records[int(scores.nearest[i])].file,
            "score": round(float(scores.scores[i]), 4),
            "hash_bits": int(scores.hash_distances[i]),
        }
        for i in order
    ]


def shared_groups(train: ImageSet, test: ImageSet) -> list[str]:
    """Lesions or patients of both sets; names are compared within a data set, or as they are where its name differs."""
    full = (set(group_names(train.records)) & set(group_names(test.records))) - {None}
    if {r.dataset for r in train.records} & {r.dataset for r in test.records}:
        return sorted(str(name) for name in full)
    plain = {r.group for r in train.records} & {r.group for r in test.records}
    return sorted(str(name) for name in plain if name is not None)


def from_test(synthetic: ImageSet, test: ImageSet) -> list[str]:
    """Synthetic images whose rows say that they are made from a lesion or patient of the test set."""
    sources = source_groups(synthetic.records, test.records)
    return [record.file for record, found in zip(synthetic.records, sources, strict=True) if found]


def leakage_figures(
    sets: dict[str, Measured],
    detector: CopyDetector,
    hold_out: CopyScores,
    test_scores: CopyScores,
    synthetic_scores: CopyScores,
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The section of the result, what fails, and what is to be looked at.

    Args:
        sets: "synthetic", "train" and "test", measured.
        detector: of the training images, with its thresholds.
        hold_out: scores of the hold-out images.
        test_scores: test images against training images.
        synthetic_scores: synthetic images against test images.
    """
    synthetic, train, test = (sets[name] for name in ("synthetic", "train", "test"))
    hits = {
        "train_and_test": both_agree(detector, test_scores),
        "synthetic_and_test": both_agree(detector, synthetic_scores),
    }
    usual = int(both_agree(detector, hold_out).sum()), len(hold_out.scores)
    body = {
        "shared_groups": shared_groups(train.images, test.images),
        "synthetic_from_test_groups": from_test(synthetic.images, test.images),
        "exact_train_and_test": exact_pairs(test, train),
        "exact_synthetic_and_test": exact_pairs(synthetic, test),
        "near_train_and_test": near_pairs(test.images, train.images, test_scores, hits["train_and_test"]),
        "near_synthetic_and_test": near_pairs(
            synthetic.images, test.images, synthetic_scores, hits["synthetic_and_test"]
        ),
    }
    chance = {name: exceeds(int(values.sum()), len(values), *usual) for name, values in hits.items()}
    shares = {name: share_figure(values, p_value=chance[name]) for name, values in hits.items()}
    failed = [_told(name, body[name]) for name in list(body)[:4] if body[name]]
    look: list[str] = []
    for name, p_value in chance.items():
        pairs = body[f"near_{name}"]
        if pairs:
            (failed if p_value < SURE else look).append(_told(f"near_{name}", pairs))
    return (
        {**body, "near_shares": {**shares, "among_hold_out_images": {"found": usual[0], "of": usual[1]}}},
        failed,
        look,
    )


_WORDS = {
    "shared_groups": "lesions or patients are in both the training and the test set",
    "synthetic_from_test_groups": "synthetic images say that they are made from test lesions or patients",
    "exact_train_and_test": "test images are training images, pixel for pixel",
    "exact_synthetic_and_test": "synthetic images are test images, pixel for pixel",
    "near_train_and_test": "test images are nearly a training image",
    "near_synthetic_and_test": "synthetic images are nearly a test image",
}


def _told(name: str, found: Sequence[Any]) -> str:
    shown = [item["file"] if isinstance(item, dict) else str(item) for item in found[:3]]
    return f"{len(found)} {_WORDS[name]}: {', '.join(shown)}{', ...' if len(found) > 3 else ''}"
