"""Floor 3: what makes images, and the gates that they must pass."""

from .base import Generator
from .gates import ToneGate, Verdict

__all__ = ["Generator", "ToneGate", "Verdict"]
