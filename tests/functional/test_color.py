import math

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from synthderm.functional.color import (
    delta_e_2000,
    ita_deg,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    median_lab,
    rgb_to_lab,
    skin_ita_deg,
    srgb_to_linear,
)


def test_lab_agrees_with_scikit_image():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = rgb2lab(image.permute(1, 2, 0).numpy())
    # scikit-image rounds the matrix to six digits
    assert np.abs(rgb_to_lab(image).permute(1, 2, 0).numpy() - expected).max() < 0.01


def test_uint8_and_float_images_give_the_same_lab():
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(rgb_to_lab(image), rgb_to_lab(image.float() / 255))


def test_ciede2000_agrees_with_scikit_image_and_is_zero_for_equal_colours():
    rng = torch.Generator().manual_seed(1)
    a = torch.rand(800, 3, generator=rng, dtype=torch.float64) * torch.tensor([100, 160, 160]) - torch.tensor(
        [0, 80, 80]
    )
    b = a + torch.randn(800, 3, generator=rng, dtype=torch.float64) * 20
    assert np.abs(delta_e_2000(a, b).numpy() - deltaE_ciede2000(a.numpy(), b.numpy())).max() < 1e-9
    assert float(delta_e_2000(a, a).max()) == 0


def test_round_trips():
    rgb = torch.rand(500, 3, dtype=torch.float64)
    assert torch.allclose(lab_to_linear(linear_to_lab(rgb)), rgb, atol=1e-9)
    assert torch.allclose(srgb_to_linear(linear_to_srgb(rgb)), rgb, atol=1e-6)


@pytest.mark.parametrize(("lightness", "b", "angle"), [(65, 15, 45), (50, 10, 0), (40, 10, -45), (60, -10, 135)])
def test_ita_uses_the_quadrant(lightness, b, angle):
    assert ita_deg(lightness, b) == pytest.approx(angle)


def test_skin_tone_of_a_flat_colour_ignores_what_is_masked():
    lab = torch.tensor([65.0, 12.0, 15.0])
    image = linear_to_srgb(lab_to_linear(lab)).view(3, 1, 1).expand(3, 10, 10).clone()
    image[:, :4] = 0.0
    mask = torch.ones(10, 10, dtype=torch.bool)
    mask[:4] = False
    assert median_lab(image, mask) == pytest.approx(lab.tolist(), abs=0.01)
    assert skin_ita_deg(image, mask) == pytest.approx(45, abs=0.05)
    assert math.isnan(skin_ita_deg(image, torch.zeros_like(mask)))


def test_colours_that_are_not_skin_have_no_tone():
    lilac = linear_to_srgb(lab_to_linear(torch.tensor([70.0, 15.0, -4.0]))).view(3, 1, 1).expand(3, 4, 4)
    assert math.isnan(skin_ita_deg(lilac, torch.ones(4, 4, dtype=torch.bool)))
