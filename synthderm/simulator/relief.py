"""Light on a height field: shading, shine and cast shadow of clinical photographs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from synthderm.functional.filters import gaussian_blur, smoothstep
from synthderm.functional.texture import cells

from .frame import Frame
from .skin import Surface

F0 = 0.028
"""Fresnel reflectance of skin at normal incidence: ((1.4 - 1) / (1.4 + 1))**2."""


def height_mm(frame: Frame, surface: Surface, keratin: torch.Tensor) -> torch.Tensor:
    """Height of the surface, mm (H, W): lesion, its papillae, the line pattern, scale."""
    elevation = frame["lesion.elevation"]
    dome = smoothstep(0.06, -0.45, frame.distance) * (0.75 + 0.25 * smoothstep(0.0, -1.0, frame.distance))
    lesion = elevation * dome * (1 + 0.10 * frame.coarse)
    if frame["lesion.verrucous"]:
        _, wall, _ = frame.cells("gyri", 0.75, warp=0.35, sharp_id=False)
        lesion = lesion - 0.22 * frame["lesion.verrucous"] * dome * torch.exp(-((wall / 0.22) ** 2))
    return lesion - 0.035 * surface.furrow + 0.05 * keratin + frame["skin.relief"] * _coarse_relief(frame)


def _coarse_relief(frame: Frame) -> torch.Tensor:
    """Creases and bumps of a millimetre, which photographs show where the fine line pattern is too small; mm."""
    rng = frame.stream("creases")
    x, y = frame.mm(1.5)
    stretch = float(rng.uniform(1.2, 2.4))
    x = x * stretch + 0.5 * frame.noise_mm("creases bend x", 0.08, 0.8)
    y = y / stretch + 0.5 * frame.noise_mm("creases bend y", 0.08, 0.8)
    _, wall, _ = cells(rng, x, y, sharp_id=False)
    crease = torch.exp(-((wall / 0.2) ** 2)) * (0.6 + 0.4 * frame.noise_mm("creases depth", 0.05, 0.5)).clamp(0, 1.5)
    return 0.05 * frame.noise_mm("bumps", 0.3, 2.5, 0.5) - 0.07 * crease


def normals(height: torch.Tensor, mm_per_px: float) -> torch.Tensor:
    """Unit surface normals (3, H, W), x right, y down, z towards the viewer, from heights in mm."""
    padded = F.pad(height[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    dx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / (2 * mm_per_px)
    dy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / (2 * mm_per_px)
    n = torch.stack([-dx, -dy, torch.ones_like(dx)])
    return n / (n * n).sum(0, keepdim=True).sqrt()


def cast_shadow(
    height: torch.Tensor, towards: tuple[float, float], slope: float, mm_per_px: float, steps: int = 12
) -> torch.Tensor:
    """Share of direct light in [0, 1] left by the heights between a point and the light (height-field marching).

    Args:
        height: (H, W), mm.
        towards: unit vector (x, y) in the image plane that points to the light.
        slope: tangent of the light's elevation.
        mm_per_px: scale.
        steps: samples along the ray, up to where the highest point could shade.
    """
    top = float(height.max() - height.median())
    reach_px = top / slope / mm_per_px
    if reach_px < 0.7:
        return torch.ones_like(height)
    size = height.shape[-1]
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    blocked = torch.zeros_like(height)
    for k in range(1, steps + 1):
        px = min(reach_px, size) * k / steps
        grid = torch.stack([x + towards[0] * px * 2 / size, y + towards[1] * px * 2 / size], -1)[None]
        there = F.grid_sample(height[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
        blocked = torch.maximum(blocked, there - height - px * mm_per_px * slope)
    soft = 0.06 + 0.04 * top  # mm of height over which the penumbra falls
    return 1 - smoothstep(0.0, soft, blocked)


def light_skin(linear: torch.Tensor, height: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Skin under one oblique lamp and ambient light.

    Diffuse shading is Lambert's cosine on the normals; the shine is the GGX microfacet term (Walter et al. 2007,
    eq. 33) with skin's Fresnel factor.

    Args:
        linear: (3, H, W) reflectance.
        height: (H, W), mm.
        frame: the scene.
    """
    elevation = math.radians(frame["light.elevation_deg"])
    azimuth = math.radians(frame["light.azimuth_deg"])
    towards = (math.cos(azimuth), math.sin(azimuth))
    x, y = frame.grid
    # the body part bends away from the camera: a paraboloid, and its slope added to the normals
    bend = 0.9 * frame["light.curvature"]
    n = normals(height, frame.mm_per_px)
    tilt = torch.stack([bend * x, bend * y, torch.zeros_like(x)])
    n = n + tilt
    n = n / (n * n).sum(0, keepdim=True).sqrt()
    lamp = torch.tensor([math.cos(elevation) * towards[0], math.cos(elevation) * towards[1], math.sin(elevation)])
    cosine = torch.einsum("c,chw->hw", lamp, n).clamp_min(0)
    shadow = cast_shadow(height, towards, math.tan(elevation), frame.mm_per_px)
    ambient = frame["light.ambient"]
    diffuse = ambient * (0.6 + 0.4 * n[2]) + (1 - ambient) * cosine * shadow / math.sin(elevation)
    half = lamp + torch.tensor([0.0, 0.0, 1.0])
    half = half / half.norm()
    shine = torch.zeros_like(cosine)
    if frame["light.gloss"]:
        oily = (0.6 + 0.25 * frame.noise("oil", 1, 8)).clamp(0.05, 1.6)
        # facets finer than a pixel widen the lobe
        alpha = 0.20 + 0.08 * min(1.0, frame.mm_per_px / 0.15)
        facing = torch.einsum("c,chw->hw", half, n).clamp(0, 1)
        d = alpha**2 / (math.pi * ((facing**2) * (alpha**2 - 1) + 1) ** 2)
        grain = (1 + 0.8 * frame.noise_mm("shine", 1.5, 6.0, 0.2)).clamp_min(0)
        shine = frame["light.gloss"] * (1 - ambient) * shadow * oily * grain * F0 * d * 0.6
    return linear * diffuse + shine


def defocus(linear: torch.Tensor, height: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Blur of what lies off the focal plane: mixed from a sharp and a blurred copy by the depth's distance."""
    strength = frame["light.defocus"]
    if not strength:
        return linear
    x, y = frame.grid
    drop = frame["light.curvature"] * (x * x + y * y) * 3.0
    off = (drop + 0.25 * (height.max() - height)).clamp(0, 1.5)
    share = (strength * off).clamp(0, 1)
    return torch.lerp(linear, gaussian_blur(linear, 0.011 * frame.size), share)
