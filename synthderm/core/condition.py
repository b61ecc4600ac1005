"""What an image is asked to show: the input of every generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from .checks import InputError, check_range, unknown
from .diagnosis import parse_diagnosis
from .parameters import ParameterValue
from .seeds import stream
from .tone import ITA_RANGE_DEG, ita_to_fst, tone_band

Modality = Literal["dermoscopy", "clinical"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class Condition:
    """One request.

    Attributes:
        diagnosis: any spelling; kept as the code ("mel").
        fst: skin type 1 to 6; the generator draws an ITA from its band. None with ``ita_deg``.
        ita_deg: individual typology angle of the healthy skin, degrees in [-75, 70]; overrides the draw.
            With both given, ``ita_deg`` must lie in the band of ``fst``.
        modality: "dermoscopy" or "clinical".
        parameters: scene parameters held at a value ({"lesion.asymmetry": 0.8}); all others are drawn.

    Raises:
        InputError: for an unknown diagnosis or modality, no tone at all, or a tone out of range.
    """

    diagnosis: str
    fst: int | None = None
    ita_deg: float | None = None
    modality: Modality = "dermoscopy"
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "diagnosis", parse_diagnosis(self.diagnosis))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        if self.modality not in MODALITIES:
            raise unknown("modality", str(self.modality), MODALITIES)
        if self.fst is None and self.ita_deg is None:
            raise InputError("a condition needs a tone: give fst (1 to 6) or ita_deg")
        if self.ita_deg is not None:
            check_range("ita_deg", self.ita_deg, *ITA_RANGE_DEG, "degrees")
        if self.fst is None:
            object.__setattr__(self, "fst", ita_to_fst(self.ita_deg))
        elif self.ita_deg is not None and self.ita_deg not in tone_band(self.fst):
            band = tone_band(self.fst)
            raise InputError(
                f"ita_deg {self.ita_deg:g} is not in the band of fst {self.fst} "
                f"({band.low_deg:g} to {band.high_deg:g} degrees); give one of the two"
            )
        tone_band(self.fst)

    def draw_ita(self, seed: int) -> float:
        """The ITA in degrees of the image ``seed``: the condition's own, or uniform in the inner part of its band."""
        if self.ita_deg is not None:
            return self.ita_deg
        band = tone_band(self.fst)
        return float(stream(seed, "ita").uniform(band.draw_low_deg, band.draw_high_deg))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy does not pickle; worker processes need it
        return (
            Condition,
            (self.diagnosis, self.fst, self.ita_deg, self.modality, dict(self.parameters)),
        )
