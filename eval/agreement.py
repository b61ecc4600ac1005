"""Our figures against those of other programs on the same data: python eval/agreement.py [--images 300].

Frechet and kernel distance against torchmetrics with the shipped extractor on simulated images (dermoscopy against
clinical photographs); precision, recall, density and coverage against their definition over all distances; the
scores, with and without weights, against scikit-learn and torchmetrics on drawn predictions with and without ties.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from common import write_result
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import multiclass_calibration_error
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from synthderm.core import DIAGNOSES, Condition, image_seed, load_generator
from synthderm.functional import scores
from synthderm.functional.kernel_distance import kernel_distance_subsets
from synthderm.functional.neighbours import prdc
from synthderm.metrics import FrechetDistance
from synthderm.models.features import FeatureExtractor, load_extractor

Row = dict[str, object]


class InDouble(torch.nn.Module):
    """An extractor whose features are float64, as ours are where distances are computed."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        super().__init__()
        self.extractor, self.num_features = extractor, extractor.num_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, num_features) float64."""
        return self.extractor(images).double()


def row(ours: list[float], theirs: list[float], other: str, aim: float) -> Row:
    """Largest relative difference of several values, and whether it is within the aim."""
    a, b = np.array(ours, dtype=np.float64), np.array(theirs, dtype=np.float64)
    largest = float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-12)))
    return {
        "other": other,
        "values": len(a),
        "ours": float(a[0]),
        "theirs": float(b[0]),
        "largest_relative_difference": float(f"{largest:.2g}"),
        "aim": aim,
        "within_aim": largest <= aim,
    }


def simulated(n: int, modality: str) -> torch.Tensor:
    """``n`` simulated 64 px images of all classes and skin types."""
    codes = list(DIAGNOSES)
    conditions = [Condition(codes[i % len(codes)], fst=1 + i % 6, modality=modality) for i in range(n)]
    generator = load_generator("simulator", size=64, masks="lesion")
    return torch.stack([s.image for s in generator.sample([image_seed(1, i) for i in range(n)], conditions)])


def filled(metric, real: torch.Tensor, synthetic: torch.Tensor):
    for is_real, images in ((True, real), (False, synthetic)):
        for batch in images.split(50):
            metric.update(batch, real=is_real)
    return metric


def frechet_by_matrix_root(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, with the matrix root of scipy."""
    cov_x, cov_y, difference = np.cov(x, rowvar=False), np.cov(y, rowvar=False), x.mean(0) - y.mean(0)
    return float(difference @ difference + np.trace(cov_x + cov_y - 2 * sqrtm(cov_x @ cov_y).real))


def prdc_by_definition(real: np.ndarray, synthetic: np.ndarray, k: int) -> list[float]:
    """Precision, recall, density, coverage from all distances at once."""
    radii_real, radii_synthetic = (np.sort(cdist(a, a), axis=1)[:, k] for a in (real, synthetic))
    between = cdist(real, synthetic)
    inside = between <= radii_real[:, None]
    found = inside.any(0), (between <= radii_synthetic[None]).any(1), inside.sum(0) / k, between.min(1) <= radii_real
    return [float(value.mean()) for value in found]


def distances(extractor: FeatureExtractor, real: torch.Tensor, synthetic: torch.Tensor) -> dict[str, Row]:
    x, y = (extractor(images).double().numpy() for images in (real, synthetic))
    ours = filled(FrechetDistance(extractor), real, synthetic).compute().item()
    doubled = InDouble(extractor)
    theirs = filled(FrechetInceptionDistance(doubled), real, synthetic).compute().item()
    figures = {
        "frechet_torchmetrics": row([ours], [theirs], "torchmetrics FrechetInceptionDistance", 1e-6),
        "frechet_definition": row([ours], [frechet_by_matrix_root(x, y)], "scipy.linalg.sqrtm", 1e-6),
    }
    for name, module in (("float64", doubled), ("float32", extractor)):
        size = min(len(x), len(y)) // 2
        kernel = filled(KernelInceptionDistance(module, subsets=20, subset_size=size), real, synthetic)
        torch.manual_seed(7)
        expected = [value.item() for value in kernel.compute()]
        drawn = kernel_distance_subsets(x, y, torch.Generator().manual_seed(7), subsets=20, subset_size=size)
        aim = 1e-6 if name == "float64" else 1e-3
        figures[f"kernel_{name}"] = row(
            list(drawn), expected, f"torchmetrics KernelInceptionDistance, {name} features, same subsets", aim
        )
    for k in (3, 5):
        ours_k = list(prdc(x, y, k).values())
        figures[f"prdc_k{k}"] = row(ours_k, prdc_by_definition(x, y, k), "all distances at once (scipy cdist)", 1e-12)
    return figures


def draw(seed: int, n: int = 500, classes: int = 7, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and classes of an unbalanced set; rounded probabilities have many ties."""
    rng = np.random.default_rng(seed)
    priors = 0.6 ** np.arange(classes)
    target = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=priors / priors.sum())])
    odds = np.exp(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[target])
    preds = odds / odds.sum(1, keepdims=True)
    return (preds if decimals is None else preds.round(decimals)), target


def sensitivity(target: np.ndarray, value: np.ndarray, w: np.ndarray | None) -> float:
    """Highest sensitivity at a specificity of 0.9 or more, from scikit-learn's ROC curve."""
    fpr, tpr, _ = sklearn_metrics.roc_curve(target, value, sample_weight=w, drop_intermediate=False)
    return float(tpr[fpr <= 0.1 + 1e-12].max())


def macro_auroc(target: np.ndarray, preds: np.ndarray, w: np.ndarray | None) -> float:
    each = [sklearn_metrics.roc_auc_score(target == c, preds[:, c], sample_weight=w) for c in range(preds.shape[1])]
    return float(np.mean(each))


def score_rows() -> dict[str, Row]:
    """Each score on 20 sets, alone and with whole weights from 1 to 4."""
    over_classes: dict[str, tuple[Callable, Callable]] = {
        "balanced_accuracy": (
            scores.balanced_accuracy,
            lambda t, p, w: sklearn_metrics.balanced_accuracy_score(t, p.argmax(1), sample_weight=w),
        ),
        "macro_auroc": (scores.macro_auroc, macro_auroc),
    }
    of_one: dict[str, tuple[Callable, Callable]] = {
        "auroc": (scores.auroc, lambda t, v, w: sklearn_metrics.roc_auc_score(t, v, sample_weight=w)),
        "average_precision": (
            scores.average_precision,
            lambda t, v, w: sklearn_metrics.average_precision_score(t, v, sample_weight=w),
        ),
        "sensitivity_at_90_specificity": (scores.sensitivity_at_specificity, sensitivity),
    }
    figures: dict[str, Row] = {}
    for name, (score, oracle) in (over_classes | of_one).items():
        for weighted in (False, True):
            ours, theirs = [], []
            for seed in range(20):
                preds, target = draw(seed, decimals=None if seed % 2 else 2)
                w = np.random.default_rng(seed).integers(1, 5, len(target)) if weighted else None
                args = (preds, target) if name in over_classes else (preds[:, 2], target == 2)
                ours.append(float(score(*args, None if w is None else w[None])[0]))
                theirs.append(float(oracle(args[1], args[0], w)))
            figures[f"{name}{'_weighted' if weighted else ''}"] = row(ours, theirs, "scikit-learn", 1e-9)
    return figures | calibration_rows()


def calibration_rows() -> dict[str, Row]:
    """Expected calibration error against torchmetrics and against a loop over bins."""
    ours, theirs, loops = [], [], []
    for seed in range(20):
        preds, target = draw(seed)
        ours.append(float(scores.expected_calibration_error(preds, target)[0]))
        theirs.append(float(multiclass_calibration_error(torch.tensor(preds), torch.tensor(target), 7, n_bins=15)))
        confidence, right = preds.max(1), preds.argmax(1) == target
        bins = [(confidence >= i / 15) & (confidence < (i + 1) / 15) for i in range(15)]
        loops.append(sum(abs(right[b].mean() - confidence[b].mean()) * b.mean() for b in bins if b.any()))
    return {
        "calibration_torchmetrics": row(ours, theirs, "torchmetrics MulticlassCalibrationError (float32 bins)", 1e-5),
        "calibration_definition": row(ours, loops, "a loop over the bins", 1e-9),
    }


def main() -> None:
    """Compare and write eval/results/agreement.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="simulated images of each set")
    parser.add_argument("--extractor", default="derm", help="name or path, as load_extractor takes it")
    args = parser.parse_args()
    torch.set_num_threads(1)
    extractor = load_extractor(args.extractor)
    sets = simulated(args.images, "dermoscopy"), simulated(args.images, "clinical")
    figures = distances(extractor, *sets) | score_rows()
    others = {package: version(package) for package in ("torchmetrics", "scikit-learn", "scipy")}
    write_result("agreement", figures, n=args.images, extractor=extractor.describe(), others=others)
    for name, found in figures.items():
        print(f"{name:40} {found['largest_relative_difference']:8.1e} {'ok' if found['within_aim'] else 'MISSED'}")


if __name__ == "__main__":
    main()
