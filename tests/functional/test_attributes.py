"""Lesion attributes: each grows with what it is named after."""

import math

import pytest
import torch

from synthderm.functional.attributes import ATTRIBUTES, lesion_attributes
from synthderm.functional.color import rgb_to_lab

SIZE = 128
GRID = torch.linspace(-1, 1, SIZE)
Y, X = GRID[:, None].expand(SIZE, SIZE), GRID[None].expand(SIZE, SIZE)
SKIN = torch.tensor([220, 170, 140], dtype=torch.uint8)
SKIN_LAB = rgb_to_lab(SKIN[:, None, None])[:, 0, 0]


def measured(mask, lesion=(110, 70, 50)):
    image = SKIN[:, None, None].expand(3, SIZE, SIZE).clone()
    image[:, mask] = torch.tensor(lesion, dtype=torch.uint8)[:, None]
    return dict(zip(ATTRIBUTES, lesion_attributes(image, mask, SKIN_LAB).tolist(), strict=True))


def disc(r=0.5):
    return X**2 + Y**2 < r**2


def test_a_disc_is_symmetric_with_a_smooth_border_and_one_colour():
    found = measured(disc())
    assert found["asymmetry"] < 0.03
    assert found["border"] < 0.1
    assert found["colour"] < 6  # pixels at the edge are mixed
    assert found["size"] == pytest.approx(math.sqrt(math.pi * 0.25 / 4), rel=0.01)


def test_asymmetry_does_not_depend_on_where_the_lesion_lies_or_how_it_is_turned():
    ellipse = ((X * 0.8 + Y * 0.6 - 0.2) / 0.5) ** 2 + ((-X * 0.6 + Y * 0.8) / 0.3) ** 2 < 1
    assert measured(ellipse)["asymmetry"] < 0.05
    comma = disc(0.5) & ~((X - 0.3) ** 2 + (Y - 0.1) ** 2 < 0.3**2)
    assert measured(comma)["asymmetry"] > 0.12


def test_a_star_has_more_border_than_a_disc():
    angle = torch.atan2(Y, X)
    star = (X**2 + Y**2).sqrt() < 0.5 * (1 + 0.35 * torch.cos(7 * angle))
    assert measured(star)["border"] > measured(disc())["border"] + 0.3


def test_colour_and_darkness_follow_the_pixels():
    two = SKIN[:, None, None].expand(3, SIZE, SIZE).clone()
    mask = disc()
    two[:, mask & (X > 0)] = torch.tensor([40, 30, 30], dtype=torch.uint8)[:, None]
    two[:, mask & (X <= 0)] = torch.tensor([170, 110, 80], dtype=torch.uint8)[:, None]
    spread = lesion_attributes(two, mask, SKIN_LAB)[ATTRIBUTES.index("colour")]
    assert spread > measured(mask)["colour"] + 10
    assert measured(mask, (60, 40, 30))["darkness"] > measured(mask, (160, 110, 90))["darkness"] > 0


def test_a_speck_has_no_attributes():
    assert torch.isnan(lesion_attributes(torch.zeros(3, SIZE, SIZE, dtype=torch.uint8), disc(0.02), SKIN_LAB)).all()
