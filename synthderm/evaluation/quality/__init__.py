"""Does a set of synthetic images look real, is it diverse, and does it show what was asked for?"""

from .distances import DistanceOptions
from .options import QualityOptions
from .run import quality

__all__ = ["DistanceOptions", "QualityOptions", "quality"]
