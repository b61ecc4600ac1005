"""How far simulated images are from real ones.

    python eval/realism.py frechet --real train_128.zip [--extractor derm]
    python eval/realism.py gaps --real train_128.zip [--matrix real_stats.npz]
    python eval/realism.py sheets --real train_128.zip [--ham ham.jpg]

``frechet``: Frechet distance in the features of a shipped extractor (real images only) to the real
training images of HAM10000, of the hold-out (the floor), of simulated images with the hold-out's diagnoses
and tones one by one, and of three baselines. ``gaps``: which statistics differ most, per class.
``sheets``: simulated beside real images; only CC0 and CC BY images go to ``eval/results``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, write_result
from PIL import Image, ImageDraw
from real_pack import CLASSES, RealPack, Row, add_real_argument
from real_statistics import image_statistics, measure
from scipy.stats import ks_2samp
from simulated import add_simulator_arguments, scene_parameters, simulate
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from train_checkpoints import load_images

from synthderm.functional.frechet import frechet_distance as distance_of_statistics
from synthderm.functional.frechet import gaussian_statistics, mean_distance
from synthderm.models import load_classifier, load_extractor

OPEN_LICENCES = ("CC0 1.0", "CC BY 4.0")
PRESENT = {"frame_share": 0.01, "hair_share": 0.003, "lesion_white": 0.02, "lesion_blue_grey": 0.02}
"""Above this an image counts as one that has it; medians do not show what most images lack."""
LEAST_IMAGES = 30  # below this a per-class figure is "insufficient"


# ---- Frechet distance


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance of the Gaussians of two (N, D) arrays of features."""
    return distance_of_statistics(*gaussian_statistics(x)[:2], *gaussian_statistics(y)[:2])


def with_interval(features: np.ndarray, reference: np.ndarray, seed: int, draws: int = 20) -> dict[str, object]:
    """The distance at full n, and the range over draws of 80 % of the images without replacement."""
    rng = np.random.default_rng(seed)
    part = int(0.8 * len(features))
    values = [frechet_distance(features[rng.permutation(len(features))[:part]], reference) for _ in range(draws)]
    low, middle, high = np.percentile(values, (2.5, 50, 97.5))
    return {
        "n": len(features),
        "frechet": round(frechet_distance(features, reference), 3),
        "at_80_percent": {
            "n": part,
            "median": round(middle, 3),
            "p2.5": round(low, 3),
            "p97.5": round(high, 3),
        },
    }


def told_apart(features: np.ndarray, real: np.ndarray) -> float:
    """Cross-validated AUROC of a linear classifier, real hold-out against the other set; 0.5 is ideal."""
    x = np.concatenate([real, features])
    y = np.repeat([0, 1], [len(real), len(features)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    preds = cross_val_predict(model, x, y, cv=5, method="decision_function")
    return round(float(roc_auc_score(y, preds)), 4)


# ---- baselines: colours and sizes of real training images, nothing else


def flat_images(
    rows: list[Row], matrix: np.ndarray, columns: list[str], pool: list[Row], mode: str, seed: int
) -> torch.Tensor:
    """A flat ellipse on flat skin, 128 px, for each row.

    Modes: "flat_mean" has the mean colours, size and place of the diagnosis; "flat_drawn" those of one random
    training image of it; "blob_drawn" the same with a Gaussian fall-off and the image's light slope.
    """
    rng = np.random.default_rng(seed)
    usable = np.isfinite(matrix[:, [columns.index(n) for n in ("skin_L", "lesion_dL", "center_x")]]).all(1)
    made = []
    for row in rows:
        same = [i for i, r in enumerate(pool) if usable[i] and r.diagnosis == row.diagnosis]
        values = matrix[same].mean(0) if mode == "flat_mean" else matrix[rng.choice(same)]
        made.append(_ellipse(dict(zip(columns, values.tolist(), strict=True)), rng, mode == "blob_drawn"))
    return torch.stack(made)


def _ellipse(values: dict[str, float], rng: np.random.Generator, soft: bool, size: int = 128) -> torch.Tensor:
    from synthderm.functional.color import lab_to_linear, linear_to_srgb

    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    angle = rng.uniform(0, np.pi)
    u = (x - values["center_x"]) * np.cos(angle) + (y - values["center_y"]) * np.sin(angle)
    v = (y - values["center_y"]) * np.cos(angle) - (x - values["center_x"]) * np.sin(angle)
    ratio = np.sqrt(max(1 - values["eccentricity"] ** 2, 0.05))
    distance = (u**2 * ratio + v**2 / ratio) * np.pi / values["area"]  # 1 on the border
    cover = np.exp(-1.2 * distance) * 1.6 if soft else (distance < 1).astype(float)
    skin = np.array([values[f"skin_{n}"] for n in "Lab"])
    lesion = np.array([values[f"lesion_d{n}"] for n in "Lab"])
    lab = skin + cover[..., None] * lesion
    if soft and np.isfinite(values["light_slope"]):
        turn = rng.uniform(0, 2 * np.pi)
        lab[..., 0] += values["light_slope"] * 2 * (x * np.cos(turn) + y * np.sin(turn))
    linear = lab_to_linear(torch.from_numpy(lab)).clamp(0, 1)
    return (linear_to_srgb(linear) * 255).round().to(torch.uint8).permute(2, 0, 1)


# ---- commands


def run_frechet(args: argparse.Namespace) -> None:
    pack = RealPack(args.real)
    extractor, classifier = load_extractor(args.extractor), load_classifier(args.extractor)

    def extract(images: torch.Tensor) -> np.ndarray:
        return extractor(images).double().numpy()

    train, held_out = pack.select("ham10000", "train"), pack.select("ham10000", "val")
    reference = extract(load_images(pack, train))
    floor = extract(load_images(pack, held_out))
    matrix, columns = training_statistics(pack, train, args.matrix)
    sets = {"real hold-out (floor)": floor}
    for k in range(args.replicas):
        images = torch.stack([s.image for s in simulate(held_out, args.seed + k, scene_parameters(args.set))])
        sets[f"simulator, seed {args.seed + k}"] = extract(images)
        if args.looks:
            parameters = {"camera.cast": "ham10000", "camera.calibrated": False} | scene_parameters(args.set)
            images = torch.stack([s.image for s in simulate(held_out, args.seed + k, parameters)])
            sets[f"simulator, HAM10000 look, seed {args.seed + k}"] = extract(images)
    for mode in ("flat_mean", "flat_drawn", "blob_drawn"):
        sets[mode] = extract(flat_images(held_out, matrix, columns, train, mode, args.seed))
    figures: dict[str, object] = {}
    for name, features in sets.items():
        figures[name] = with_interval(features, reference, args.seed) | {
            "auroc_against_hold_out": None if features is floor else told_apart(features, floor),
            "recognised_as_requested": recognised(classifier.network.head, features, held_out),
            "classes": per_class(features, reference, held_out, train),
        }
        print(f"{name:45s} {figures[name]['frechet']:8.3f}", flush=True)
    write_result(
        args.name, figures, data=pack.digest, extractor=extractor.describe(), reference="HAM10000 train split",
        n_reference=len(train), n_hold_out=len(held_out), simulator_settings=args.set, seed=args.seed,
    )  # fmt: skip


@torch.no_grad()
def recognised(head: torch.nn.Module, features: np.ndarray, rows: list[Row]) -> dict[str, float]:
    """Share of each diagnosis that the real-trained head names as requested."""
    preds = head(torch.from_numpy(features).float()).argmax(1).numpy()
    target = np.array([CLASSES.index(r.diagnosis) for r in rows])
    shares = {c: round(float((preds[target == i] == i).mean()), 3) for i, c in enumerate(CLASSES)}
    return shares | {"balanced": round(float(np.mean(list(shares.values()))), 3)}


def per_class(features: np.ndarray, reference: np.ndarray, rows: list[Row], train: list[Row]) -> dict[str, object]:
    """Frechet distance of the class at the hold-out's n, and the unbiased distance of the means."""
    labels, pool = np.array([r.diagnosis for r in rows]), np.array([r.diagnosis for r in train])
    table: dict[str, object] = {}
    for c in CLASSES:
        x, y = features[labels == c], reference[pool == c]
        enough = len(x) >= LEAST_IMAGES
        table[c] = {
            "n": len(x),
            "frechet": round(frechet_distance(x, y), 3) if enough else "insufficient",
            "mean_distance": round(mean_distance(x, y), 3),
        }
    return table


def training_statistics(pack: RealPack, rows: list[Row], cached: str | None) -> tuple[np.ndarray, list[str]]:
    """Statistics of ``rows``, measured now or taken from a matrix that ``real_statistics.py`` wrote."""
    if not cached:
        return measure(pack, rows)
    stored = np.load(cached)
    place = {name: i for i, name in enumerate(stored["name"].tolist())}
    return stored["matrix"][[place[r.file] for r in rows]], stored["columns"].tolist()


def run_gaps(args: argparse.Namespace) -> None:
    if args.n < LEAST_IMAGES:
        raise SystemExit(f"-n must be at least {LEAST_IMAGES}, but got {args.n}")
    pack = RealPack(args.real)
    train = pack.select("ham10000", "train")
    matrix, columns = training_statistics(pack, train, args.matrix)
    labels = np.array([r.diagnosis for r in train])
    rng = np.random.default_rng(args.seed)
    figures: dict[str, object] = {}
    for c in CLASSES:
        same = [r for r in train if r.diagnosis == c]
        rows = [same[i] for i in rng.choice(len(same), args.n, replace=len(same) < args.n)]
        samples = simulate(rows, args.seed, scene_parameters(args.set))
        found = [image_statistics(s.image.numpy(), s.masks["lesion"].numpy()) for s in samples]
        simulated = np.array([[f.get(name, np.nan) for name in columns] for f in found])
        figures[c] = compare(simulated, matrix[labels == c], columns)
        print_gaps(c, figures[c], args.top)
    known = {n: [figures[c][n]["ks"] for c in CLASSES if n in figures[c]] for n in columns}
    mean = {n: float(np.mean(values)) for n, values in known.items() if values}
    order = sorted(mean, key=lambda n: -mean[n])
    print("\nmean KS over classes: " + ", ".join(f"{n} {mean[n]:.2f}" for n in order[: 2 * args.top]))
    overall = float(np.mean([mean[n] for n in order]))
    print(f"mean KS over all {len(order)} statistics and classes: {overall:.3f}")
    figures["all"] = {"mean_ks": round(overall, 4), "ks": {n: round(mean[n], 3) for n in order}}
    write_result(
        args.name, figures, data=pack.digest, n_simulated_per_class=args.n, simulator_settings=args.set,
        seed=args.seed, columns={"d": "difference of medians / real spread", "spread": "ratio of IQRs"},
    )  # fmt: skip


def compare(simulated: np.ndarray, real: np.ndarray, columns: list[str]) -> dict[str, dict[str, Any]]:
    """Name -> medians, standardised difference, ratio of spreads, KS distance; largest KS first."""
    table = {}
    for name, s, r in zip(columns, simulated.T, real.T, strict=True):
        s, r = s[np.isfinite(s)], r[np.isfinite(r)]
        if min(len(s), len(r)) < LEAST_IMAGES / 2:
            continue
        (s25, s50, s75), (r25, r50, r75) = np.percentile(s, (25, 50, 75)), np.percentile(r, (25, 50, 75))
        spread = max((r75 - r25) / 1.349, r.std() / 3, 1e-6)
        table[name] = {
            "simulated": round(float(s50), 4),
            "real": round(float(r50), 4),
            "d": round(float((s50 - r50) / spread), 2),
            "spread": round(float((s75 - s25) / 1.349 / spread), 2),
            "ks": round(float(ks_2samp(s, r).statistic), 3),
        }
        if name in PRESENT:
            present = [round(float((v > PRESENT[name]).mean()), 3) for v in (s, r)]
            table[name]["images_with_it"] = dict(zip(("simulated", "real"), present, strict=True))
    return dict(sorted(table.items(), key=lambda item: -item[1]["ks"]))


def print_gaps(name: str, table: dict[str, dict[str, Any]], top: int) -> None:
    print(f"\n{name:22s} {'simulated':>10s} {'real':>10s} {'d':>7s} {'spread':>7s} {'KS':>6s}")
    for statistic, row in list(table.items())[:top]:
        print(
            f"  {statistic:20s} {row['simulated']:10.3f} {row['real']:10.3f} "
            f"{row['d']:7.2f} {row['spread']:7.2f} {row['ks']:6.2f}"
        )
    shares = [f"{n} {table[n]['images_with_it']}" for n in PRESENT if n in table]
    print("  images with it: " + "; ".join(shares))


def run_sheets(args: argparse.Namespace) -> None:
    pack = RealPack(args.real)
    rng = np.random.default_rng(args.seed)
    parameters = scene_parameters(args.set)
    for dataset, modality, path in (
        ("isic2017", "dermoscopy", RESULTS / "sheet_dermoscopy.jpg"),
        ("padufes20", "clinical", RESULTS / "sheet_clinical.jpg"),
        ("ham10000", "dermoscopy", Path(args.ham) if args.ham else None),
    ):
        if path is None:
            continue
        rows = pack.select(dataset)
        if dataset != "ham10000" and any(r.licence not in OPEN_LICENCES for r in rows):
            raise SystemExit(f"{dataset}: not all images may be shown in public")
        write_sheet(pack, rows, modality, path, rng, args, parameters)


def write_sheet(pack, rows, modality, path, rng, args, parameters) -> None:
    """Six real images on the left and six simulated ones on the right, a row for each diagnosis."""
    tile, columns, gap = 128, 6, 24
    sheet = Image.new("RGB", (2 * columns * tile + gap, len(CLASSES) * tile + 18), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 3), f"real ({rows[0].dataset}, {rows[0].licence})", "black")
    draw.text((columns * tile + gap + 4, 3), f"simulated ({modality})", "black")
    for i, c in enumerate(CLASSES):
        same = [r for r in rows if r.diagnosis == c]
        shown = [same[k] for k in rng.permutation(len(same))[:columns]]
        like = shown if len(shown) == columns else [_any_row(c) for _ in range(columns)]
        samples = simulate(like, args.seed + 100 * i, parameters, modality)
        for k, row in enumerate(shown):
            _paste(sheet, pack.image(row), k * tile, 18 + i * tile)
        for k, sample in enumerate(samples):
            _paste(sheet, sample.image.numpy(), (columns + k) * tile + gap, 18 + i * tile)
        draw.text((columns * tile + 2, 22 + i * tile), c, "black")
        if not shown:
            draw.text((8, 22 + i * tile), f"no {c} image under an open licence in this set", "black")
    path.parent.mkdir(exist_ok=True)
    sheet.save(path, quality=82)
    print(f"wrote {path.name}, {path.stat().st_size // 1000} kB")


def _any_row(diagnosis: str) -> Row:
    return Row("", "", diagnosis, "", "", "", "", float("nan"))


def _paste(sheet: Image.Image, image: np.ndarray, x: int, y: int) -> None:
    sheet.paste(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), (x, y))


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    frechet = commands.add_parser("frechet", help="Frechet distances, floor and baselines")
    frechet.add_argument("--extractor", default="derm", help="derm or derm-open")
    frechet.add_argument("--replicas", type=int, default=2, help="independent simulated sets")
    frechet.add_argument("--no-looks", dest="looks", action="store_false", help="leave the HAM10000 look out")
    frechet.add_argument("--name", default="realism")
    frechet.set_defaults(run=run_frechet)
    gaps = commands.add_parser("gaps", help="which statistics differ most, per class")
    gaps.add_argument("-n", type=int, default=150, help="simulated images per class")
    gaps.add_argument("--top", type=int, default=15)
    gaps.add_argument("--name", default="realism_gaps")
    gaps.set_defaults(run=run_gaps)
    sheets = commands.add_parser("sheets", help="simulated beside real, as pictures")
    sheets.add_argument("--ham", help="also a sheet with HAM10000 (CC BY-NC: not for the repository), here")
    sheets.set_defaults(run=run_sheets)
    for command in (frechet, gaps, sheets):
        add_real_argument(command)
        add_simulator_arguments(command)
    for command in (frechet, gaps):
        command.add_argument("--matrix", help="statistics that real_statistics.py wrote; measured anew without")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args.run(args)


if __name__ == "__main__":
    main()
