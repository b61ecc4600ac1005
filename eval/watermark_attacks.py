"""What happens to images between a generator and a classifier: the attacks of the watermark's evaluation.

Each is a function of a pillow image (RGB) and a numpy generator, and returns a pillow image. They are written with
pillow and scipy after the usual definitions (torchvision's transforms for training; grey-edge constancy of Finlayson &
Trezzi 2004; hair removal after Lee et al. 1997), so that nothing has to be installed for them.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

Attack = Callable[[Image.Image, np.random.Generator], Image.Image]

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def compressed(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """Saved as JPEG or WebP (pillow's default subsampling of colour) and read again."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """Bilinear with antialiasing, as torchvision's Resize."""
    return image.resize((width, height), Image.Resampling.BILINEAR)


def cropped(image: Image.Image, share: float, rng: np.random.Generator | None = None) -> Image.Image:
    """A window of ``share`` of each side, in the centre or anywhere."""
    width, height = (round(share * side) for side in image.size)
    free = image.width - width, image.height - height
    left, top = (f // 2 for f in free) if rng is None else (int(rng.integers(f + 1)) for f in free)
    return image.crop((left, top, left + width, top + height))


def contrast(image: Image.Image, factor: float) -> Image.Image:
    """About the mean grey."""
    pixels = _floats(image)
    mean = pixels.mean()
    return _image((pixels - mean) * factor + mean)


def jittered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation by up to 20 % in random order, then hue by up to 3 % of the circle."""
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    for i in rng.permutation(3):
        image = enhancers[i](image).enhance(rng.uniform(0.8, 1.2))
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(round(rng.uniform(-0.03, 0.03) * 255) % 256)
    return Image.fromarray(hsv, "HSV").convert("RGB")


def constant_colour(image: Image.Image) -> Image.Image:
    """Shades of grey: each channel's Minkowski mean of order 6 becomes the same."""
    pixels = _floats(image)
    means = (pixels.astype(np.float64) ** 6).mean((0, 1)) ** (1 / 6)
    return _image(pixels * (means.mean() / np.maximum(means, 1e-6)))


def without_hair(image: Image.Image) -> Image.Image:
    """Where a grey closing (9 px) brightens by more than 10 steps, the closed colours replace the pixels."""
    pixels = np.asarray(image)
    grey = np.asarray(image.convert("L"), np.int16)
    hair = ndimage.grey_closing(grey, (9, 9)) - grey > 10
    closed = np.stack([ndimage.grey_closing(pixels[..., c], (9, 9)) for c in range(3)], -1)
    return Image.fromarray(np.where(ndimage.binary_dilation(hair)[..., None], closed, pixels))


def normalised(image: Image.Image) -> Image.Image:
    """ImageNet's mean and deviation, and then, to be a picture again, the range stretched to 0..255."""
    pixels = (_floats(image) / 255 - _MEAN) / _STD
    low, high = pixels.min(), pixels.max()
    return _image((pixels - low) / max(high - low, 1e-6) * 255)


def random_resized_crop(image: Image.Image, smallest: float, rng: np.random.Generator, side: int = 224) -> Image.Image:
    """torchvision's RandomResizedCrop: area in [smallest, 1], aspect in [3/4, 4/3], ten tries."""
    width, height = image.size
    for _ in range(10):
        area = width * height * rng.uniform(smallest, 1)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        w = h = min(width, height)
    left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return resized(image.crop((left, top, left + w, top + h)), side, side)


def for_training(image: Image.Image, smallest: float, rng: np.random.Generator) -> Image.Image:
    """Crop, flip, jitter, normalise: what a classifier's training sees."""
    image = random_resized_crop(image, smallest, rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return normalised(jittered(image, rng))


def _noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _image(_floats(image) + rng.normal(0, 5, (*image.size[::-1], 3)))


def _blurred(image: Image.Image) -> Image.Image:
    return _image(ndimage.gaussian_filter(_floats(image), (1, 1, 0)))


ATTACKS: dict[str, Attack] = {
    "none": lambda image, rng: image,
    "JPEG 95": lambda image, rng: compressed(image, "JPEG", 95),
    "JPEG 90": lambda image, rng: compressed(image, "JPEG", 90),
    "JPEG 75": lambda image, rng: compressed(image, "JPEG", 75),
    "JPEG 50": lambda image, rng: compressed(image, "JPEG", 50),
    "WebP 80": lambda image, rng: compressed(image, "WEBP", 80),
    "half size and back": lambda image, rng: resized(
        resized(image, image.width // 2, image.height // 2), image.width, image.height
    ),
    "to 224": lambda image, rng: resized(image, 224, 224),
    "to 224, JPEG 75": lambda image, rng: compressed(resized(image, 224, 224), "JPEG", 75),
    "aspect 1 to 1.8": lambda image, rng: resized(image, round(1.2 * image.width), round(0.67 * image.height)),
    "crop 90 % of each side": lambda image, rng: cropped(image, 0.9),
    "crop 75 % of each side": lambda image, rng: cropped(image, 0.75),
    "crop a quarter of the area": lambda image, rng: cropped(image, 0.5, rng),
    "turn 5 degrees": lambda image, rng: image.rotate(5, Image.Resampling.BILINEAR),
    "turn 5 degrees, enlarged": lambda image, rng: image.rotate(-5, Image.Resampling.BILINEAR, expand=True),
    "flip": lambda image, rng: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "quarter turn": lambda image, rng: image.transpose(Image.Transpose.ROTATE_90),
    "brightness +20 %": lambda image, rng: _image(_floats(image) * 1.2),
    "brightness -20 %": lambda image, rng: _image(_floats(image) * 0.8),
    "contrast +30 %": lambda image, rng: contrast(image, 1.3),
    "contrast -30 %": lambda image, rng: contrast(image, 0.7),
    "blur 1 px": lambda image, rng: _blurred(image),
    "noise 5": _noisy,
    "median 3": lambda image, rng: image.filter(ImageFilter.MedianFilter(3)),
    "median 5": lambda image, rng: image.filter(ImageFilter.MedianFilter(5)),
    "colour jitter": jittered,
    "colour constancy": lambda image, rng: constant_colour(image),
    "greyscale": lambda image, rng: image.convert("L").convert("RGB"),
    "hair removal": lambda image, rng: without_hair(image),
    "training, crops of 50 % and more": lambda image, rng: for_training(image, 0.5, rng),
    "training, crops of 8 % and more": lambda image, rng: for_training(image, 0.08, rng),
}
"""Name to attack; every attack of the issue, and some more."""
