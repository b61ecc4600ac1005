"""A quality run from two folders to ``quality.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthderm.models.features import FeatureExtractor, load_extractor

from ..result import read_result, write_result
from .class_section import class_section, require_classifier
from .columns import feature_column
from .distances import BIAS, distance_rows
from .mask_section import MaskJudge
from .options import QualityOptions
from .pictures import NEIGHBOURS, SHEET, class_sheet, neighbour_sheet, save_pictures
from .subjects import Source, StepProgress, Subjects, open_real, open_synthetic, type_column, with_types
from .tone import tone_column, tone_figures

PROTOCOL = (
    "Synthetic against real images in the feature space of one network, float64 statistics. Every distance compares n "
    "synthetic with n real images and stands beside its floor: n further real images against the same n, the two real "
    "parts sharing no lesion or patient. Values and floors are means over several such draws. Intervals are 95 %: of a "
    "distance by leaving out blocks of whole lesions or patients (drawing with replacement would repeat images), of a "
    "floor the range of its draws; of shares by Wilson with lesions or patients counted once; of means over groups. "
    f"On n: {BIAS}; hence the floor at the same n and the extrapolation to infinite n (Chong and Forsyth 2020). Cells "
    "with fewer than 30 images in any of the three parts are insufficient. Class fidelity: classifiers trained on real "
    "images judge synthetic images and real images of lesions or patients they have not seen. Tone: ITA of the median "
    "colour of healthy skin against the requested band. Masks: CIEDE2000 across the outline, and Dice against a "
    "segmenter that was trained on real masks."
)


def quality(
    synthetic: Source,
    real: Source,
    output: str | Path,
    *,
    extractor: str | FeatureExtractor = "derm",
    size: int | None = None,
    label_by: str = "diagnosis",
    real_split: str | None = None,
    progress: StepProgress | None = None,
    options: QualityOptions | None = None,
) -> dict[str, Any]:
    """Does a set of synthetic images look real, is it diverse, and does it show what was asked for?

    Args:
        synthetic: folder, zip file or set.
        real: folder, zip file or set; lesions or patients are its groups.
        output: folder for ``quality.json``, its pictures, and what later runs need not measure again.
        extractor: name of a feature extractor, see :func:`~synthderm.models.features.load_extractor`, or one.
        size: side that every image is brought to, px; needed where sizes differ.
        label_by: where labels come from; see :func:`~synthderm.evaluation.sets.open_set`.
        real_split: only this split of the real set.
        progress: told what is being done.
        options: everything else.

    Returns:
        The content of ``quality.json``.

    Raises:
        InputError: for sets that are too small, share no class, differ in size or lack masks that are required, for
            a network that cannot be made, and for features that are not finite.
    """
    network = load_extractor(extractor) if isinstance(extractor, str) else extractor
    sets = open_synthetic(synthetic, size, label_by), *open_real(real, size, label_by, real_split)
    subjects = Subjects(*sets, network, Path(output), options or QualityOptions(), progress or _silent)
    subjects.require_comparable()
    require_classifier(subjects.options.classifier)
    figures, features, subjects = _measured(subjects)
    pictures = _pictures(subjects, features)
    write_result(
        output, "quality", figures, protocol=PROTOCOL, context=subjects.describe(), pictures=pictures
    )  # fmt: skip
    return read_result(output, "quality") or {}


def _silent(step: str, done: int, total: int) -> None:
    pass


def _measured(subjects: Subjects) -> tuple[dict[str, Any], dict[str, np.ndarray], Subjects]:
    """All figures, the features of both sets, and the sets with their tones."""
    judge = MaskJudge.make(subjects)
    synthetic, real = subjects.synthetic, subjects.real
    column = feature_column(subjects.extractor)
    of_synthetic = subjects.measure(synthetic, [column, tone_column(synthetic), *judge.columns(synthetic)], "synthetic")
    by_tone = [type_column(real)] if "tone" in subjects.options.by else []
    of_real = subjects.measure(real, [column, *by_tone], "real")
    if by_tone:
        subjects = replace(subjects, real=with_types(real, of_real["skin_type"]))
    features = {"synthetic": of_synthetic["features"], "real": of_real["features"]}
    figures = {
        "distances": distance_rows(
            subjects.cells,
            (features["synthetic"], features["real"]),
            (synthetic.groups, real.groups),
            subjects.options.distances,
            lambda done, total: subjects.report("distances", done, total),
        ),
        "class_fidelity": class_section(subjects, features),
        "tone": tone_figures(synthetic, of_synthetic["ita_deg"]),
        "masks": judge.figures(of_synthetic),
    }
    return figures, features, subjects


def _pictures(subjects: Subjects, features: dict[str, np.ndarray]) -> dict[str, str]:
    """Save the pictures; title -> file, relative to the folder of the results."""
    synthetic, real, seed = subjects.synthetic, subjects.real, subjects.options.seed
    sheets = {
        SHEET: class_sheet(synthetic, real, subjects.classes, seed),
        NEIGHBOURS: neighbour_sheet(synthetic, real, features, seed),
    }
    save_pictures(subjects.folder, sheets)
    return {"real and synthetic images": SHEET.as_posix(), "nearest real images": NEIGHBOURS.as_posix()}
