"""Floor 6: carries a recipe out."""

from .generate import Progress, generate
from .summary import RunSummary, ToneRow

__all__ = ["Progress", "RunSummary", "ToneRow", "generate"]
