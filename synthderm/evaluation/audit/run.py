"""An audit from folders to ``audit.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthderm.data.records import RealSet
from synthderm.models.copies import CopyDetector
from synthderm.models.features import FeatureExtractor, load_extractor

from ..result import read_result, write_result
from ..sets import ImageSet, open_set, require_one_size
from .copies import SURE, CopySearch, calibrate, copy_figures
from .hold_out import RealParts, part_real
from .leakage import NOT_CHECKED, exact_pairs, leakage_figures
from .measured import Measured, Report
from .options import AuditOptions
from .pictures import write_pairs
from .shortcut import how_to_look, shortcut_figures
from .watermark import watermark_figures

Source = str | Path | RealSet | ImageSet

PROTOCOL = (
    "Copies: every synthetic image against every training image; candidates by whitened 24 px views of 35 crops and 8 "
    "turns, the score is the correlation of the detail at 32 px after the best turn, crop and shift, less what is "
    "usual among the candidates. The threshold is set on real images of other lesions or patients at the stated "
    "false-alarm rate, as are those of the perceptual hash and of the feature distance that stand beside it. Found are "
    "copies after re-encoding, recolouring, blur, noise, resizing, flips, quarter turns and crops down to about half "
    "of the area; not found are other rotations. Shortcut: linear discriminant analysis on colour and edges of corners "
    "and frame, cross-validated by lesion or patient, macro AUC one against the rest with a bootstrap interval over "
    "groups, for the synthetic and the real set. Leakage: groups, pixels and near duplicates (aligned detail and hash "
    "both beyond their thresholds) across training, test and synthetic images. Shares have Wilson intervals, 95 %."
)


def audit(
    synthetic: Source,
    train: Source,
    output: str | Path,
    *,
    test: Source | None = None,
    train_split: str | None = None,
    hold_out_split: str | None = None,
    test_split: str | None = None,
    extractor: str | FeatureExtractor | None = "derm",
    size: int | None = None,
    label_by: str = "diagnosis",
    options: AuditOptions | None = None,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Is a set of synthetic images honest?

    Args:
        synthetic: folder, zip file or set.
        train: the real images that its generator has seen, or may have seen.
        output: folder for ``audit.json`` and the pictures of the most alike pairs.
        test: real images that a classifier will be tested on; without them leaks are not looked for.
        train_split: only this split of ``train`` is training images.
        hold_out_split: the split of ``train`` that sets the copy threshold; by default a share of its groups does.
        test_split: only this split of ``test``.
        extractor: of the feature distance; a name of :func:`~synthderm.models.features.load_extractor`, an extractor,
            or None for none.
        size: side that every image is brought to, px; needed where sizes differ.
        label_by: where labels come from; see :func:`~synthderm.evaluation.sets.open_set`.
        options: everything else.
        progress: told what is being done.

    Returns:
        The content of ``audit.json``; ``["figures"]["verdict"]`` is "pass", "warn" or "fail".

    Raises:
        InputError: for sets that cannot be read, differ in size, or are too small: the threshold needs at least
            1 / rate - 1 hold-out images (99 at a rate of 1 %), shares need 30 images, a class of the shortcut ten
            lesions or patients; and for features that are not finite.
    """
    options = options or AuditOptions()
    network = load_extractor(extractor) if isinstance(extractor, str) else extractor
    judged, real = _open(synthetic, size, label_by), _open(train, size, label_by)
    tested = None if test is None else _open(test, size, label_by, test_split)
    require_one_size(*(images for images in (judged, real, tested) if images is not None))
    parts = part_real(real, train_split, hold_out_split, options)
    how = how_to_look(judged, parts.train)

    measured = {
        "train": Measured(parts.train, network, how[0], progress),
        "synthetic": Measured(judged, network, how[0], progress),
    }
    full = CopyDetector.fit(measured["train"].batches(options.batch_size))
    hold = Measured(parts.hold_out, network, None, progress)
    search = _search(full, hold, measured["synthetic"], parts, options)
    features = {"hold_out": hold.features} | {name: values.features for name, values in measured.items()}
    exact = exact_pairs(measured["synthetic"], measured["train"])
    copies = copy_figures(search, parts, len(exact), features)
    copies |= _copy_files(search, judged, parts, exact, Path(output))
    shortcut = shortcut_figures(measured["synthetic"], measured["train"], how, options.resamples, options.seed)
    leakage, failed, look = _leakage(tested, measured, search, progress)
    failed, look = _judged(copies, shortcut, failed, look)
    figures = {
        "verdict": "fail" if failed else "warn" if look else "pass",
        "reasons": failed + look,
        "copies": copies,
        "shortcut": shortcut,
        "leakage": leakage,
        "watermark": watermark_figures(judged),
    }
    sets = {"synthetic": judged, "train": parts.train, "hold_out": parts.hold_out, "test": tested}
    context = {
        "sets": {name: images.describe() for name, images in sets.items() if images is not None},
        "extractor": None if network is None else _described(network),
        "options": {**options.describe(), "size": size, "label_by": label_by},
    }
    write_result(output, "audit", figures, protocol=PROTOCOL, context=context)
    return read_result(output, "audit") or {}


def _open(given: Source, size: int | None, label_by: str, split: str | None = None) -> ImageSet:
    if isinstance(given, ImageSet):
        return given
    if label_by == "diagnosis":  # no image is left out of the search for copies for its label
        label_by = "diagnosis or label"
    return open_set(given, size=size, label_by=label_by, split=split, tone_from="stated")


def _described(network: FeatureExtractor) -> dict[str, Any]:
    describe = getattr(network, "describe", None)
    return describe() if describe else {"name": type(network).__name__, "num_features": network.num_features}


def _search(
    full: CopyDetector, hold: Measured, synthetic: Measured, parts: RealParts, options: AuditOptions
) -> CopySearch:
    """Calibrate on the hold-out images, then judge the synthetic ones."""
    detector, hold_out = calibrate(full, parts, options, hold.batches(options.batch_size))
    return CopySearch(detector, hold_out, detector.score(synthetic.batches(options.batch_size)), options)


def _copy_files(
    search: CopySearch, judged: ImageSet, parts: RealParts, exact: list[dict[str, str]], folder: Path
) -> dict[str, Any]:
    """The files behind the figures: flagged ones, exact ones, and the most alike pairs with their pictures."""
    found, hold_out, most = search.synthetic, search.hold_out, search.options.pairs
    order = np.argsort(-found.scores, kind="stable")
    above = hold_out.scores > (search.detector.threshold or 0)
    return {
        "files": [judged.records[i].file for i in order if found.is_copy[i]],
        "exact_files": exact,
        "pairs": write_pairs(folder, "copy", (judged, parts.train), found, found.is_copy, most),
        "hold_out_pairs": write_pairs(
            folder, "hold_out", (parts.hold_out, parts.train), hold_out, above, (most + 1) // 2, ("hold_out", "train")
        ),
    }


def _leakage(
    tested: ImageSet | None, measured: dict[str, Measured], search: CopySearch, progress: Report | None
) -> tuple[dict[str, Any], list[str], list[str]]:
    if tested is None:
        return dict(NOT_CHECKED), [], []
    detector, batch_size = search.detector, search.options.batch_size
    test = Measured(tested, report=progress)
    of_test = CopyDetector.fit(test.batches(batch_size))
    test_scores = detector.score(tested.batches(batch_size))
    synthetic_scores = of_test.score(measured["synthetic"].images.batches(batch_size))
    sets = {**measured, "test": test}
    return leakage_figures(sets, detector, search.hold_out, test_scores, synthetic_scores)


def _judged(
    copies: dict[str, Any], shortcut: dict[str, Any], failed: list[str], look: list[str]
) -> tuple[list[str], list[str]]:
    """What fails and what is to be looked at, of all sections."""
    failed, look = list(failed), list(look)
    share, rate = copies["share"], copies["false_alarm_rate"]
    if copies["exact"]:
        failed.append(f"{copies['exact']} synthetic images are training images, pixel for pixel")
    sure, low = copies["p_value"] < SURE, share["interval"][0] if share["interval"] else 0.0
    if share["count"] and (sure or low > rate):
        (failed if sure else look).append(
            f"{share['count']} of {share['n']} synthetic images look like copies of training images, at a false-alarm "
            f"rate of {rate:.2g} set on {copies['hold_out_n']} hold-out images (p = {copies['p_value']:.2g})"
        )
    elif share["count"] and share["interval"] is None:
        look.append(f"{share['count']} of {share['n']} synthetic images look like copies; too few images for a share")
    if shortcut["flagged"]:
        value = shortcut["synthetic"]["value"]
        text = f"the background alone tells the class: AUC {value:.2f}"
        (failed if value > 0.9 else look).append(text)
    if shortcut["flagged"] is None:
        look.append("the shortcut could not be checked: fewer than two classes with ten lesions or patients each")
    return failed, look
