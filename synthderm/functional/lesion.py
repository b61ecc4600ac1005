"""Outline of a lesion as an implicit function: a star-shaped radius, warped by noise."""

from __future__ import annotations

import math

import torch

HARMONICS = (0.10, 0.08, 0.06, 0.05, 0.04)
"""Amplitudes of cos(k theta), k = 2..6, at full irregularity."""


def star_distance(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    angle: float,
    elongation: float,
    amplitudes: torch.Tensor,
    phases: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Relative distance |p| / rho(theta) - 1 to the outline of a star-shaped region, and the angle theta.

    Args:
        x, y: (H, W) coordinates in units of the mean radius, already warped.
        angle: direction of the long axis, rad.
        elongation: long axis over short axis, >= 1; the area does not depend on it.
        amplitudes, phases: (K,) of the harmonics k = 2..K+1 of rho(theta).

    Returns:
        distance (H, W): below 0 inside, -1 in the centre; theta (H, W) in [-pi, pi].
    """
    stretch = math.sqrt(elongation)
    u = (x * math.cos(angle) + y * math.sin(angle)) / stretch
    v = (y * math.cos(angle) - x * math.sin(angle)) * stretch
    theta = torch.atan2(v, u)
    # cos(k theta) from Chebyshev recursions of (cos, sin)(theta): no trigonometry per harmonic
    length = (u * u + v * v).sqrt().clamp_min(1e-6)
    cos_1, sin_1 = u / length, v / length
    cos_k, sin_k = cos_1, sin_1
    rho = torch.ones_like(x)
    for a, phase in zip(amplitudes.tolist(), phases.tolist(), strict=True):
        cos_k, sin_k = cos_k * cos_1 - sin_k * sin_1, sin_k * cos_1 + cos_k * sin_1
        rho += a * (math.cos(phase) * cos_k - math.sin(phase) * sin_k)
    return length / rho.clamp_min(0.2) - 1, theta
