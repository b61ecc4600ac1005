"""Does the Frechet distance of an extractor rise when images get worse?

    python eval/degradations.py --real REAL [--extractor derm]

Held-out real images (the validation split of HAM10000, which no shipped extractor has seen) are spoilt in known ways at
four rising levels and compared with the training split. A feature space is of use for judging synthetic images if the
distance rises with every level and leaves the floor, which is the same figure for the images as they are. Spoilt are
pixels (noise, blur, JPEG, hue, colour cast, contrast, elastic warps, shuffled patches) and the choice of images (few
distinct ones, one cluster, a wrong mix of classes), the latter always at an unchanged number of images.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from common import write_result
from PIL import Image
from real_pack import RealPack, Row, add_real_argument

from synthderm.functional.color import linear_to_srgb, srgb_to_linear
from synthderm.functional.filters import gaussian_blur
from synthderm.functional.frechet import frechet_distance, gaussian_statistics
from synthderm.functional.kernel_distance import kernel_distance
from synthderm.models.features import FeatureExtractor, load_extractor

DRAWS = 5
PIXEL_LEVELS: dict[str, tuple[float, ...]] = {
    "noise, standard deviation of 255": (4, 8, 16, 32),
    "blur, sigma px": (0.5, 1, 2, 4),
    "JPEG, quality": (60, 30, 15, 5),
    "hue turned, degrees": (10, 20, 40, 80),
    "colour cast, gain of red over blue": (1.1, 1.25, 1.6, 2.2),
    "contrast, share that is left": (0.8, 0.6, 0.4, 0.2),
    "elastic warp, px": (1, 2, 4, 8),
    "patches shuffled, per side": (2, 4, 8, 16),
}
CHOICE_LEVELS: dict[str, tuple[float, ...]] = {
    "collapse, distinct images": (400, 100, 25, 5),
    "one cluster, share of the set it is drawn from": (0.5, 0.25, 0.1, 0.03),
    "wrong mix, share of melanoma": (0.3, 0.5, 0.75, 1.0),
    "wrong mix, share of nevus": (0.7, 0.8, 0.9, 1.0),
}


def spoil(image: torch.Tensor, kind: str, level: float, rng: np.random.Generator) -> torch.Tensor:
    """One (3, H, W) uint8 image, spoilt; every kind is named by the start of its entry in ``PIXEL_LEVELS``."""
    x = image.float() / 255
    name = kind.split(",")[0]
    if name == "noise":
        x = x + torch.from_numpy(rng.normal(0, level / 255, x.shape)).float()
    elif name == "blur":
        x = gaussian_blur(x, level)
    elif name == "JPEG":
        return _jpeg(image, int(level))
    elif name == "hue turned":
        x = _turn_hue(x, np.deg2rad(level))
    elif name == "colour cast":
        gains = torch.tensor([level**0.5, 1.0, level**-0.5])[:, None, None]
        x = linear_to_srgb(srgb_to_linear(x) * gains)
    elif name == "contrast":
        mean = x.mean((1, 2), keepdim=True)
        x = mean + (x - mean) * level
    elif name == "elastic warp":
        x = _warp(x, level, rng)
    elif name == "patches shuffled":
        x = _shuffle(x, int(level), rng)
    else:
        raise ValueError(f"unknown kind {kind!r}")
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, format="JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).contiguous()


def _turn_hue(x: torch.Tensor, angle: float) -> torch.Tensor:
    """Rotation of RGB about the grey axis (Rodrigues)."""
    cosine, sine, third = np.cos(angle), np.sin(angle), 1 / 3
    straight, forth = cosine + (1 - cosine) * third, (1 - cosine) * third
    a, b = forth - sine * third**0.5, forth + sine * third**0.5
    turn = torch.tensor([[straight, a, b], [b, straight, a], [a, b, straight]], dtype=x.dtype)
    return torch.einsum("ij,jhw->ihw", turn, x)


def _warp(x: torch.Tensor, amplitude_px: float, rng: np.random.Generator) -> torch.Tensor:
    """Smooth random displacement (Simard et al. 2003) with that standard deviation, grain 8 px."""
    height, width = x.shape[1:]
    shift = gaussian_blur(torch.from_numpy(rng.normal(size=(2, height, width))).float(), 4.0)
    shift = shift / shift.std() * amplitude_px * 2 / torch.tensor([width, height])[:, None, None]
    y, x_grid = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = torch.stack([x_grid + shift[0], y + shift[1]], -1)
    return F.grid_sample(x[None], grid[None], padding_mode="reflection", align_corners=True)[0]


def _shuffle(x: torch.Tensor, per_side: int, rng: np.random.Generator) -> torch.Tensor:
    side = x.shape[-1] // per_side
    patches = F.unfold(x[None], side, stride=side)[0]
    order = torch.from_numpy(rng.permutation(patches.shape[1]))
    return F.fold(patches[:, order][None], (side * per_side,) * 2, side, stride=side)[0]


def choose(
    kind: str, level: float, rows: list[Row], thumbnails: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) indices of a badly chosen set; those that are wanted repeat where there are too few."""
    everything = np.arange(len(rows))
    if kind.startswith("collapse"):
        return np.resize(rng.permutation(everything)[: int(level)], n)
    if kind.startswith("one cluster"):
        centre = thumbnails[rng.integers(len(rows))]
        nearest = np.argsort(((thumbnails - centre) ** 2).sum(1))
        return np.resize(rng.permutation(nearest[: max(2, round(level * len(rows)))]), n)
    wanted = "mel" if kind.endswith("melanoma") else "nv"
    is_wanted = np.array([row.diagnosis == wanted for row in rows])
    many = round(level * n)
    return np.concatenate(
        [np.resize(rng.permutation(everything[is_wanted]), many), rng.permutation(everything[~is_wanted])[: n - many]]
    )


def set_size(kind: str, rows: list[Row]) -> int:
    """Images of each compared set: as many as the class has, so that a wrong mix does not also repeat images."""
    if not kind.startswith("wrong mix"):
        return len(rows)
    wanted = "mel" if kind.endswith("melanoma") else "nv"
    return sum(row.diagnosis == wanted for row in rows)


class Judge:
    """Distances to the training split."""

    def __init__(self, extractor: FeatureExtractor, reference: torch.Tensor) -> None:
        self.extractor = extractor
        self.reference = self.features(reference)
        self.statistics = gaussian_statistics(self.reference)
        self.sample = self.reference[np.random.default_rng(0).permutation(len(self.reference))[:2000]]

    def features(self, images: torch.Tensor) -> np.ndarray:
        """(N, D) float64."""
        return torch.cat([self.extractor(part) for part in images.split(64)]).double().numpy()

    def distances(self, x: np.ndarray) -> tuple[float, float]:
        """FID, and KID against 2,000 images of the reference that were drawn at random."""
        mean, covariance, _ = gaussian_statistics(x)
        fid = frechet_distance(mean, covariance, self.statistics[0], self.statistics[1])
        return fid, kernel_distance(x, self.sample)


def order(values: list[float]) -> dict[str, float]:
    """How well values rise: pairs in the wrong order, and Spearman's correlation with 0, 1, 2, ..."""
    ranks = np.argsort(np.argsort(values))
    wrong = sum(a >= b for i, a in enumerate(values) for b in values[i + 1 :])
    return {"inversions": wrong, "spearman": round(float(np.corrcoef(ranks, np.arange(len(values)))[0, 1]), 4)}


def summary(floor: Floor, levels: list[tuple[float, float]], names: tuple[float, ...]) -> dict:
    """The figures of one kind of damage."""
    result: dict[str, object] = {"levels": list(names)}
    for i, distance in enumerate(("fid", "kid")):
        values = [one[i] for one in levels]
        result[distance] = {
            "clean": round(floor.mean[i], 4),
            "clean_upper": round(floor.upper[i], 4),
            "values": [round(value, 4) for value in values],
            **order([floor.mean[i], *values]),
            "above_floor": sum(value > floor.upper[i] for value in values),
        }
    return result


class Floor:
    """FID and KID of images as they are: their mean, and their mean plus two standard deviations."""

    def __init__(self, mean: tuple[float, float], draws: list[tuple[float, float]]) -> None:
        self.mean = mean
        self.upper = tuple((np.array(mean) + 2 * np.std(draws, axis=0, ddof=1)).tolist())


def pixel_kinds(judge: Judge, images: torch.Tensor, features: np.ndarray, say: Callable[[str], None]) -> dict:
    """Spoilt pixels; the spread of the floor is that of random halves, which is that of the whole (half-sampling)."""
    n, rng = len(features), np.random.default_rng(1)
    halves = [judge.distances(features[rng.permutation(n)[: n // 2]]) for _ in range(4 * DRAWS)]
    floor, found = Floor(judge.distances(features), halves), {}
    for kind, levels in PIXEL_LEVELS.items():
        values = []
        for level in levels:
            rng = np.random.default_rng(0)
            values.append(judge.distances(judge.features(torch.stack([spoil(x, kind, level, rng) for x in images]))))
        found[kind] = {"n": n, **summary(floor, values, levels)}
        say(f"{kind}: {found[kind]['fid']}")
    return found


def choice_kinds(
    judge: Judge, images: torch.Tensor, rows: list[Row], features: np.ndarray, say: Callable[[str], None]
) -> dict:
    """Badly chosen sets; values are means over draws, and so is the floor of as many well-chosen images."""
    thumbnails = F.interpolate(images.float(), (4, 4), mode="area").flatten(1).numpy()
    found = {}
    for kind, levels in CHOICE_LEVELS.items():
        rng, n = np.random.default_rng(0), set_size(kind, rows)
        sizes = n if n < len(rows) else n // 2  # of all images there is one choice only
        draws = [judge.distances(features[rng.permutation(len(rows))[:sizes]]) for _ in range(4 * DRAWS)]
        clean = judge.distances(features) if n == len(rows) else tuple(np.mean(draws, 0).tolist())
        values = []
        for level in levels:
            drawn = [judge.distances(features[choose(kind, level, rows, thumbnails, n, rng)]) for _ in range(DRAWS)]
            values.append(tuple(np.mean(drawn, 0).tolist()))
        found[kind] = {"n": n, **summary(Floor(clean, draws), values, levels)}
        say(f"{kind}: {found[kind]['fid']}")
    return found


def real_floor(judge: Judge, train_rows: list[Row], n: int) -> dict[str, float]:
    """FID of n images of the training split against the images of its other lesions."""
    groups = np.array([row.group for row in train_rows])
    values = []
    for seed in range(DRAWS):
        names = np.random.default_rng(seed).permutation(np.unique(groups))
        place = {name: i for i, name in enumerate(names)}
        ordered = np.argsort([place[name] for name in groups], kind="stable")
        mean, covariance, _ = gaussian_statistics(judge.reference[ordered[:n]])
        rest = gaussian_statistics(judge.reference[ordered[n:]])
        values.append(frechet_distance(mean, covariance, rest[0], rest[1]))
    return {"fid": round(float(np.mean(values)), 4), "fid_sd": round(float(np.std(values, ddof=1)), 4), "n": n}


def totals(kinds: dict[str, dict]) -> dict[str, object]:
    """Over all kinds: inversions, kinds in perfect order, levels above the floor."""
    fids = [kind["fid"] for kind in kinds.values()]
    return {
        "kinds": len(fids),
        "in_order": sum(fid["inversions"] == 0 for fid in fids),
        "inversions": sum(fid["inversions"] for fid in fids),
        "pairs": sum(len(fid["values"]) * (len(fid["values"]) + 1) // 2 for fid in fids),
        "above_floor": sum(fid["above_floor"] for fid in fids),
        "levels": sum(len(fid["values"]) for fid in fids),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--extractor", default="derm", help="name, folder or module:attr of a feature extractor")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, pack = time.monotonic(), RealPack(args.real)
    train_rows, rows = pack.select("ham10000", "train"), pack.select("ham10000", "val")

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:.0f} s  {text}", flush=True)

    def load(wanted: list[Row]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(pack.image(row)) for row in wanted])

    extractor, images = load_extractor(args.extractor), load(rows)
    judge = Judge(extractor, load(train_rows))
    features = judge.features(images)
    floor = real_floor(judge, train_rows, len(rows))
    say(f"clean {judge.distances(features)[0]:.4f}, floor within the training split {floor}")
    kinds = pixel_kinds(judge, images, features, say) | choice_kinds(judge, images, rows, features, say)
    figures = {"floor_within_training_split": floor, "totals": totals(kinds), "kinds": kinds}
    say(str(figures["totals"]))
    write_result(
        f"degradations_{extractor.name}", figures, data=pack.digest, extractor=extractor.describe(),
        n=len(rows), n_reference=len(train_rows), seconds=round(time.monotonic() - start),
    )  # fmt: skip


if __name__ == "__main__":
    main()
