"""What lies on the skin: hairs, gel bubbles, rulers, ink, and the edge of the field of view."""

from __future__ import annotations

import math

import numpy as np
import torch

from synthderm.functional.filters import gaussian_blur, smoothstep
from synthderm.functional.strokes import bezier, splat

from .frame import Frame

HAIR_ABSORPTION = (3.2, 4.2, 5.2)
"""Red, green and blue optical depth of a hair of melanin 1; the ratio follows melanin's spectrum."""


def hair_coverage(frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Coverage of the hairs in [0, 1] and the strength of their highlight, (size, size) each."""
    count = int(frame["artefact.hairs"])
    size = frame.size
    if not count:
        return torch.zeros(size, size), torch.zeros(size, size)
    rng = frame.stream("hairs")
    field_mm = frame["camera.field_mm"]
    # every hair is drawn from its own row, so that one hair more leaves the others where they were
    draws = rng.random((80, 8))[:count]
    turns = rng.normal(0, 1, (80, 3))[:count]
    angle = rng.uniform(0, 2 * math.pi) + 0.55 * turns[:, 0]
    length = (0.25 + 0.75 * draws[:, 0] ** 1.5) * min(field_mm, 14.0)
    start = (draws[:, 1:3] * 1.3 - 0.65) * field_mm
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    bend = (0.22 * turns[:, 1] * length)[:, None]
    curl = (0.12 * turns[:, 2] * length)[:, None]
    along = along * length[:, None]
    control = np.stack(
        [start, start + 0.35 * along + across * bend, start + 0.7 * along + across * (bend + curl), start + along],
        1,
    )  # fmt: skip
    px_per_mm = size / field_mm
    longest = float(length.max()) * px_per_mm
    samples = int(np.clip(1.15 * longest, 24, 1400))
    points = bezier(control, samples) * px_per_mm + size / 2
    taper = 1 - 0.7 * np.linspace(0, 1, samples) ** 2.5
    width = frame["artefact.hair_width_mm"] * (0.65 + 0.7 * draws[:, 3])
    sigma = 0.42 * width[:, None] * taper * px_per_mm
    drawn = np.maximum(sigma, 0.42)
    step = length[:, None] * px_per_mm / samples
    value = 1.3 * step / (math.sqrt(2 * math.pi) * drawn) * np.minimum(1, sigma / drawn)
    density = splat(points.reshape(-1, 2), drawn.reshape(-1), value.reshape(-1), size)
    shine = splat(
        points.reshape(-1, 2) - 0.35, 0.6 * drawn.reshape(-1), 0.35 * value.reshape(-1), size
    )  # fmt: skip
    return 1 - torch.exp(-1.5 * density), 1 - torch.exp(-shine)


def add_hairs(linear: torch.Tensor, coverage: torch.Tensor, shine: torch.Tensor, melanin: float) -> torch.Tensor:
    """Hairs over the skin: a soft shadow beside them, their own colour, a thin highlight."""
    colour = 0.35 * torch.exp(-melanin * torch.tensor(HAIR_ABSORPTION)).view(3, 1, 1)
    shadow = gaussian_blur(torch.roll(coverage, (2, 1), (0, 1)), 1.6)
    linear = linear * (1 - 0.16 * shadow)
    level = linear.mean(dim=(1, 2), keepdim=True)
    own = colour * (0.4 + 2.0 * level.mean()) + 0.10 * shine * level
    return torch.lerp(linear, own, 0.94 * coverage)


def add_bubbles(linear: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Bubbles in the immersion gel: a darker disc, a bright ring and a highlight; and their mask."""
    count, size = int(frame["artefact.bubbles"]), frame.size
    mask = torch.zeros(size, size, dtype=torch.bool)
    draws = frame.stream("bubbles").random((30, 3))[:count]
    for cx, cy, r in draws * [size, size, 1]:
        radius = size * (0.006 + 0.03 * r**2)
        reach = math.ceil(radius * 1.6 + 3)
        x0, x1 = max(0, int(cx) - reach), min(size, int(cx) + reach + 1)
        y0, y1 = max(0, int(cy) - reach), min(size, int(cy) + reach + 1)
        dx = (torch.arange(x0, x1) + 0.5 - cx)[None]
        dy = (torch.arange(y0, y1) + 0.5 - cy)[:, None]
        d = (dx**2 + dy**2).sqrt()
        ring = torch.exp(-(((d - radius) / (0.12 * radius + 0.6)) ** 2))
        spark = torch.exp(-((dx + 0.35 * radius) ** 2 + (dy + 0.35 * radius) ** 2) / (0.1 * radius**2 + 0.5))
        patch = linear[:, y0:y1, x0:x1]
        level = patch.mean()
        patch.mul_(1 - 0.16 * (d < radius).float() + 0.12 * ring).add_(level * (0.25 * ring + 2.0 * spark))
        mask[y0:y1, x0:x1] |= d < radius + 1
    return linear, mask


def add_ruler(linear: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """A millimetre scale along one edge, with longer ticks every 5 mm; and its mask."""
    size = frame.size
    mask = torch.zeros(size, size, dtype=torch.bool)
    if not frame["artefact.ruler"]:
        return linear, mask
    rng = frame.stream("ruler")
    thick = max(1, round(size / 220))
    offset = float(rng.uniform(0, 1))
    margin = round(size * float(rng.uniform(0.01, 0.05)))
    for mm in range(int(frame["camera.field_mm"])):
        length = round(size * (0.055 if mm % 5 == 0 else 0.03))
        x = int((mm + offset) / frame.mm_per_px)
        mask[size - margin - length : size - margin, x : x + thick] = True
    if rng.random() < 0.5:
        mask = mask.T.contiguous()
    cover = gaussian_blur(mask.float(), 0.5)
    return linear * (1 - 0.86 * cover), mask


def add_ink(linear: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """A stroke of gentian-violet marker around part of the lesion; and its mask."""
    size = frame.size
    ink = frame["artefact.ink"]
    if not ink:
        return linear, torch.zeros(size, size, dtype=torch.bool)
    rng = frame.stream("ink")
    start, sweep = rng.uniform(0, 2 * math.pi), rng.uniform(0.6, 2.6) * (0.4 + 0.6 * ink)
    t = np.linspace(0, 1, 4 * size)
    radius = size * min(0.46, frame["lesion.radius"] * 1.35 + 0.06) * (1 + 0.06 * np.sin(5 * t + start))
    angle = start + sweep * t
    centre = size * (0.5 + np.array([frame["lesion.offset_x"], frame["lesion.offset_y"]]))
    points = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    sigma = np.full(len(t), size * rng.uniform(0.006, 0.014))
    step = float(np.hypot(*(points[1] - points[0])))
    density = splat(points, sigma, np.full(len(t), 1.4 * step / (2.5 * sigma[0])), size, max_radius=24)
    density = density * (0.75 + 0.25 * frame.noise("ink", 5, 30, 0.5)).clamp(0.2, 1.2)
    absorption = torch.tensor((1.9, 1.7, 0.35)).view(3, 1, 1)  # gentian violet, optical depth of a stroke
    return linear * torch.exp(-ink * density * absorption), density > 0.25


def field_of_view(frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Light that reaches each pixel (vignette, tilt, round field), and the mask outside the field."""
    x, y = frame.grid
    rng = frame.stream("field")
    shift = rng.normal(0, 0.035, 2)
    r = ((x - shift[0]) ** 2 + (y - shift[1]) ** 2).sqrt() * 2
    light = 1 - frame["artefact.vignette"] * smoothstep(0.35, 1.6, r)
    side = rng.uniform(0, 2 * math.pi)
    light = light * (1 + frame["light.tilt"] * (math.cos(side) * x + math.sin(side) * y))
    stop = frame["artefact.field_stop"]
    if not stop:
        return light, torch.zeros_like(r, dtype=torch.bool)
    soft = float(rng.uniform(0.015, 0.07))
    light = light * (1 - smoothstep(stop - soft, stop + soft, r))
    return light, r > stop - soft
