"""Is one picture another one cropped, turned, recoloured? Small views to find candidates, aligned detail to tell.

Two skin lesions are alike at first sight: a dark blob on smooth skin. What tells a copy is the detail that remains when
the blob is taken away, laid over the other picture at the right turn, crop and shift.

1. :func:`view_descriptors` of a training image: grey 24 x 24 px views of it and of 34 crops, whitened by
   :func:`fit_basis` so that the common blob counts for little. The eight turns and flips of a query are compared with
   all of them by scalar products; the best few training images are candidates.
2. :func:`detail_correlation`: the query and the candidate's crop at 32 px, the local mean and contrast taken out, a
   band of frequencies weighted up as natural images fall off, correlated over all small shifts by a Fourier transform.

What becomes of the correlations is in :mod:`synthderm.models.copies`; recall and false alarms are in
``eval/results/audit_controls.json``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F

from synthderm.core import InputError

THUMB, VIEW, DETAIL = 64, 24, 32
"""Sides of the kept thumbnail, of a view, and of the images whose detail is correlated, px."""

DIHEDRAL = 8
COMPONENTS = 64

CROPS: tuple[tuple[float, int], ...] = ((1.0, 1), (0.9, 3), (0.8, 3), (0.7, 4))
"""(side of the crop as a share of the image's, places along each axis): 1 + 9 + 9 + 16 = 35 views."""

_ZOOMS = (0.95, 1.0, 1.05)  # tried around the side of a crop
_LOW, _HIGH = 5.0, 13.0  # cycles per image
_REACH = 3  # shift that is searched, px of DETAIL
_NEIGHBOURHOOD = 9  # of the local mean and contrast, px of DETAIL
_CONTRAST_FLOOR = 2.0  # grey levels; flat places do not become noise
_SPREAD_FLOOR = 1.0  # grey levels


@dataclass(frozen=True)
class Basis:
    """What makes a view a descriptor.

    Attributes:
        mean: (576,) mean of the standardised, windowed views.
        projection: (576, D) principal axes, each divided by its standard deviation.
    """

    mean: torch.Tensor
    projection: torch.Tensor


def grey_thumbnails(images: torch.Tensor) -> torch.Tensor:
    """Mean of the channels, brought to 64 x 64 px with antialiasing.

    Args:
        images: (N, 3, H, W) uint8, sRGB; other shapes than squares are squeezed.

    Returns:
        (N, 64, 64) uint8.

    Raises:
        InputError: for another shape or type.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise InputError(f"expected (N, 3, H, W) uint8 images, got {tuple(images.shape)} {images.dtype}")
    grey = images.float().mean(1, keepdim=True)
    small = F.interpolate(grey, size=(THUMB, THUMB), mode="bilinear", antialias=True, align_corners=False)
    return small[:, 0].round().clamp(0, 255).to(torch.uint8)


def dihedral(x: torch.Tensor, which: int) -> torch.Tensor:
    """One of the eight turns and flips of (..., S, S): ``which // 2`` quarter turns, then a flip if it is odd."""
    turned = x.rot90(which // 2, (-2, -1))
    return turned.flip(-1) if which % 2 else turned


@cache
def crop_boxes() -> tuple[tuple[float, float, float], ...]:
    """(top, left, side) of every crop of :data:`CROPS`, as shares of the image, in the order of the views."""
    boxes = []
    for side, places in CROPS:
        starts = [(1 - side) * i / max(places - 1, 1) for i in range(places)]
        boxes += [(top, left, side) for top in starts for left in starts]
    return tuple(boxes)


@cache
def _sampling(start: float, length: float, inputs: int, outputs: int) -> torch.Tensor:
    """(outputs, inputs): linear interpolation of [start, start + length] of an axis, widened where it reduces."""
    centre = (start + (torch.arange(outputs) + 0.5) / outputs * length) * inputs - 0.5
    width = max(1.0, length * inputs / outputs)
    weight = (1 - (torch.arange(inputs)[None] - centre[:, None]).abs() / width).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


def _views(thumbs: torch.Tensor) -> torch.Tensor:
    """(N, 64, 64) float to (N, 35, 24, 24): the image and its crops."""
    parts = []
    for side, places in CROPS:
        starts = [(1 - side) * i / max(places - 1, 1) for i in range(places)]
        rows = torch.cat([_sampling(start, side, THUMB, VIEW) for start in starts])
        across = (thumbs.reshape(-1, THUMB) @ rows.T).view(len(thumbs), THUMB, -1)
        both = (across.mT.reshape(-1, THUMB) @ rows.T).view(len(thumbs), places, VIEW, places, VIEW)
        parts.append(both.permute(0, 3, 1, 4, 2).reshape(len(thumbs), -1, VIEW, VIEW))
    return torch.cat(parts, 1)


@cache
def _window(side: int, flat: float, least: float) -> torch.Tensor:
    """(side, side): 1 in the middle, falling by a cosine to ``least`` along the frame."""
    away = ((torch.arange(side) + 0.5) / side * 2 - 1).abs().sub(flat).clamp_min(0) / (1 - flat)
    line = least + (1 - least) * torch.cos(away * math.pi / 2) ** 2
    return line[:, None] * line[None]


def _standardised(views: torch.Tensor) -> torch.Tensor:
    """(..., 24, 24) to (..., 576): brightness and contrast taken out, the frame weighted down."""
    centred = views - views.mean((-2, -1), keepdim=True)
    spread = centred.square().mean((-2, -1), keepdim=True).sqrt()
    return (centred / (spread + _SPREAD_FLOOR) * _window(VIEW, 0.75, 0.3)).flatten(-2)


def fit_basis(thumbs: torch.Tensor, components: int = COMPONENTS) -> Basis:
    """Principal axes of the whole images in all eight turns, scaled to variance 1 (whitening).

    Args:
        thumbs: (N, 64, 64) uint8 of the training images; a few hundred are enough.
        components: length of a descriptor.

    Raises:
        InputError: if there are fewer than two images.
    """
    if len(thumbs) < 2:
        raise InputError(f"expected at least 2 images to compare with, got {len(thumbs)}")
    rows = _sampling(0.0, 1.0, THUMB, VIEW)
    small = rows @ thumbs.float() @ rows.T
    values = torch.cat([_standardised(dihedral(small, which)) for which in range(DIHEDRAL)])
    mean = values.mean(0)
    centred = (values - mean).double()
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    variance, axes = variance.flip(0)[:components], axes.flip(1)[:, :components]
    return Basis(mean, (axes / variance.clamp_min(variance[0] * 1e-6).sqrt()).float())


def _descriptors(views: torch.Tensor, basis: Basis) -> torch.Tensor:
    return F.normalize((_standardised(views) - basis.mean) @ basis.projection, dim=-1)


def view_descriptors(thumbs: torch.Tensor, basis: Basis, block: int = 256) -> torch.Tensor:
    """Descriptors of every view of training images.

    Args:
        thumbs: (N, 64, 64) uint8.
        basis: of :func:`fit_basis`.
        block: images at a time.

    Returns:
        (N, 35, D) float16, rows of length 1.
    """
    parts = [_descriptors(_views(part.float()), basis).half() for part in thumbs.split(block)]
    return torch.cat(parts) if parts else torch.empty(0, len(crop_boxes()), basis.projection.shape[1]).half()


def query_descriptors(thumbs: torch.Tensor, basis: Basis) -> torch.Tensor:
    """(N, 64, 64) uint8 queries to the descriptors of their eight turns and flips, (N, 8, D) float32."""
    rows = _sampling(0.0, 1.0, THUMB, VIEW)
    small = rows @ thumbs.float() @ rows.T
    return torch.stack([_descriptors(dihedral(small, which), basis) for which in range(DIHEDRAL)], 1)


def best_views(queries: torch.Tensor, views: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each query the k training images with the most similar view.

    Args:
        queries: (N, 8, D) of :func:`query_descriptors`.
        views: (M, 35, D) of :func:`view_descriptors`.
        k: candidates wanted, at most M.

    Returns:
        Similarities (N, k), best first, and rows of ``views`` (N, k) int64.
    """
    flat, values, rows = queries.flatten(0, 1), [], []
    block = max(1, (2 << 20) // max(1, len(flat) * views.shape[1]))
    for start in range(0, len(views), block):
        part = views[start : start + block]
        similar = (part.flatten(0, 1).float() @ flat.T).view(len(part), part.shape[1], len(queries), DIHEDRAL)
        best, place = similar.amax((1, 3)).T.topk(min(k, len(part)), 1)
        values, rows = [*values, best], [*rows, place + start]
        if len(values) > 8:
            values, rows = _best_of(values, rows, k)
    values, rows = _best_of(values, rows, k)
    return values[0], rows[0]


def _best_of(
    values: Sequence[torch.Tensor], rows: Sequence[torch.Tensor], k: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    together, places = torch.cat(tuple(values), 1), torch.cat(tuple(rows), 1)
    best, chosen = together.topk(min(k, together.shape[1]), 1)
    return [best], [places.gather(1, chosen)]


def aligned_scores(
    queries: torch.Tensor, turns: torch.Tensor, train: torch.Tensor, views: torch.Tensor
) -> torch.Tensor:
    """How well the detail of each query lies over a crop of a training image.

    Args:
        queries: (P, 64, 64) uint8, the query of each pair.
        turns: (P,) int64, which of the eight turns of it is compared.
        train: (P, 64, 64) uint8, the training image of each pair.
        views: (P,) int64, which crop of it, an index into :func:`crop_boxes`.

    Returns:
        (P,) float32, -1 to 1: the best over small shifts and three zooms.
    """
    turned = torch.empty(queries.shape)
    for which in range(DIHEDRAL):
        turned[turns == which] = dihedral(queries[turns == which], which).float()
    whole = _sampling(0.0, 1.0, THUMB, DETAIL)
    first = detail_spectrum(whole @ turned @ whole.T)
    rows, columns = _zoomed_boxes()
    best = torch.full((len(queries),), -1.0)
    for zoom in range(len(_ZOOMS)):
        crop = rows[views, zoom] @ train.float() @ columns[views, zoom].mT
        best = torch.maximum(best, detail_correlation(first, detail_spectrum(crop)))
    return best


@cache
def _zoomed_boxes() -> tuple[torch.Tensor, torch.Tensor]:
    """Sampling of rows and of columns for every crop and zoom, (35, 3, 32, 64) each."""
    rows, columns = [], []
    for top, left, side in crop_boxes():
        for zoom in _ZOOMS:
            new = min(side * zoom, 1.0)
            up, along = (min(max(start + (side - new) / 2, 0.0), 1 - new) for start in (top, left))
            rows.append(_sampling(up, new, THUMB, DETAIL))
            columns.append(_sampling(along, new, THUMB, DETAIL))
    shape = (len(crop_boxes()), len(_ZOOMS), DETAIL, THUMB)
    return torch.stack(rows).view(shape), torch.stack(columns).view(shape)


@cache
def _band() -> tuple[torch.Tensor, torch.Tensor]:
    """Weight of every frequency of the half plane, and how often it counts in a sum over the whole plane."""
    down = torch.fft.fftfreq(DETAIL, 1 / DETAIL)[:, None]
    across = torch.fft.rfftfreq(DETAIL, 1 / DETAIL)[None]
    radius = (down**2 + across**2).sqrt()
    # amplitudes of natural images fall as 1 / frequency (Field 1987): times the frequency makes them even
    weight = (1 - torch.exp(-((radius / _LOW) ** 4))) * torch.exp(-((radius / _HIGH) ** 4)) * (radius + 1)
    times = torch.full_like(radius, 2.0)
    times[:, [0, -1]] = 1.0
    return weight, times


def _local_mean(x: torch.Tensor) -> torch.Tensor:
    half = _NEIGHBOURHOOD // 2
    padded = F.pad(x[:, None], (half, half, half, half), mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, _NEIGHBOURHOOD), 1), (_NEIGHBOURHOOD, 1), 1)[:, 0]


def detail_spectrum(images: torch.Tensor) -> torch.Tensor:
    """The detail of grey images as a spectrum of energy 1.

    Each pixel less its local mean, divided by the local standard deviation; then 5 to 13 cycles per image.

    Args:
        images: (N, 32, 32) float, grey levels 0 to 255.

    Returns:
        (N, 32, 17) complex; zero for an image without any detail.
    """
    centred = images - _local_mean(images)
    level = centred / (_local_mean(centred.square()).sqrt() + _CONTRAST_FLOOR)
    weight, times = _band()
    spectrum = torch.fft.rfft2(level * _window(DETAIL, 0.7, 0.0)) * weight
    energy = (spectrum.real.square() + spectrum.imag.square()).mul(times).sum((1, 2)).sqrt()
    return spectrum / (energy[:, None, None] + 1e-6)


def detail_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Highest correlation of two images over shifts of up to 3 px of 32.

    The matched filter for coloured noise: both are whitened, then correlated by the Fourier shift theorem.

    Args:
        first: (P, 32, 17) complex of :func:`detail_spectrum`.
        second: the same.

    Returns:
        (P,) float32, -1 to 1.
    """
    plane = torch.fft.irfft2(first * second.conj(), s=(DETAIL, DETAIL)) * DETAIL**2
    near = torch.arange(-_REACH, _REACH + 1) % DETAIL
    return plane[:, near][:, :, near].amax((1, 2))
