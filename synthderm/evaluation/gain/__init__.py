"""Does it help? The same network trained with and without synthetic images, on equal terms."""

from .config import GainConfig
from .protocol import gain

__all__ = ["GainConfig", "gain"]
