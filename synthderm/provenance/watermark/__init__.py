"""An invisible keyed mark for synthetic images, found again with a p-value that holds for any image."""

from .detection import DEFAULT_FPR, Detection
from .keys import Key
from .payload import Payload
from .watermark import DEFAULT_PSNR_DB, Watermark

__all__ = ["DEFAULT_FPR", "DEFAULT_PSNR_DB", "Detection", "Key", "Payload", "Watermark"]
