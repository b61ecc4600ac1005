"""Gates of generators that learnt from real images: the class must be recognised, and no training image given back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

import torch

from synthderm.core import HEALTHY_SKIN, LESION, Condition, Sample
from synthderm.functional.color import median_lab
from synthderm.functional.tone_shift import apply_gains, tone_gains
from synthderm.models.checkpoints import Classifier, load_classifier
from synthderm.models.copy_index import CopyIndex

from .gates import Finding, Gate

SEEN_SKIN_LAB = ((61.0, 8.0, -7.0), (80.0, 34.0, 15.0))
"""The middle 80 % of HAM10000's skin colours, CIELAB: skin outside is turned to the nearest colour inside before the
classifier looks, since it has seen light skin alone (``eval/fit_gates.py`` prints them)."""

MOST_GAIN = 15.0
"""Dark skin reflects about a tenth of what light skin does; noise does not matter to the classifier."""

LEAST_AREA, MOST_AREA = 0.004, 0.9
"""Share of the image that a lesion may take."""


class LesionGate:
    """The mask holds a lesion of a usual size."""

    def __call__(self, image: torch.Tensor, sample: Sample, condition: Condition) -> Finding:
        """The finding on one image; see :class:`~synthderm.generators.gates.Gate`."""
        area = float(sample.masks[LESION].float().mean())
        if LEAST_AREA <= area <= MOST_AREA:
            return Finding()
        return Finding(
            "lesion size", f"the mask takes {area:.1%} of the image, needs {LEAST_AREA:.1%} to {MOST_AREA:.0%}"
        )


class ClassGate:
    """A classifier that was trained on real images finds the requested class about as plainly as on real ones.

    The image passes if the probability of its class is at least what the least plain part of real hold-out images of
    that class reaches (``eval/fit_gates.py``): a rule of "the most probable class" would cut off what is rare and hard
    in reality too. Before, dark skin is turned
    to a light tone (:mod:`synthderm.functional.tone_shift`).

    Args:
        classifier: of the seven diagnoses.
        least: code -> least probability.
    """

    def __init__(self, classifier: Classifier, least: Mapping[str, float]) -> None:
        self.classifier, self.least = classifier, dict(least)

    @classmethod
    def shipped(cls) -> ClassGate:
        """With the ``derm`` classifier and the thresholds that were fitted for it."""
        fitted = json.loads(files("synthderm.generators").joinpath("gates.json").read_text(encoding="utf-8"))
        return cls(load_classifier(fitted["classifier"]), fitted["least_probability"])

    def __call__(self, image: torch.Tensor, sample: Sample, condition: Condition) -> Finding:
        """The finding on one image; see :class:`~synthderm.generators.gates.Gate`."""
        code = condition.diagnosis
        if code not in self.classifier.classes:
            return Finding()
        skin = torch.tensor(median_lab(image, sample.masks[HEALTHY_SKIN]))
        probability = self.probabilities(image[None], skin[None])[0]
        share = float(probability[self.classifier.classes.index(code)])
        seen = self.classifier.classes[int(probability.argmax())]
        facts = {"class_probability": round(share, 4), "class_recognised": seen}
        least = self.least.get(code, 0.0)
        if share >= least:
            return Finding(facts=facts)
        return Finding("class not recognised", f"p({code}) = {share:.3f}, needs {least:.3f}; looks like {seen}", facts)

    def probabilities(self, images: torch.Tensor, skin_lab: torch.Tensor) -> torch.Tensor:
        """(N, C) probabilities of (N, 3, H, W) uint8 images whose skin has the colours (N, 3), CIELAB."""
        turned = [_as_seen(image, lab) for image, lab in zip(images, skin_lab, strict=True)]
        return self.classifier(torch.stack(turned)).softmax(1)


def _as_seen(image: torch.Tensor, skin_lab: torch.Tensor) -> torch.Tensor:
    """The image with its skin turned to the nearest colour within :data:`SEEN_SKIN_LAB`."""
    low, high = torch.tensor(SEEN_SKIN_LAB)
    near = skin_lab.clamp(low, high)
    if skin_lab.isnan().any() or torch.equal(near, skin_lab):
        return image
    return apply_gains(image, tone_gains(skin_lab, near, most=MOST_GAIN))


class CopyGate:
    """No training image is given back.

    Args:
        index: of the training images.
    """

    def __init__(self, index: CopyIndex) -> None:
        self.index = index

    def __call__(self, image: torch.Tensor, sample: Sample, condition: Condition) -> Finding:
        """The finding on one image; see :class:`~synthderm.generators.gates.Gate`."""
        scores, nearest = self.index.score(image[None])
        score, row = float(scores[0]), int(nearest[0])
        facts = {"copy_score": round(score, 4)}
        if score <= self.index.threshold:
            return Finding(facts=facts)
        return Finding(
            "copy of a training image",
            f"similarity {score:.3f} to training image {row}, above {self.index.threshold:.3f} "
            f"(exceeded by {self.index.false_alarm_rate:.1%} of other real images)",
            facts,
        )


def likeness_gates(modality: str, copies: CopyIndex | None) -> tuple[Gate, ...]:
    """The gates of a model that learnt from real images: a lesion of a usual size, a recognised class, no copy.

    Args:
        modality: the class is judged on "dermoscopy" alone, where the classifier was trained.
        copies: index of the training images; without it copies are not looked for.
    """
    judged: tuple[Gate, ...] = (ClassGate.shipped(),) if modality == "dermoscopy" else ()
    return (LesionGate(), *judged, *((CopyGate(copies),) if copies else ()))
