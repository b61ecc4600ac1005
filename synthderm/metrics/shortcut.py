"""Can the class be told from the background alone?

A generator that learns "melanomas lie on lilac skin" gives a classifier a way to be right without looking at the
lesion. Only pixels near the frame and in the corners are looked at, and of those only the ones outside the lesion's
mask: what fills the hole of a mask, and its outline, would themselves tell the class. The figure of the real set
belongs beside it, for real sets have such shortcuts too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics import Metric

from synthderm.core import InputError
from synthderm.functional.bootstrap import Interval, group_interval, group_strata
from synthderm.functional.scores import auroc, macro_auroc

CORNER, EDGE = 0.16, 0.08
"""Side of the four corner patches and width of the frame, as shares of the image's sides."""

MARGIN = 0.08
"""The mask is widened by this share of the shorter side before its pixels are left out."""

LEAST_LEFT = 0.25
"""Share of the pixels of the corners, and of the frame, that must lie outside the widened mask."""

LEAST_PER_CLASS = 10
FOLDS = 5
FEATURES = (
    *(f"{where} {what}" for where in ("corner", "edge") for what in (
        "mean red", "mean green", "mean blue", "spread red", "spread green", "spread blue", "gradient", "saturation"
    )),
    "vignette",
)  # fmt: skip
"""What is measured of each image; see :func:`background_statistics`."""

_SHRINKAGE = 0.01
_BLOCK = 64


def background_statistics(images: torch.Tensor, masks: torch.Tensor | None = None) -> np.ndarray:
    """Colour and edges of the corners and of the frame, outside the lesion.

    Of both regions the mean and the standard deviation of each channel, the log mean gradient of the grey image
    (central differences) and the mean saturation (max - min) / max; last the mean grey of the corners less that of the
    frame (vignetting). Values are taken over the pixels that are left, whatever their number.

    Args:
        images: (N, 3, H, W) uint8, sRGB, at least 16 px.
        masks: (N, H, W) bool lesion masks; None: the corners and the frame as they are, lesion or not.

    Returns:
        (N, 17) float64; nan in all columns where less than a quarter of the corners or of the frame is left.

    Raises:
        InputError: if the shapes do not fit.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or min(images.shape[-2:]) < 16:
        raise InputError(f"expected (N, 3, H, W) uint8 images of 16 px or more, got {tuple(images.shape)}")
    if masks is not None and tuple(masks.shape) != (len(images), *images.shape[-2:]):
        raise InputError(f"expected {(len(images), *images.shape[-2:])} masks, got {tuple(masks.shape)}")
    parts = [
        _statistics(images[i : i + _BLOCK], None if masks is None else masks[i : i + _BLOCK])
        for i in range(0, len(images), _BLOCK)
    ]
    return torch.cat(parts).numpy() if parts else np.empty((0, len(FEATURES)))


def _statistics(images: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
    """The same for a few images."""
    x = images.double() / 255
    outside = torch.ones(len(x), *x.shape[-2:], dtype=torch.bool) if masks is None else ~_widened(masks)
    grey = x.mean(1)
    top, low = x.amax(1), x.amin(1)
    planes = torch.cat([x, _gradient(grey)[:, None], ((top - low) / top.clamp_min(1 / 255))[:, None]], 1)
    parts, greys, enough = [], [], torch.ones(len(x), dtype=torch.bool)
    for region in regions(*x.shape[-2:]):
        kept = (outside & region).double()
        count = kept.sum((1, 2))
        enough &= count >= LEAST_LEFT * int(region.sum())
        mean = (planes * kept[:, None]).sum((2, 3)) / count.clamp_min(1)[:, None]
        away = (x - mean[:, :3, None, None]).square() * kept[:, None]
        spread = (away.sum((2, 3)) / count.clamp_min(1)[:, None]).sqrt()
        parts += [mean[:, :3], spread, (mean[:, 3:4] + 1e-4).log(), mean[:, 4:5]]
        greys.append(mean[:, :3].mean(1))
    found = torch.cat([*parts, (greys[0] - greys[1])[:, None]], 1)
    found[~enough] = torch.nan
    return found


def regions(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The four corner patches, and the frame without them, (H, W) bool each."""
    corner, edge = round(CORNER * height), round(CORNER * width)
    down, across = torch.arange(height)[:, None], torch.arange(width)[None]
    corners = ((down < corner) | (down >= height - corner)) & ((across < edge) | (across >= width - edge))
    high, wide = max(1, round(EDGE * height)), max(1, round(EDGE * width))
    frame = (down < high) | (down >= height - high) | (across < wide) | (across >= width - wide)
    return corners, frame & ~corners


def _widened(masks: torch.Tensor) -> torch.Tensor:
    size = 2 * max(1, round(MARGIN * min(masks.shape[-2:]))) + 1
    across = F.max_pool2d(masks[:, None].float(), (1, size), 1, (0, size // 2))
    return F.max_pool2d(across, (size, 1), 1, (size // 2, 0))[:, 0] > 0.5


def _gradient(grey: torch.Tensor) -> torch.Tensor:
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down, across = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    return (down.square() + across.square()).sqrt() / 2


def discriminant_probabilities(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, shrinkage: float = _SHRINKAGE
) -> np.ndarray:
    """Linear discriminant analysis with equal priors (Hastie, Tibshirani & Friedman 2009, eq. 4.10).

    Columns are standardised; the pooled covariance S becomes (1 - a) S + a tr(S)/D I.

    Args:
        train: (N, D).
        labels: (N,) int, every class occurs.
        test: (M, D).
        classes: C.
        shrinkage: a, 0 to 1.

    Returns:
        (M, C) probabilities.
    """
    centre, scale = train.mean(0), train.std(0) + 1e-9
    x, y = (train - centre) / scale, (test - centre) / scale
    means = np.stack([x[labels == c].mean(0) for c in range(classes)])
    within = x - means[labels]
    pooled = within.T @ within / max(1, len(x) - classes)
    size = len(pooled)
    pooled = (1 - shrinkage) * pooled + shrinkage * (np.trace(pooled) / size + 1e-9) * np.eye(size)
    weights = np.linalg.solve(pooled, means.T)
    logits = y @ weights - 0.5 * np.einsum("cd,dc->c", means, weights)
    logits -= logits.max(1, keepdims=True)
    likelihood = np.exp(logits)
    return likelihood / likelihood.sum(1, keepdims=True)


def deal_folds(labels: np.ndarray, groups: np.ndarray, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """(N,) int64 fold of each image: groups stay whole, those of a class are dealt out in turn.

    Args:
        labels: (N,) int; a group counts as its commonest class.
        groups: (N,) int.
        folds: how many.
        seed: of the order in which groups are dealt.
    """
    names, members = np.unique(groups, return_inverse=True)
    table = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(table, (members, labels), 1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(table.argmax(1)[order], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % folds
    return fold[members]


def held_out_probabilities(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: int = FOLDS, seed: int = 0
) -> np.ndarray:
    """Class probabilities of every image from a discriminant that has not seen its group.

    Args:
        features: (N, D), finite.
        labels: (N,) int, 0 to C - 1.
        groups: (N,) int.
        folds: of the cross-validation.
        seed: of the folds.

    Returns:
        (N, C) float64.

    Raises:
        InputError: for values that are not finite, one class only, or a class that a fold's other images lack.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if not np.isfinite(features).all():
        raise InputError("expected finite features, got nan or infinity; leave such images out first")
    classes = int(labels.max()) + 1 if len(labels) else 0
    if len(np.unique(labels)) != classes or classes < 2:
        raise InputError(f"expected labels 0 to C - 1 of at least 2 classes, got {np.unique(labels).tolist()}")
    fold = deal_folds(labels, np.asarray(groups), folds, seed)
    found = np.empty((len(labels), classes))
    for which in range(folds):
        test = fold == which
        if len(np.unique(labels[~test])) < classes:
            raise InputError(f"a class has too few lesions or patients for {folds} folds; give at least {2 * folds}")
        found[test] = discriminant_probabilities(features[~test], labels[~test], features[test], classes)
    return found


def fold_auroc(
    probabilities: np.ndarray, labels: np.ndarray, fold: np.ndarray, which: int | None = None, weights: Any = None
) -> np.ndarray:
    """Area under the ROC curve of one class against the rest, or the mean over classes, within folds and averaged.

    Ranks of all folds together would lie below chance where there is nothing to learn: a fold with more of a class
    leaves fewer of it to train on (Parker, Gunter & Bedo 2007).

    Args:
        probabilities: (N, C) of :func:`held_out_probabilities`.
        labels: (N,) int.
        fold: (N,) int of :func:`deal_folds`, the ones that the probabilities were made with.
        which: the class; None: the mean over classes.
        weights: (R, N) or None.

    Returns:
        (R,), or (1,) without weights.
    """
    each = []
    for name in np.unique(fold):
        inside = fold == name
        weight = None if weights is None else weights[:, inside]
        if which is None:
            each.append(macro_auroc(probabilities[inside], labels[inside], weight))
        else:
            each.append(auroc(probabilities[inside, which], labels[inside] == which, weight))
    return np.mean(each, axis=0)


def shortcut_intervals(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    fold: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Interval, list[Interval]]:
    """The macro figure of :func:`fold_auroc` and that of every class, with their intervals.

    Intervals are 95 %, over groups, of fixed predictions: that other folds or images would give another classifier is
    not in them.

    Args:
        probabilities: (N, C) of :func:`held_out_probabilities`.
        labels: (N,) int.
        groups: (N,) int.
        fold: (N,) int, see :func:`fold_auroc`.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    strata = fold * probabilities.shape[1] + group_strata(groups, labels)
    options = {"resamples": resamples, "seed": seed, "bounds": (0.0, 1.0), "strata": strata}
    found = [
        group_interval(lambda p, w, c=c: fold_auroc(p, labels, fold, c, w), [probabilities], groups, **options)
        for c in (None, *range(probabilities.shape[1]))
    ]
    return found[0], found[1:]


class BackgroundShortcut(Metric):
    """Macro AUROC of a classifier that sees only the background; 0.5 is chance. See :func:`background_statistics`.

    Attributes:
        features: batches of (N, 17) float64, nan where a lesion leaves too little background.
        labels: batches of (N,) int64.
        groups: batches of (N,) int64.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    features: list[torch.Tensor]
    labels: list[torch.Tensor]
    groups: list[torch.Tensor]

    def __init__(self, folds: int = FOLDS, seed: int = 0, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            folds: of the cross-validation.
            seed: of the folds.
            **kwargs: of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.folds, self.seed = folds, seed
        for name in ("features", "labels", "groups"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        masks: torch.Tensor | None = None,
        groups: torch.Tensor | None = None,
    ) -> None:
        """Add (N, 3, H, W) uint8 images with (N,) labels, lesion masks if there are any.

        Groups are (N,) numbers of lesions or patients, in all updates or in none; without them each image is one.
        """
        seen = sum(len(part) for part in self.labels)
        own = torch.arange(seen, seen + len(images))
        self.features.append(torch.from_numpy(background_statistics(images.cpu(), masks)).to(self.device))
        self.labels.append(labels.to(self.device).long())
        self.groups.append((own if groups is None else groups).to(self.device).long())

    def compute(self) -> torch.Tensor:
        """The figure, a float64 number; images that leave too little background are not in it."""
        features, labels, groups = (_joined(getattr(self, name)) for name in ("features", "labels", "groups"))
        kept = np.isfinite(features).all(1)
        labels = np.unique(labels[kept], return_inverse=True)[1]
        found = held_out_probabilities(features[kept], labels, groups[kept], self.folds, self.seed)
        fold = deal_folds(labels, groups[kept], self.folds, self.seed)
        return torch.tensor(fold_auroc(found, labels, fold)[0], dtype=torch.float64)


def _joined(kept: torch.Tensor | list[torch.Tensor]) -> np.ndarray:
    return (kept if isinstance(kept, torch.Tensor) else torch.cat(kept)).cpu().numpy()
