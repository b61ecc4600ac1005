"""Skin tone as ITA in degrees, with the six bands that stand for Fitzpatrick types."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .checks import InputError, check_range

MIN_SKIN_B = 3.0
"""Least b* (CIELAB, D65/2 deg) of a colour that counts as skin; below it ITA is not defined."""


@dataclass(frozen=True)
class ToneBand:
    """A range of ITA that stands for one Fitzpatrick type.

    The thresholds 55/41/28/10/-30 deg are those of Chardon et al. 1991 and Del Bino & Bernerd 2013 (Br J
    Dermatol 169 s3:33). The type is a *proxy*: Fitzpatrick types are found by a questionnaire about sunburn.

    Attributes:
        fst: 1 to 6.
        name: the ITA class of the literature.
        low_deg, high_deg: the band, low < ITA <= high.
        draw_low_deg, draw_high_deg: the part of the band that requests are drawn from: a margin inside the
            thresholds, and nothing beyond what is measured on people (ISSA: ITA -79 to 66).
    """

    fst: int
    name: str
    low_deg: float
    high_deg: float
    draw_low_deg: float
    draw_high_deg: float

    def __contains__(self, ita_deg: float) -> bool:
        return self.low_deg < ita_deg <= self.high_deg


TONE_BANDS: tuple[ToneBand, ...] = (
    ToneBand(1, "very light", 55.0, 90.0, 57.0, 66.0),
    ToneBand(2, "light", 41.0, 55.0, 43.0, 53.0),
    ToneBand(3, "intermediate", 28.0, 41.0, 30.0, 39.0),
    ToneBand(4, "tan", 10.0, 28.0, 12.0, 26.0),
    ToneBand(5, "brown", -30.0, 10.0, -27.0, 7.0),
    ToneBand(6, "dark", -90.0, -30.0, -65.0, -33.0),
)
"""The six bands, light to dark."""

ITA_RANGE_DEG = (-75.0, 70.0)
"""The ITA that can be asked for: the range of measured skin (ISSA, Lu et al. 2025)."""


def tone_band(fst: int) -> ToneBand:
    """The band of Fitzpatrick type 1 to 6.

    Raises:
        InputError: for any other number.
    """
    if fst not in range(1, 7):
        raise InputError(f"fst must be 1 to 6 (or a list, a range such as 4-6, 'all' or 'uniform'), but got {fst}")
    return TONE_BANDS[fst - 1]


def ita_to_fst(ita_deg: float) -> int:
    """The type 1 to 6 whose band holds ``ita_deg`` (a proxy; see :class:`ToneBand`).

    Raises:
        InputError: if ``ita_deg`` is not a number in [-90, 90].
    """
    if math.isnan(ita_deg):
        raise InputError("ita_deg must be a number, but got nan: the colour is not that of skin")
    check_range("ita_deg", ita_deg, -90.0, 90.0, "degrees")
    for band in TONE_BANDS:
        if ita_deg > band.low_deg:
            return band.fst
    return 6


def parse_fst(text: str | int | list[int]) -> tuple[int, ...]:
    """Types from 5, "5", "1,3,6", "4-6", "4..6", Roman numerals, "all" or "uniform".

    Raises:
        InputError: for anything else, saying what is accepted.
    """
    if isinstance(text, int):
        return (tone_band(text).fst,)
    if isinstance(text, (list, tuple)):
        return tuple(fst for part in text for fst in parse_fst(part))
    roman = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
    types: list[int] = []
    for part in str(text).lower().replace("..", "-").replace("–", "-").split(","):
        part = part.strip()
        if part in ("all", "uniform"):
            types += range(1, 7)
            continue
        ends = [roman.get(end.strip(), end.strip()) for end in part.split("-")]
        try:
            numbers = [int(end) for end in ends]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or numbers[-1] < numbers[0]:
            raise InputError(f"fst must be 1 to 6, a list (1,3,6), a range (4-6), 'all' or 'uniform', but got {text!r}")
        types += [tone_band(fst).fst for fst in range(numbers[0], numbers[-1] + 1)]
    return tuple(dict.fromkeys(types))
