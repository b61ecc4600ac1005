"""What a quality run can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from synthderm.core import InputError

from .cells import PARTS
from .distances import DistanceOptions
from .fidelity import PROBE


@dataclass(frozen=True)
class QualityOptions:
    """Options of :func:`~synthderm.evaluation.quality.quality`.

    Attributes:
        by: parts that distances are also given for: "class", "tone", both (then also class x tone) or none.
        classifier: of class fidelity: "probe" (a linear probe on the extractor's features), or a network that is
            trained here: "small", "timm:NAME", "transformers:FOLDER", "module:attr"; "none" leaves it out.
        segmenter: of mask fidelity: the name or folder of a checkpoint ("derm-segmenter"), or a network that is
            trained here on real masks: "small", "module:attr"; "none" leaves the overlap out.
        classifier_steps: optimiser steps of a classifier that is trained here.
        segmenter_steps: optimiser steps of a segmenter that is trained here.
        require_masks: refuse a synthetic set in which an image lacks its lesion mask.
        most_real_masks: real images that masks are measured on, at most.
        batch_size: images in memory at a time; changes no figure.
        force: measure sets that have too few images for a FID all the same.
        seed: of everything that is drawn.
        distances: how distances are measured; ``seed`` and ``force`` of this class count.
    """

    by: Sequence[str] = PARTS
    classifier: str = PROBE
    segmenter: str = "derm-segmenter"
    classifier_steps: int = 1000
    segmenter_steps: int = 600
    require_masks: bool = False
    most_real_masks: int = 1000
    batch_size: int = 64
    force: bool = False
    seed: int = 0
    distances: DistanceOptions = field(default_factory=DistanceOptions)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, but got {self.batch_size}")
        if self.distances.draws < 2 or self.distances.halves < 8:
            raise InputError(
                f"expected at least 2 draws and 8 halves, got {self.distances.draws} and {self.distances.halves}"
            )
        object.__setattr__(self, "distances", replace(self.distances, seed=self.seed, force=self.force))

    def describe(self) -> dict[str, Any]:
        """JSON values, without what changes no figure."""
        values = asdict(self)
        del values["batch_size"], values["distances"]["seed"], values["distances"]["force"]
        return {**values, "by": list(self.by)}
