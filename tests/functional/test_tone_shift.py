"""A shifted tone: the skin gets the colour that was asked for, and the lesion keeps its optical density."""

import pytest
import torch

from synthderm.functional.color import ita_deg, median_lab, rgb_to_lab, srgb_to_linear
from synthderm.functional.tone_shift import MAX_GAIN, apply_gains, tone_gains, turn_to_ita

SKIN = (198, 150, 128)


def picture():
    generator = torch.Generator().manual_seed(0)
    image = torch.tensor(SKIN, dtype=torch.float32)[:, None, None] + 2 * torch.randn(3, 48, 48, generator=generator)
    lesion = torch.zeros(48, 48, dtype=torch.bool)
    lesion[16:32, 16:32] = True
    image[:, lesion] *= 0.5
    return image.round().clamp(0, 255).to(torch.uint8), lesion


@pytest.mark.parametrize("wanted", [48.0, 20.0, -10.0, -45.0])
def test_the_skin_gets_the_tone_that_was_asked_for(wanted):
    image, lesion = picture()
    before = torch.tensor(median_lab(image, ~lesion))
    target = turn_to_ita(torch.tensor([before[0], before[1] * 0.8, before[2]]), wanted)
    shifted = apply_gains(image, tone_gains(before, target))
    after = median_lab(shifted, ~lesion)
    assert ita_deg(after[0], after[2]) == pytest.approx(wanted, abs=1.5)


def test_the_optical_density_of_the_lesion_over_the_skin_stays():
    image, lesion = picture()
    before = torch.tensor(median_lab(image, ~lesion))
    shifted = apply_gains(image, tone_gains(before, turn_to_ita(before, -5.0)))

    def density(x):
        linear = srgb_to_linear(x.float() / 255)
        return -(linear[:, lesion].mean(1) / linear[:, ~lesion].mean(1)).log()

    torch.testing.assert_close(density(shifted), density(image), atol=0.05, rtol=0)


def test_the_same_colour_changes_nothing():
    image, lesion = picture()
    colour = torch.tensor(median_lab(image, ~lesion))
    assert torch.equal(apply_gains(image, tone_gains(colour, colour)), image)


def test_gains_are_bounded_and_highlights_bend_instead_of_clipping():
    black, white = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([98.0, 0.0, 0.0])
    assert float(tone_gains(black, white).max()) == MAX_GAIN
    ramp = torch.arange(256, dtype=torch.uint8)[None, None].expand(3, 1, 256)
    bright = apply_gains(ramp, torch.full((3,), 1.8))[0, 0].int()
    assert (bright.diff() >= 0).all()
    assert bright[-1] > bright[215] > bright[190]


def test_turning_keeps_distance_and_pinkness():
    lab = torch.tensor([66.0, 14.0, 16.0])
    turned = turn_to_ita(lab, 10.0)
    assert float(turned[1]) == 14.0
    assert ita_deg(float(turned[0]), float(turned[2])) == pytest.approx(10.0, abs=1e-4)
    assert float((turned[0] - 50) ** 2 + turned[2] ** 2) == pytest.approx(16.0**2 + 16.0**2, rel=1e-4)
    assert rgb_to_lab(torch.zeros(3, 1, 1)).shape == (3, 1, 1)
