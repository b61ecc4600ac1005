"""How often is an unmarked image called marked?

    python eval/watermark_null.py --real REAL [--keys 1000] [--images 1500] [--choose]

Three parts. 1. Many random keys and many unmarked images, the direct presence reading (its four p-values and their
correction) of every pair: rates at nominal 1e-2 to 1e-6 with exact (Clopper-Pearson) intervals for each kind of image,
and how single keys scatter about them. The kinds are real skin images, the same in grey and through JPEG, homogeneous
skin, black frames, flat colours, and screenshots with text and windows. 2. The whole verdict of ``detect`` with the
direct reading and payload, and with the full search, on fewer pairs. 3. The published key on all real images.

Pairs share keys and images, so an interval for independent trials is too narrow where alarms come together; the rates
per key are given for that reason.

``--choose`` ranks the candidates for the published key on the training split (see ``Key.public``) and reports the best
on the validation split; it writes a result of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from common import write_result
from PIL import Image, ImageDraw, ImageFilter
from real_pack import RealPack, add_real_argument
from scipy.stats import beta
from watermark_attacks import compressed

from synthderm.provenance.watermark import Key, Watermark
from synthderm.provenance.watermark.keys import PUBLIC_CANDIDATE
from synthderm.provenance.watermark.pattern import Pattern
from synthderm.provenance.watermark.statistic import READINGS, log10_tail, presence_features, reading_parts
from synthderm.provenance.watermark.view import normalised, whitened

LEVELS = (2, 3, 4, 5, 6)  # -log10 of the nominal rates


def homogeneous_skin(rng: np.random.Generator) -> Image.Image:
    """A skin colour with shading and grain, 96 to 512 px, every other one through JPEG."""
    side = int(rng.choice([96, 128, 224, 256, 512]))
    light, dark = np.array([240, 205, 180]), np.array([60, 40, 32])
    colour = dark + (light - dark) * rng.uniform() + rng.normal(0, 6, 3)
    shade = Image.fromarray(rng.integers(0, 255, (3, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pixels = colour * (0.9 + 0.1 * np.asarray(shade)[..., None] / 255)
    pixels += rng.normal(0, rng.uniform(0.3, 4), (side, side, 3))
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return compressed(image, "JPEG", int(rng.integers(60, 96))) if rng.random() < 0.5 else image


def black_frame(rng: np.random.Generator) -> Image.Image:
    """Black with the noise of a covered lens, sometimes with the bright disc of a dermoscope's edge."""
    side = int(rng.choice([128, 256, 512]))
    pixels = np.abs(rng.normal(0, rng.uniform(0, 2), (side, side, 3)))
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    if rng.random() < 0.3:
        radius = side * rng.uniform(0.02, 0.2)
        ImageDraw.Draw(image).ellipse((-radius, -radius, radius, radius), fill=tuple(rng.integers(60, 255, 3).tolist()))
    return image


def flat_colour(rng: np.random.Generator) -> Image.Image:
    """One colour, or two halves."""
    side = int(rng.choice([64, 128, 300]))
    image = Image.new("RGB", (side, side), tuple(rng.integers(0, 256, 3).tolist()))
    if rng.random() < 0.5:
        image.paste(tuple(rng.integers(0, 256, 3).tolist()), (0, 0, side, int(rng.integers(1, side))))
    return image


def screenshot(rng: np.random.Generator) -> Image.Image:
    """Windows, rules and lines of text."""
    width, height = int(rng.integers(200, 900)), int(rng.integers(200, 700))
    image = Image.new("RGB", (width, height), tuple(rng.integers(200, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        left, top = int(rng.integers(width)), int(rng.integers(height))
        box = (left, top, left + int(rng.integers(40, width)), top + int(rng.integers(30, height)))
        draw.rectangle(box, fill=tuple(rng.integers(0, 256, 3).tolist()), outline=(90, 90, 90))
    for row in range(0, height, int(rng.integers(12, 24))):
        text = "".join(chr(int(c)) for c in rng.integers(97, 123, int(rng.integers(3, width // 6))))
        draw.text((int(rng.integers(30)), row), text, fill=tuple(rng.integers(0, 120, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(0.5)) if rng.random() < 0.3 else image


DRAWN: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "homogeneous skin": homogeneous_skin,
    "black frames": black_frame,
    "flat colours": flat_colour,
    "screenshots": screenshot,
}


def real_images(pack: RealPack, n: int, split: str | None = None) -> list[Image.Image]:
    """``n`` of the pack, evenly spread over it."""
    rows = pack.select(split=split)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))
    return [Image.fromarray(pack.image(rows[i]).transpose(1, 2, 0)) for i in chosen]


def all_kinds(pack: RealPack, n: int) -> dict[str, list[Image.Image]]:
    """Images of each kind; half of ``n`` are real, a twelfth of each other kind."""
    part, rng = max(4, n // 12), np.random.default_rng(5)
    kinds = {"real skin": real_images(pack, n // 2)}
    some = real_images(pack, part)
    kinds["real skin, grey"] = [image.convert("L").convert("RGB") for image in some]
    kinds["real skin, JPEG 75"] = [compressed(image, "JPEG", 75) for image in some]
    return kinds | {kind: [draw(rng) for _ in range(part)] for kind, draw in DRAWN.items()}


def features_of(images: list[Image.Image]) -> np.ndarray:
    """(images, 3, waves) presence features of the direct reading."""
    return np.stack([presence_features(whitened(normalised(image))) for image in images])


def log10_ps(features: np.ndarray, keys: list[Key]) -> np.ndarray:
    """(keys, images) of the direct presence reading: ``presence_log10_p`` of every pair, by matrix products."""
    directions = np.stack([Pattern(key).presence for key in keys])
    best = np.zeros((len(keys), len(features)))
    for feature, direction in zip(reading_parts(features), reading_parts(directions), strict=True):
        cosines = _unit(direction) @ _unit(feature).T
        tails = np.array([log10_tail(c, feature.shape[-1]) for c in cosines.ravel()])
        best = np.minimum(best, tails.reshape(cosines.shape))
    return np.minimum(0, best + np.log10(len(READINGS)))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def binomial_interval(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper & Pearson 1934)."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return low, high


def rates(log10_p: np.ndarray) -> dict[str, dict[str, object]]:
    """Alarms at each nominal rate, with the exact interval of 95 %."""
    out = {}
    for level in LEVELS:
        alarms = int((log10_p <= -level).sum())
        low, high = binomial_interval(alarms, log10_p.size)
        rate = alarms / log10_p.size
        out[f"1e-{level}"] = {"alarms": alarms, "pairs": log10_p.size, "rate": rate, "interval": [low, high]}
    return out


def scatter_of_keys(log10_p: np.ndarray) -> dict[str, float]:
    """Rates of single keys at nominal 1e-3."""
    single = (log10_p <= -3).mean(1)
    return {"median": float(np.median(single)), "95 %": float(np.quantile(single, 0.95)), "worst": float(single.max())}


def random_keys(n: int, seed: int) -> list[Key]:
    rng = np.random.default_rng(seed)
    return [Key(rng.bytes(32)) for _ in range(n)]


def many_pairs(kinds: dict[str, list[Image.Image]], n_keys: int) -> dict[str, object]:
    keys = random_keys(n_keys, 1)
    parts = {kind: log10_ps(features_of(images), keys) for kind, images in kinds.items()}
    figures: dict[str, object] = {kind: {"images": p.shape[1], "rates": rates(p)} for kind, p in parts.items()}
    everything = np.concatenate(list(parts.values()), 1)
    figures["all"] = {"images": everything.shape[1], "keys": n_keys, "rates": rates(everything)}
    figures["single keys on real skin at nominal 1e-3"] = scatter_of_keys(parts["real skin"])
    figures["smallest p"] = float(10.0 ** everything.min())
    return figures


def whole_verdicts(kinds: dict[str, list[Image.Image]], pairs: int, search: str) -> dict[str, object]:
    """``detect`` on pairs of an image and a key of its own."""
    images = [image for kind in kinds.values() for image in kind]
    keys = random_keys(pairs, 2 if search == "fast" else 3)
    order = np.random.default_rng(4).permutation(pairs * 7) % len(images)
    found = [Watermark(key).detect(images[i], search=search)[0] for key, i in zip(keys, order[:pairs], strict=True)]
    p = np.log10([one.p_value for one in found])
    verdicts = {v: sum(one.verdict == v for one in found) for v in ("synthetic", "undecided", "not_found")}
    return {"pairs": pairs, "verdicts": verdicts, "rates": rates(p), "smallest p": float(10.0 ** p.min())}


def published_key(pack: RealPack, n: int) -> dict[str, object]:
    watermark = Watermark(Key.public())
    p = np.log10([watermark.detect(image, search="fast")[0].p_value for image in real_images(pack, n)])
    return {"candidate": PUBLIC_CANDIDATE, "images": len(p), "rates": rates(p), "smallest p": float(10.0 ** p.min())}


def choose(pack: RealPack, candidates: int, n: int) -> dict[str, object]:
    """The candidate whose 99.9th percentile of -log10 p on real skin and homogeneous skin is smallest."""
    rng = np.random.default_rng(6)
    skin = [homogeneous_skin(rng) for _ in range(n // 8)]
    features = features_of(real_images(pack, n, "train") + skin)
    keys = [Key.candidate(i) for i in range(candidates)]
    p = log10_ps(features, keys)
    worst = -np.quantile(p, 0.001, axis=1)
    best = int(worst.argmin())
    held_out = log10_ps(features_of(real_images(pack, n, "val")), [keys[best]])
    return {
        "candidates": candidates,
        "images": len(features),
        "chosen": best,
        "99.9th percentile of -log10 p": {
            "chosen": float(worst[best]), "median key": float(np.median(worst)), "worst key": float(worst.max())
        },
        "chosen, training split": rates(p[best]),
        "chosen, validation split": rates(held_out),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--fast-pairs", type=int, default=20000)
    parser.add_argument("--full-pairs", type=int, default=300)
    parser.add_argument("--choose", action="store_true")
    args = parser.parse_args()
    pack, start = RealPack(args.real), time.process_time()
    if args.choose:
        figures, name = choose(pack, args.keys, args.images), "watermark_key"
    else:
        kinds = all_kinds(pack, args.images)
        figures = {
            "direct presence reading": many_pairs(kinds, args.keys),
            "direct reading with payload": whole_verdicts(kinds, args.fast_pairs, "fast"),
            "full search": whole_verdicts(kinds, args.full_pairs, "full"),
            "published key": published_key(pack, 10**6),
        }
        name = "watermark_null"
    write_result(name, figures, real_pack=pack.digest, cpu_seconds=round(time.process_time() - start))


if __name__ == "__main__":
    main()
