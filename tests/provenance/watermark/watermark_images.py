"""Drawn images for the tests of the watermark."""

import numpy as np
from PIL import Image


def drawn_skin(seed: int, side: int = 128) -> Image.Image:
    """A skin-like image: shading, grain, a dark disc."""
    rng = np.random.default_rng(seed)
    shade = Image.fromarray(rng.integers(0, 255, (4, 4), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    colour = np.array([205, 160, 140]) * rng.uniform(0.5, 1.1)
    pixels = colour * (0.85 + 0.15 * np.asarray(shade)[..., None] / 255)
    y, x = np.indices((side, side)) / side
    disc = np.hypot(y - 0.5, x - 0.45) < 0.2
    pixels = np.where(disc[..., None], pixels * 0.6, pixels)
    grain = rng.normal(0, 2, (side, side, 1)) + rng.normal(0, 0.7, (side, side, 3))
    return Image.fromarray(np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8))


def psnr_db(a: object, b: object) -> float:
    """Peak signal-to-noise ratio of two 8-bit images."""
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return float(10 * np.log10(255**2 / error))
