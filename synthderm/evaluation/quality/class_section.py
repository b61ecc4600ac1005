"""The part of a quality result on class fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthderm.core import DIAGNOSES
from synthderm.training.classifier import ClassifierConfig
from synthderm.training.zoo import make_classifier

from .columns import images_key
from .fidelity import (
    NETWORK_FOLDS,
    PROBE,
    PROBE_FOLDS,
    Fit,
    fidelity_figures,
    held_out_recall,
    probe_fit,
    recognise,
    usable_classes,
)
from .networks import NetworkStore, network_fit, small_images

if TYPE_CHECKING:
    from .subjects import Subjects

NONE = "none"


def require_classifier(name: str) -> None:
    """Refuse a classifier that cannot be made, before anything is measured.

    Raises:
        InputError: for an unknown name.
        MissingExtraError: if a package is missing.
    """
    if name not in (PROBE, NONE):
        make_classifier(name, 2)


def class_section(subjects: Subjects, features: dict[str, np.ndarray]) -> dict[str, Any]:
    """Class fidelity as the options want it; JSON values.

    Args:
        subjects: the sets of the run.
        features: "synthetic" and "real" -> (N, D).
    """
    options, real = subjects.options, subjects.real
    if options.classifier == NONE:
        return {"note": "left out as asked"}
    folds = PROBE_FOLDS if options.classifier == PROBE else NETWORK_FOLDS
    classes = usable_classes(real, folds)
    if len(classes) < 2:
        few = ", ".join(classes) or "none"
        return {"note": f"needs two classes with {folds} lesions or patients each in {real.name}, which has {few}"}
    place = {name: i for i, name in enumerate(classes)}
    labels = np.array([place.get(name, -1) for name in real.label_names], dtype=np.int64)
    if options.classifier == PROBE:
        fit: Fit = probe_fit(features, labels, len(classes))
    else:
        fit = _network_fit(subjects, labels, len(classes))
    found = recognise(subjects.synthetic, real, fit, folds, options.seed)
    figures = fidelity_figures(found, subjects.synthetic, real, options.seed)
    section = {"classifier": _classifier(subjects, folds), **figures, "note": _note(subjects)}
    apart = held_out_recall(found, real)
    return section if apart is None else {**section, "real_held_out": apart}


def _network_fit(subjects: Subjects, labels: np.ndarray, num_classes: int) -> Fit:
    options = subjects.options
    config = ClassifierConfig(steps=options.classifier_steps)
    images = {
        role: small_images(of, config.size, options.batch_size)
        for role, of in (("synthetic", subjects.synthetic), ("real", subjects.real))
    }
    return network_fit(
        options.classifier, images, labels, num_classes, config, NetworkStore(subjects.folder),
        f"{images_key(subjects.real)} {labels.tolist()}", options.seed,
        lambda done, total: subjects.report("training the classifier", done, total),
    )  # fmt: skip


def _classifier(subjects: Subjects, folds: int) -> dict[str, Any]:
    options = subjects.options
    if options.classifier == PROBE:
        return {
            "name": "linear probe",
            "on": f"features of {subjects.extractor.name}",
            "fitted on": subjects.real.name,
            "folds by lesion or patient": folds,
        }
    return {
        "name": options.classifier,
        "trained on": subjects.real.name,
        "steps": options.classifier_steps,
        "size": ClassifierConfig().size,
        "folds by lesion or patient": folds,
    }


def _note(subjects: Subjects) -> str:
    """What the reader must know of the recall on real images."""
    if subjects.options.classifier != PROBE:
        return "the networks have seen no image but those of the other folds of the real set"
    extractor = subjects.extractor
    seen = ", ".join(extractor.trained_on) or "data that is not known"
    labels = f" with the labels {', '.join(DIAGNOSES)}" if extractor.name.startswith("derm") else ""
    return (
        f"the probes have not seen the real images that they judge, but the extractor {extractor.name} was trained on "
        f"{seen}{labels}: if these images are among them, the recall on real images is too good; real_held_out, where "
        "given, is the recall on the splits val and test alone"
    )
