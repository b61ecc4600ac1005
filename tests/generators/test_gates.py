"""The tone gate against colours whose ITA is known."""

import math

import pytest
import torch
from fakes import skin_rgb

from synthderm.core import Condition
from synthderm.generators import ToneGate

MASK = torch.ones(16, 16, dtype=torch.bool)


def flat(rgb):
    return torch.as_tensor(rgb, dtype=torch.uint8)[:, None, None].repeat(1, 16, 16)


# Reference: lightness, _, b = skimage.color.rgb2lab(np.array([[rgb]]) / 255)[0, 0]  (scikit-image 0.26.0)
# math.degrees(math.atan2(lightness - 50, b)) -> 29.802, -12.607, -65.493
@pytest.mark.parametrize(
    ("rgb", "ita", "fst"), [((224, 172, 105), 29.802, 3), ((141, 85, 36), -12.607, 5), ((61, 35, 20), -65.493, 6)]
)
def test_ita_of_known_colours(rgb, ita, fst):
    verdict = ToneGate()(flat(rgb), MASK, Condition("mel", fst))
    assert verdict.accepted
    assert verdict.ita_deg == pytest.approx(ita, abs=0.05)
    assert verdict.fst == fst


@pytest.mark.parametrize(("ita", "fst"), [(60, 1), (50, 2), (35, 3), (20, 4), (-5, 5), (-50, 6)])
def test_each_type_passes_as_itself_only(ita, fst):
    image = flat(skin_rgb(ita))
    for asked in range(1, 7):
        verdict = ToneGate()(image, MASK, Condition("mel", asked))
        assert verdict.accepted == (asked == fst)
        assert bool(verdict.reason) == (asked != fst)


def test_an_angle_is_met_within_the_tolerance():
    image = flat(skin_rgb(35))
    assert ToneGate()(image, MASK, Condition("mel", ita_deg=31)).accepted
    verdict = ToneGate()(image, MASK, Condition("mel", ita_deg=29))
    assert verdict.reason == "tone off target"
    assert "asked for 29.0 deg" in verdict.detail
    assert not ToneGate()(image, MASK, Condition("mel", ita_deg=41)).accepted


def test_grey_is_no_skin():
    verdict = ToneGate()(flat((128, 128, 128)), MASK, Condition("mel", 5))
    assert verdict.reason == "not a skin colour"
    assert math.isnan(verdict.ita_deg)
    assert verdict.fst is None


def test_a_measurement_needs_skin():
    few = torch.zeros(16, 16, dtype=torch.bool)
    few[0] = True
    assert ToneGate()(flat(skin_rgb(35)), few, Condition("mel", 3)).reason == "too little healthy skin"


def test_only_the_healthy_skin_counts():
    image = flat(skin_rgb(35))
    image[:, :8] = 0
    mask = MASK.clone()
    mask[:8] = False
    assert ToneGate()(image, mask, Condition("mel", 3)).accepted
    assert not ToneGate()(image, MASK, Condition("mel", 3)).accepted
