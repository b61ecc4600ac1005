"""Healthy skin: what is left of an image beside lesion, hair, glare and frame."""

import pytest
import torch

from synthderm.functional.color import rgb_to_lab
from synthderm.functional.skin import healthy_skin, lightness


@pytest.fixture(params=[96, 192])
def scene(request):
    side = request.param
    k = side // 96
    image = torch.tensor([160, 110, 85], dtype=torch.uint8)[:, None, None].repeat(1, side, side)
    lesion = torch.zeros(side, side, dtype=torch.bool)
    lesion[30 * k : 50 * k, 30 * k : 50 * k] = True
    image[:, lesion] = 60
    return image, lesion, k


def test_lightness_is_that_of_cielab():
    image = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    torch.testing.assert_close(lightness(image), rgb_to_lab(image)[0], atol=1e-3, rtol=0)


def test_plain_skin_is_healthy_but_for_the_widened_lesion(scene):
    image, lesion, k = scene
    skin = healthy_skin(image, lesion)
    assert not skin[26 * k + k : 54 * k - k, 27 * k : 53 * k].any()
    assert skin[: 24 * k].all()
    assert skin[:, 58 * k :].all()


def test_hair_glare_and_frame_are_no_skin(scene):
    image, lesion, k = scene
    image[:, 70 * k : 70 * k + 2 * k] = 40  # a dark hair, in full
    image[:, 60 * k : 64 * k, 80 * k : 84 * k] = 252
    image[:, :, : 8 * k] = 0
    skin = healthy_skin(image, lesion)
    assert not skin[70 * k : 72 * k].any()
    assert not skin[60 * k : 64 * k, 80 * k : 84 * k].any()
    assert not skin[:, : 10 * k].any()
    assert skin[80 * k : 90 * k, 20 * k : 90 * k].all()


def test_a_lesion_that_fills_the_image_leaves_what_lies_outside_it():
    image = torch.full((3, 64, 64), 150, dtype=torch.uint8)
    lesion = torch.ones(64, 64, dtype=torch.bool)
    lesion[:2] = False
    assert torch.equal(healthy_skin(image, lesion), ~lesion)
