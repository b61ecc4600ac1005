"""Thin curves (hairs, vessels, ink) drawn as sums of Gaussian footprints."""

from __future__ import annotations

import math

import numpy as np
import torch


def splat(
    points_px: np.ndarray, sigma_px: np.ndarray, value: np.ndarray, size: int, max_radius: int = 6
) -> torch.Tensor:
    """Sum of Gaussian footprints ``value * exp(-d^2 / (2 sigma^2))``, (size, size) float32.

    Args:
        points_px: (P, 2) x and y in px; points outside the image are dropped.
        sigma_px: (P,) standard deviations, px.
        value: (P,) peak values.
        size: side of the image, px.
        max_radius: largest half-width of a footprint, px.
    """
    keep = ((points_px > -max_radius) & (points_px < size + max_radius)).all(1)
    points_px, sigma_px, value = points_px[keep], sigma_px[keep], value[keep]
    if not len(points_px):
        return torch.zeros(size, size)
    radius = int(min(max_radius, math.ceil(2.5 * float(sigma_px.max()))))
    offset = np.arange(-radius, radius + 1, dtype=np.float32)
    corner = np.floor(points_px).astype(np.int64)
    part = (points_px - corner - 0.5).astype(np.float32)
    scale = (0.5 / sigma_px**2).astype(np.float32)[:, None]
    along_x = np.exp(-scale * (offset - part[:, :1]) ** 2)
    along_y = np.exp(-scale * (offset - part[:, 1:]) ** 2) * value.astype(np.float32)[:, None]
    pad = 2 * radius + 1  # footprints that cross the border land in a margin that is cut off
    side = size + 2 * pad
    index_x = np.clip(corner[:, :1] + offset.astype(np.int64) + pad, 0, side - 1)
    index_y = np.clip(corner[:, 1:] + offset.astype(np.int64) + pad, 0, side - 1)
    weight = along_y[:, :, None] * along_x[:, None, :]
    flat = index_y[:, :, None] * side + index_x[:, None, :]
    total = np.bincount(flat.reshape(-1), weights=weight.reshape(-1), minlength=side * side)
    return torch.from_numpy(total.reshape(side, side)[pad:-pad, pad:-pad].astype(np.float32))


def bezier(control: np.ndarray, samples: int) -> np.ndarray:
    """Points on cubic Bezier curves.

    Args:
        control: (N, 4, 2) control points.
        samples: points on each curve.

    Returns:
        (N, samples, 2).
    """
    t = np.linspace(0, 1, samples)[None, :, None]
    p0, p1, p2, p3 = (control[:, None, k] for k in range(4))
    s = 1 - t
    return s**3 * p0 + 3 * s * s * t * p1 + 3 * s * t * t * p2 + t**3 * p3


def branching_walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    length: float,
    width: float,
    depth: int,
    *,
    wander: float = 0.10,
    branch: float = 0.05,
) -> tuple[np.ndarray, np.ndarray]:
    """A tree of wandering strokes: points one unit apart and their widths.

    Args:
        rng: the stream.
        start, heading: first point, direction in rad.
        length: points of the trunk; a branch has about half of its parent's.
        width: width at the root; it tapers by a third, and by 0.62 at a branch.
        depth: how often branches may branch again.
        wander: standard deviation of the change of direction from point to point, rad.
        branch: chance of a branch at a point.

    Returns:
        (P, 2) points and (P,) widths.
    """
    points, widths = [], []
    stack = [(start, heading, length, width, depth)]
    while stack:
        at, angle, n, w, level = stack.pop()
        n = int(n)
        if n < 2:
            continue
        angles = angle + np.cumsum(rng.normal(0, wander, n))
        path = np.asarray(at) + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0)
        points.append(path)
        widths.append(w * (1 - 0.35 * np.arange(n) / n))
        if level:
            for i in np.flatnonzero(rng.random(n) < branch):
                turn = rng.choice((-1, 1)) * rng.uniform(0.35, 0.9)
                stack.append(((path[i, 0], path[i, 1]), angles[i] + turn, n * 0.55, w * 0.62, level - 1))
    if not points:
        return np.zeros((0, 2)), np.zeros(0)
    return np.concatenate(points), np.concatenate(widths)
