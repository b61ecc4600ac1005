"""Floor 3: metrics of synthetic image sets with the interface of torchmetrics."""

from .copies import CopyShare
from .fidelity import ClassFidelity
from .frechet import FrechetDistance
from .kernel import KernelDistance
from .masks import BoundaryContrast
from .prdc import PRDC
from .shortcut import BackgroundShortcut
from .tone import ToneAccuracy

__all__ = [
    "PRDC",
    "BackgroundShortcut",
    "BoundaryContrast",
    "ClassFidelity",
    "CopyShare",
    "FrechetDistance",
    "KernelDistance",
    "ToneAccuracy",
]
