"""Gates: what an image must show before it is written; one that does not is drawn again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from synthderm.core import MIN_SKIN_B, Condition, Sample, ita_to_fst, tone_band
from synthderm.functional.color import ita_deg, median_lab


@dataclass(frozen=True)
class Verdict:
    """What a gate measured, and whether the image passes.

    Attributes:
        ita_deg: ITA of the healthy skin, degrees; nan where the colour is not that of skin.
        fst: the type whose band holds it, a proxy; None where there is no ITA.
        reason: why the image is turned down; "" if it passes.
        detail: the reason with its figures.
    """

    ita_deg: float
    fst: int | None
    reason: str = ""
    detail: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the image passes."""
        return not self.reason


@dataclass(frozen=True)
class Finding:
    """What a gate of a generator says of one image.

    Attributes:
        reason: why the image is turned down; "" if it passes.
        detail: the reason with its figures.
        facts: what was measured, for the manifest.
    """

    reason: str = ""
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Gate(Protocol):
    """What an image must show beside its tone. A generator names its gates in a method ``gates(modality)``."""

    def __call__(self, image: torch.Tensor, sample: Sample, condition: Condition) -> Finding:
        """The finding on one image.

        Args:
            image: (3, H, W) uint8 sRGB, as it is in its file.
            sample: for its masks.
            condition: what was asked for.
        """
        ...


@dataclass(frozen=True)
class ToneGate:
    """Measures the skin tone of a finished image and compares it with the request.

    The tone is ITA = atan2(L* - 50, b*) of the median L* and b* (CIELAB, D65/2 deg) of the healthy skin
    (Chardon et al. 1991). A request for a type passes inside the band of the type; a request for an angle
    passes within ``tolerance_deg`` of it.

    Attributes:
        tolerance_deg: for requests in degrees.
        min_pixels: healthy skin pixels that a measurement needs.
    """

    tolerance_deg: float = 5.0
    min_pixels: int = 64

    def __call__(
        self,
        image: torch.Tensor,
        healthy_skin: torch.Tensor,
        condition: Condition,
        cast_gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Verdict:
        """The verdict on one image.

        Args:
            image: (3, H, W) uint8 sRGB, as it is in its file.
            healthy_skin: (H, W) bool, ``sample.masks["healthy_skin"]``.
            condition: what was asked for.
            cast_gains: of red, green and blue, of a colour cast that the generator recorded; it is undone first.
        """
        pixels = int(healthy_skin.sum())
        if pixels < self.min_pixels:
            return Verdict(math.nan, None, "too little healthy skin", f"{pixels} px, needs {self.min_pixels}")
        lightness, _, b = median_lab(image, healthy_skin, cast_gains)
        if b < MIN_SKIN_B:
            return Verdict(math.nan, None, "not a skin colour", f"b* {b:.1f}, needs {MIN_SKIN_B:g}")
        measured = ita_deg(lightness, b)
        fst = ita_to_fst(measured)
        if condition.ita_deg is not None:
            off = measured - condition.ita_deg
            passes, wanted = abs(off) <= self.tolerance_deg, f"{condition.ita_deg:.1f} deg"
        else:
            band = tone_band(condition.fst)
            passes, wanted = measured in band, f"type {band.fst}, {band.low_deg:g} to {band.high_deg:g} deg"
        if passes:
            return Verdict(measured, fst)
        return Verdict(measured, fst, "tone off target", f"measured {measured:.1f} deg, asked for {wanted}")
