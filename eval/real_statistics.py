"""What real images measure: geometry, colour, texture and artefacts, per data set and class.

    python eval/real_statistics.py --real train_128.zip --matrix real_stats.npz

:func:`image_statistics` is the measuring tool; the prior fit of the simulator and ``eval/realism.py`` use it
on simulated images too, so that both are measured alike. Lengths are shares of the image's width, scales are
given for 128 px and grow with the image. Colours are CIELAB (D65).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from functools import lru_cache

import numpy as np
from common import write_result
from real_pack import CLASSES, RealPack, add_real_argument
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from sklearn.mixture import GaussianMixture

SCALES_PX = (0.6, 1.2, 2.4, 4.8, 9.6)
"""Blur widths at 128 px; neighbours make the difference-of-Gaussians bands 1 (finest) to 4."""

QUANTILES = (5, 10, 25, 50, 75, 90, 95)
SKIN_REFERENCE = np.array([70.0, 12.0, 14.0], np.float32)
"""Lab to which the skin is shifted before colours are named, so that a camera's cast names none."""

_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
) / np.array([[0.95047], [1.0], [1.08883]], np.float32)
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_lab(image: np.ndarray) -> np.ndarray:
    """(3, H, W) uint8 sRGB to (3, H, W) float32 CIELAB, D65/2 deg."""
    xyz = np.tensordot(_RGB_TO_XYZ, _LINEAR[image], 1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@lru_cache
def _blur_matrix(n: int, sigma: float) -> np.ndarray:
    """(n, n) matrix of a Gaussian blur with mirrored ends."""
    return ndimage.gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0, mode="reflect")


def blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (..., H, W) by two matrix products; fast at small sizes."""
    h, w = planes.shape[-2:]
    return _blur_matrix(h, sigma) @ planes @ _blur_matrix(w, sigma).T


@lru_cache
def _grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates with the centre at 0 and the half width at 1."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return (y - (h - 1) / 2) / (w / 2), (x - (w - 1) / 2) / (w / 2)


def image_statistics(image: np.ndarray, mask: np.ndarray | None) -> dict[str, float]:
    """Measure one image.

    Args:
        image: (3, H, W) uint8, sRGB; an array or a tensor.
        mask: (H, W) bool, the lesion. None leaves the lesion's statistics out and looks for skin where an
            image of a centred lesion has it: outside the middle, near the most common colour.

    Returns:
        Name -> value; nan where an image has no such thing (no skin beside the lesion, no dark frame).
    """
    image = np.asarray(image)
    lab = to_lab(image)
    unit = image.shape[2] / 128
    bands = _bands(lab, unit)
    frame = _dark_frame(lab[0])
    hair = _thin_lines(lab[0], unit, frame)
    glint = (image.min(0) >= 235) & (blur(lab[0], 4 * unit) < 88)
    outside = ~frame & ~hair & ~glint
    if mask is None:
        skin = _likely_skin(lab, outside)
        lesion = None
    else:
        lesion = np.asarray(mask)
        skin = outside & ~ndimage.binary_dilation(lesion, iterations=max(1, round(5 * unit)))
    if skin.sum() < 0.01 * skin.size:
        skin = np.zeros_like(skin)
    values = _frame_statistics(lab, frame, lesion) | _skin_statistics(lab, bands, skin)
    values |= _artefact_statistics(hair, glint, frame, lesion) | _sharpness(lab[0], bands, frame)
    if lesion is not None:
        values |= _shape_statistics(lesion)
        values |= _lesion_statistics(lab, bands, lesion & ~frame & ~hair & ~glint, skin, unit)
        values |= _edge_statistics(lab[0], lesion, frame | hair)
    return {name: float(value) for name, value in values.items()}


def _bands(lab: np.ndarray, unit: float) -> np.ndarray:
    """(4 scales, 3 Lab, H, W) difference-of-Gaussians bands."""
    blurred = np.stack([blur(lab, s * unit) for s in SCALES_PX])
    return blurred[:-1] - blurred[1:]


def _dark_frame(lightness: np.ndarray) -> np.ndarray:
    """The black corners or ring of the field stop: dark pixels joined to a corner of the image."""
    labels, _ = ndimage.label(lightness < 22)
    corners = {labels[0, 0], labels[0, -1], labels[-1, 0], labels[-1, -1]} - {0}
    return np.isin(labels, list(corners)) if corners else np.zeros(lightness.shape, bool)


def _thin_lines(lightness: np.ndarray, unit: float, frame: np.ndarray) -> np.ndarray:
    """Dark hairs: long thin things in the black-hat (closing minus image) of L."""
    size = 2 * round(3 * unit) + 1
    closed = ndimage.minimum_filter(ndimage.maximum_filter(lightness, size), size)
    labels, _ = ndimage.label((closed - lightness > 9) & ~frame, np.ones((3, 3)))
    hair = np.zeros(lightness.shape, bool)
    areas = np.bincount(labels.ravel())
    for i, box in enumerate(ndimage.find_objects(labels), start=1):
        length = math.hypot(box[0].stop - box[0].start, box[1].stop - box[1].start)
        if length > 14 * unit and areas[i] < 3.2 * unit * length:
            hair[box] |= labels[box] == i
    return hair


def _likely_skin(lab: np.ndarray, outside: np.ndarray) -> np.ndarray:
    y, x = _grid(*outside.shape)
    rim = outside & (x**2 + y**2 > 0.65**2)
    if not rim.any():
        return rim
    away = lab - np.median(lab[:, rim], axis=1)[:, None, None]
    distance = np.sqrt((away**2).sum(0))
    return outside & (distance < max(8.0, 2.0 * float(np.median(distance[rim]))))


def _frame_statistics(lab: np.ndarray, frame: np.ndarray, lesion: np.ndarray | None) -> dict[str, float]:
    y, x = _grid(*frame.shape)
    radius = np.sqrt(x**2 + y**2)
    free = ~lesion if lesion is not None else np.ones_like(frame)
    corners, ring = free & (radius > 1.2), free & (radius > 0.7) & (radius < 0.9)
    falloff = np.median(lab[0][ring]) - np.median(lab[0][corners]) if corners.any() and ring.any() else np.nan
    return {
        "frame_share": frame.mean(),
        "frame_radius": np.percentile(radius[frame], 2) if frame.mean() > 0.01 else np.nan,
        "corner_falloff": falloff,
    }


def _skin_statistics(lab: np.ndarray, bands: np.ndarray, skin: np.ndarray) -> dict[str, float]:
    values = {"skin_share": skin.mean()}
    names = ("L", "a", "b")
    pixels = lab[:, skin] if skin.any() else np.full((3, 1), np.nan, np.float32)
    low, middle, high = np.percentile(pixels, (25, 50, 75), axis=1)
    values |= {f"skin_{n}": m for n, m in zip(names, middle, strict=True)}
    values |= {f"skin_{n}_iqr": d for n, d in zip(names, high - low, strict=True)}
    values["skin_ita"] = math.degrees(math.atan2(middle[0] - 50, middle[2])) if skin.any() else np.nan
    values["skin_radius"] = math.hypot(middle[0] - 50, middle[2])
    for channel in (0, 1, 2):
        for band in range(4):
            spread = bands[band, channel][skin].std() if skin.any() else np.nan
            values[f"skin_texture_{names[channel]}{band + 1}"] = spread
    return values | _illumination(lab[0], skin)


def _illumination(lightness: np.ndarray, skin: np.ndarray) -> dict[str, float]:
    """Slope and curvature of L over the skin: least squares of 1, x, y, x^2 + y^2."""
    if skin.sum() < 200:
        return dict.fromkeys(("light_slope", "light_curvature", "light_range"), np.nan)
    y, x = _grid(*skin.shape)
    basis = np.stack([np.ones_like(x), x, y, x**2 + y**2], -1)[skin]
    weights, *_ = np.linalg.lstsq(basis[::3], lightness[skin][::3], rcond=None)
    fitted = basis @ weights
    return {
        "light_slope": math.hypot(weights[1], weights[2]),
        "light_curvature": weights[3],
        "light_range": np.percentile(fitted, 95) - np.percentile(fitted, 5),
    }


def _artefact_statistics(
    hair: np.ndarray, glint: np.ndarray, frame: np.ndarray, lesion: np.ndarray | None
) -> dict[str, float]:
    free = ~frame if lesion is None else ~frame & ~lesion
    return {
        "hair_share": hair[free].mean() if free.any() else np.nan,
        "glint_share": glint[~frame].mean() if not frame.all() else np.nan,
    }


def _sharpness(lightness: np.ndarray, bands: np.ndarray, frame: np.ndarray) -> dict[str, float]:
    energy = [float(bands[i, 0][~frame].std()) + 1e-3 for i in range(4)] if not frame.all() else [np.nan] * 4
    return {
        "sharpness_fine": math.log(energy[0] / energy[1]),
        "sharpness_middle": math.log(energy[1] / energy[2]),
        "sharpness_coarse": math.log(energy[2] / energy[3]),
    }


def _shape_statistics(lesion: np.ndarray) -> dict[str, float]:
    """Geometry of the mask."""
    names = (
        "area center_x center_y offset eccentricity asymmetry_long asymmetry_short border_std border_low "
        "border_middle border_high solidity frame_contact"
    ).split()
    h, w = lesion.shape
    ys, xs = np.nonzero(lesion)
    if len(ys) < 20:
        return dict.fromkeys(names, np.nan) | {"area": lesion.mean()}
    cy, cx = ys.mean(), xs.mean()
    points = np.stack([xs - cx, ys - cy])
    variance, axes = np.linalg.eigh(np.cov(points) + 1e-3 * np.eye(2))
    edge = lesion & ~ndimage.binary_erosion(lesion, border_value=0)
    ey, ex = np.nonzero(edge)
    contact = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]]).mean()
    asymmetry = [_mirror_difference(lesion, points, axes[:, k], (cx, cy)) for k in (1, 0)]
    center_x, center_y = (cx - (w - 1) / 2) / w, (cy - (h - 1) / 2) / w
    round_points = axes.T @ np.stack([ex - cx, ey - cy]) / np.sqrt(variance)[:, None]
    values = (
        lesion.mean(),
        center_x,
        center_y,
        math.hypot(center_x, center_y),
        math.sqrt(1 - variance[0] / variance[1]),
        *asymmetry,
        *_radial_roughness(round_points),
        _solidity(len(ys), ex, ey),
        contact,
    )
    return dict(zip(names, values, strict=True))


def _mirror_difference(lesion, points, axis, center) -> float:
    """1 - IoU of the mask and its mirror image about ``axis`` through the centroid, inside the image."""
    mirrored = 2 * np.outer(axis, axis @ points) - points
    column = np.rint(mirrored[0] + center[0]).astype(int)
    row = np.rint(mirrored[1] + center[1]).astype(int)
    inside = (row >= 0) & (row < lesion.shape[0]) & (column >= 0) & (column < lesion.shape[1])
    if not inside.any():
        return np.nan
    shared = lesion[row[inside], column[inside]].sum()
    return 1 - shared / (2 * inside.sum() - shared)


def _radial_roughness(points: np.ndarray, n: int = 64) -> tuple[float, float, float, float]:
    """Relative std of the border's radius (ellipse removed) and its share in harmonics 2-4, 5-9, 10-20."""
    angle = np.arctan2(points[1], points[0])
    radius = np.hypot(*points)
    place = ((angle + np.pi) / (2 * np.pi) * n).astype(int) % n
    outline = np.zeros(n)
    np.maximum.at(outline, place, radius)
    filled = outline > 0
    if filled.sum() < n // 2:
        return (np.nan,) * 4
    outline = np.interp(np.arange(n), np.nonzero(filled)[0], outline[filled], period=n)
    power = np.abs(np.fft.rfft(outline / outline.mean())) / n * math.sqrt(2)
    parts = [math.sqrt((power[lo:hi] ** 2).sum()) for lo, hi in ((2, 5), (5, 10), (10, 21))]
    return (radius.std() / radius.mean(), *parts)


def _solidity(area: int, ex: np.ndarray, ey: np.ndarray) -> float:
    corners = np.concatenate([np.stack([ex + dx, ey + dy], -1) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)])
    try:
        return area / ConvexHull(corners).volume  # in two dimensions, volume is the area
    except QhullError:
        return np.nan


def _lesion_statistics(lab, bands, lesion, skin, unit) -> dict[str, float]:
    names = ("L", "a", "b")
    full = lesion.sum() >= 30
    pixels = lab[:, lesion] if full else np.full((3, 1), np.nan, np.float32)
    base = np.median(lab[:, skin], axis=1) if skin.any() else np.full(3, np.nan)
    low, middle, high = np.percentile(pixels, (5, 50, 95), axis=1)
    values: dict[str, float] = {}
    for i, n in enumerate(names):
        values[f"lesion_d{n}"] = middle[i] - base[i]
        values[f"lesion_{n}_std"] = pixels[i].std()
        values[f"lesion_{n}_p05"] = low[i] - base[i]
        values[f"lesion_{n}_p95"] = high[i] - base[i]
        for band in range(4):
            values[f"lesion_texture_{n}{band + 1}"] = bands[band, i][lesion].std() if full else np.nan
    values |= _lesion_layout(lab, lesion, full)
    return values | _named_colours(pixels, base, full) | _blobs(lab[0], lesion, unit, full)


def _lesion_layout(lab: np.ndarray, lesion: np.ndarray, full: bool) -> dict[str, float]:
    """Where the lesion is dark, red and yellow: middle against rim, one side against the other."""
    names = ("center_rim_L", "center_rim_a", "center_rim_b", "dark_offset", "corr_La", "corr_Lb")
    if not full:
        return dict.fromkeys(("lesion_" + n for n in names), np.nan)
    depth = ndimage.distance_transform_edt(np.pad(lesion, 1))[1:-1, 1:-1][lesion]
    pixels = lab[:, lesion]
    inner = depth > np.median(depth)
    if inner.all() or not inner.any():
        inner = depth >= depth.max()
    difference = pixels[:, inner].mean(1) - pixels[:, ~inner].mean(1) if not inner.all() else np.zeros(3)
    ys, xs = np.nonzero(lesion)
    weight = np.clip(pixels[0].max() - pixels[0], 1e-3, None)
    shift = [np.average(v, weights=weight) - v.mean() for v in (ys, xs)]
    spread = pixels.std(1) + 1e-3
    centred = (pixels - pixels.mean(1, keepdims=True)) / spread[:, None]
    values = (
        *difference,
        math.hypot(*shift) / math.sqrt(len(ys)),
        (centred[0] * centred[1]).mean(),
        (centred[0] * centred[2]).mean(),
    )
    return dict(zip(("lesion_" + n for n in names), values, strict=True))


def _named_colours(pixels: np.ndarray, base: np.ndarray, full: bool) -> dict[str, float]:
    """Shares of the six colours of the ABCD rule after shifting the skin to :data:`SKIN_REFERENCE`."""
    names = ("white", "red", "light_brown", "dark_brown", "blue_grey", "black")
    if not full or np.isnan(base).any():
        return dict.fromkeys((f"lesion_{n}" for n in names), np.nan) | {"lesion_colours": np.nan}
    light, a, b = pixels - base[:, None].astype(np.float32) + SKIN_REFERENCE[:, None]
    chroma = np.hypot(a, b)
    black = light < 22
    blue = ~black & (b < 3) & (a < 14) & (light < 66)
    white = ~black & ~blue & (light > 73) & (chroma < 16)
    red = ~black & ~blue & ~white & (a > 22) & (a > 1.1 * b)
    brown = ~black & ~blue & ~white & ~red & (light < 66)
    shares = [x.mean() for x in (white, red, brown & (light >= 44), brown & (light < 44), blue, black)]
    count = sum(share > 0.02 for share in shares)
    return {f"lesion_{n}": s for n, s in zip(names, shares, strict=True)} | {"lesion_colours": count}


def _blobs(lightness: np.ndarray, lesion: np.ndarray, unit: float, full: bool) -> dict[str, float]:
    """Shares of the lesion that are dark or bright spots a few pixels wide."""
    if not full:
        return {"lesion_dark_spots": np.nan, "lesion_bright_spots": np.nan}
    local = blur(lightness, 1.0 * unit) - blur(lightness, 5 * unit)
    return {
        "lesion_dark_spots": (local[lesion] < -5).mean(),
        "lesion_bright_spots": (local[lesion] > 5).mean(),
    }


def _edge_statistics(lightness: np.ndarray, lesion: np.ndarray, leave_out: np.ndarray) -> dict[str, float]:
    """The passage of L across the border.

    ``edge_width``: contrast / steepest slope of the mean profile over signed distance to the mask's border.
    ``edge_offset``: where the profile is half-way, positive outside the mask. ``edge_slope``: median gradient
    of L near the border / contrast, times the width of the image; not blurred by a loosely drawn mask.
    """
    names = ("edge_width", "edge_offset", "edge_slope", "edge_contrast")
    if lesion.all() or lesion.sum() < 30:
        return dict.fromkeys(names, np.nan)
    width = lesion.shape[1]
    outside, inside = ndimage.distance_transform_edt(~lesion), ndimage.distance_transform_edt(lesion)
    distance = np.where(lesion, 0.5 - inside, outside - 0.5)
    reach = 0.11 * width
    near = (np.abs(distance) < reach) & ~leave_out
    bins = np.rint((distance[near] + reach) / (2 * reach) * 22).astype(int)
    count = np.bincount(bins, minlength=23)
    if (count[2:21] == 0).any():
        return dict.fromkeys(names, np.nan)
    profile = np.bincount(bins, lightness[near], minlength=23)[1:22] / np.maximum(count[1:22], 1)
    step = 2 * reach / 22
    profile = ndimage.gaussian_filter1d(profile, 1.0)
    contrast = profile[-5:].mean() - profile[:5].mean()
    slope = np.abs(np.diff(profile)).max() / step
    half = profile[:5].mean() + contrast / 2
    crossed = np.nonzero(np.sign(profile[:-1] - half) != np.sign(profile[1:] - half))[0]
    middle = crossed[np.argmin(np.abs(crossed - 9.5))] if len(crossed) else np.nan
    gy, gx = np.gradient(blur(lightness, 1.0 * width / 128))
    at_edge = near & (np.abs(distance) < 0.03 * width)
    gradient = np.median(np.hypot(gx, gy)[at_edge])
    strong = abs(contrast) > 3
    values = (
        abs(contrast) / max(slope, 1e-3) / width if strong else np.nan,
        ((middle - 9.5) * step / width) if strong else np.nan,
        gradient / abs(contrast) * width if strong else np.nan,
        contrast,
    )
    return dict(zip(names, values, strict=True))


def quantile_table(matrix: np.ndarray, columns: list[str]) -> dict[str, list[float]]:
    """Name -> quantiles 5, 10, 25, 50, 75, 90, 95 without nan; empty columns are left out."""
    table = {}
    for values, name in zip(matrix.T, columns, strict=True):
        values = values[np.isfinite(values)]
        if len(values):
            table[name] = [round(float(q), 4) for q in np.percentile(values, QUANTILES)]
    return table


def skin_look(matrix: np.ndarray, columns: list[str]) -> dict[str, object]:
    """The joint of skin colours over a data set: ITA, radius, a*, and a mixture of 3 Gaussians in Lab."""
    column = {name: matrix[:, columns.index(name)] for name in columns}
    lab = np.stack([column[f"skin_{n}"] for n in "Lab"], 1)
    keep = np.isfinite(lab).all(1)
    lab = lab[keep]
    look = np.stack([column["skin_ita"], column["skin_radius"], column["skin_a"]], 1)[keep]
    mixture = GaussianMixture(3, random_state=0).fit(lab)
    bins = np.digitize(look[:, 0], edges := [10, 28, 35, 41, 48, 55, 70, 90])
    by_ita = {}
    for i in range(len(edges) + 1):
        part = look[bins == i]
        name = f"{edges[i - 1] if i else -180}..{edges[i] if i < len(edges) else 180}"
        if len(part) >= 10:
            radius, a = np.percentile(part[:, 1:], (10, 50, 90), axis=0).T
            by_ita[name] = {"n": len(part), "radius_p10_50_90": _round(radius), "a_p10_50_90": _round(a)}
    quantiles = np.percentile(look, QUANTILES, axis=0).T
    return {
        "n": int(keep.sum()),
        "quantiles": dict(zip(("ita_deg", "radius", "a"), _round(quantiles), strict=True)),
        "correlation": _round(np.corrcoef(look.T)),
        "share_b_below_3": round(float((lab[:, 2] < 3).mean()), 4),
        "by_ita": by_ita,
        "lab_mixture": {
            "weights": _round(mixture.weights_),
            "means": _round(mixture.means_),
            "covariances": _round(mixture.covariances_),
        },
    }


def _round(values: np.ndarray, digits: int = 3) -> list:
    return np.round(np.asarray(values, float), digits).tolist()


def measure(pack: RealPack, rows: list) -> tuple[np.ndarray, list[str]]:
    """(n, statistics) float32 matrix of the rows and its column names; nan where a row has no mask."""
    found = [image_statistics(pack.image(row), pack.lesion_mask(row)) for row in rows]
    columns = list(max(found, key=len))
    return np.array([[f.get(c, np.nan) for c in columns] for f in found], np.float32), columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--matrix", metavar="NPZ", help="also write every image's statistics here")
    args = parser.parse_args()
    pack = RealPack(args.real)
    matrix, columns = measure(pack, pack.rows)
    dataset = np.array([r.dataset for r in pack.rows])
    label = np.array([r.diagnosis for r in pack.rows])
    train = np.array([r.split == "train" for r in pack.rows])
    if args.matrix:
        np.savez_compressed(
            args.matrix, matrix=matrix, columns=columns, dataset=dataset, label=label, train=train,
            name=[r.file for r in pack.rows], group=[r.group for r in pack.rows],
        )  # fmt: skip
    figures: dict[str, object] = {"quantiles": list(QUANTILES)}
    for name in sorted(set(dataset)):
        here = train & (dataset == name)
        with_masks = np.isfinite(matrix[here][:, columns.index("area")]).any()
        figures[name] = {
            "n": dict(Counter(label[here].tolist())),
            "skin_look": skin_look(matrix[here], columns),
            "classes": {
                c: quantile_table(matrix[here & (label == c)], columns)
                for c in CLASSES
                if (here & (label == c)).sum() >= 20
            },
        }
        if with_masks:
            figures[name]["correlation"] = _strong_correlations(matrix[here], columns)
    write_result("real_statistics", figures, data=pack.digest, split="train", columns=columns)


def _strong_correlations(matrix: np.ndarray, columns: list[str], floor: float = 0.4) -> dict[str, float]:
    """Spearman correlations of pairs with |rho| >= ``floor``, largest first."""
    filled = np.where(np.isfinite(matrix), matrix, np.nanmedian(matrix, axis=0))
    ranks = filled.argsort(0).argsort(0)
    rho = np.corrcoef(ranks.T)
    pairs = [(i, j) for i in range(len(columns)) for j in range(i) if abs(rho[i, j]) >= floor]
    pairs.sort(key=lambda p: -abs(rho[p]))
    return {f"{columns[j]} ~ {columns[i]}": round(float(rho[i, j]), 3) for i, j in pairs}


if __name__ == "__main__":
    main()
