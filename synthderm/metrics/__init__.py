"""Floor 3: metrics of synthetic image sets with the interface of torchmetrics."""

from .fidelity import ClassFidelity
from .frechet import FrechetDistance
from .kernel import KernelDistance
from .masks import BoundaryContrast
from .prdc import PRDC
from .tone import ToneAccuracy

__all__ = [
    "PRDC",
    "BoundaryContrast",
    "ClassFidelity",
    "FrechetDistance",
    "KernelDistance",
    "ToneAccuracy",
]
