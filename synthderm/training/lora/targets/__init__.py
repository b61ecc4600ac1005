"""Base models that an adapter can be trained for."""

from .base import ADAPTER, Target
from .find import open_target

__all__ = ["ADAPTER", "Target", "open_target"]
