"""LoRA: a small adapter of a compact flow, FLUX or Stable Diffusion, trained on a folder of images."""

from .config import LoraConfig
from .loop import Diverged, Interrupted
from .result import LoraResult
from .run import train_lora

__all__ = ["Diverged", "Interrupted", "LoraConfig", "LoraResult", "train_lora"]
