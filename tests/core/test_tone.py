import math

import pytest

from synthderm.core import TONE_BANDS, InputError, ita_to_fst, parse_fst, tone_band


def test_bands_cover_all_angles_once():
    assert [band.low_deg for band in TONE_BANDS] == [55, 41, 28, 10, -30, -90]
    for angle in (-89.9, -30.0, -29.9, 10.0, 10.1, 28.0, 41.0, 55.0, 55.1, 90.0):
        assert [angle in band for band in TONE_BANDS].count(True) == 1


@pytest.mark.parametrize(("ita", "fst"), [(70, 1), (55, 2), (48, 2), (35, 3), (15, 4), (10, 5), (-20, 5), (-30, 6)])
def test_type_of_an_angle(ita, fst):
    assert ita_to_fst(ita) == fst
    assert ita in tone_band(fst)


def test_angles_that_are_no_tone():
    with pytest.raises(InputError, match="nan"):
        ita_to_fst(math.nan)
    with pytest.raises(InputError, match="between -90 and 90"):
        ita_to_fst(120)


@pytest.mark.parametrize(
    ("text", "types"),
    [(5, (5,)), ("5", (5,)), ("1,3", (1, 3)), ("4-6", (4, 5, 6)), ("4..6", (4, 5, 6)), ("VI", (6,)), ("iv-v", (4, 5)),
     ("uniform", (1, 2, 3, 4, 5, 6)), ("all", (1, 2, 3, 4, 5, 6)), ("2,2,1", (2, 1)), ([1, "5-6"], (1, 5, 6))],
)  # fmt: skip
def test_parse_types(text, types):
    assert parse_fst(text) == types


@pytest.mark.parametrize("text", ["0", "7", "6-4", "dark", "", "1-2-3", "1,,2"])
def test_parse_refuses(text):
    with pytest.raises(InputError, match="fst must be"):
        parse_fst(text)


def test_draws_stay_inside_their_band():
    for band in TONE_BANDS:
        assert band.low_deg < band.draw_low_deg < band.draw_high_deg < band.high_deg
