import dataclasses

import pytest
import torch

from synthderm.training.augmentation import CLASSIC, HEAVY, AugmentationRange, augment

STILL = AugmentationRange(rotation_deg=0, zoom=(0, 0), shift=0, gain=0, cast=0, saturation=(1, 1), contrast=(1, 1))


@pytest.fixture
def scene():
    """A square mask, and the same square in the first channel of each image."""
    images = torch.full((16, 3, 32, 32), 100, dtype=torch.uint8)
    masks = torch.zeros(16, 32, 32, dtype=torch.bool)
    masks[:, 6:16, 8:20] = True
    images[:, 0][masks] = 250
    return images, masks


def draw(scene, ranges, seed=0, **more):
    return augment(scene[0], ranges, torch.Generator().manual_seed(seed), scene[1], **more)


def test_nothing_drawn_changes_nothing_but_a_mirror(scene):
    x, masks = draw(scene, STILL)
    mirrored = [not torch.equal(mask, scene[1][0]) for mask in masks]
    assert 0 < sum(mirrored) < 16
    for image, mask, flipped in zip(x, masks, mirrored, strict=True):
        expected = scene[0][0].flip(-1) if flipped else scene[0][0]
        assert torch.allclose(image, expected / 255, atol=1e-5)
        assert torch.equal(mask, scene[1][0].flip(-1) if flipped else scene[1][0])


def test_image_and_mask_move_together(scene):
    geometry = dataclasses.replace(CLASSIC, gain=0, cast=0, saturation=(1, 1), contrast=(1, 1))
    x, masks = draw(scene, geometry)
    inside = (x[:, 0] > (250 + 100) / 2 / 255) == masks
    assert inside.float().mean() > 0.99
    assert masks.float().mean((1, 2)).std() > 0  # sizes differ


def test_one_seed_one_result_and_each_image_its_own(scene):
    first, again, other = (draw(scene, HEAVY, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("size", [16, 48])
def test_range_and_size(scene, size):
    x, masks = draw(scene, HEAVY, size=size)
    assert x.shape == (16, 3, size, size)
    assert masks.shape == (16, size, size)
    assert x.min() >= 0
    assert x.max() <= 1
    assert augment(scene[0], CLASSIC, torch.Generator(), None)[1] is None


@pytest.mark.parametrize(
    ("change", "measure"),
    [
        ({"noise": 0.1}, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean()),
        ({"gain": 0.4}, lambda x: x.mean((1, 2, 3)).std()),
        ({"cast": 0.4}, lambda x: (x.mean((2, 3)) / x.mean((1, 2, 3))[:, None]).std(0).mean()),
        ({"shading": 0.3}, lambda x: (x[:, 2, :, :8].mean((1, 2)) - x[:, 2, :, -8:].mean((1, 2))).abs().mean()),
        ({"gamma": 0.5}, lambda x: x[:, 2].mean((1, 2)).std()),
        ({"erase": 1.0}, lambda x: ((x[:, 0] * 255 - 175).abs() < 74).float().mean()),  # neither skin nor square
        ({"contrast": (0.2, 2)}, lambda x: (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).std()),
        ({"saturation": (0.0, 0.5)}, lambda x: -(x.amax(1) - x.amin(1)).mean()),
    ],
)
def test_each_range_does_what_it_says(scene, change, measure):
    plain, _ = draw(scene, STILL)
    changed, _ = draw(scene, dataclasses.replace(STILL, **change))
    assert measure(changed) > measure(plain) + 0.01


def test_sharpness_blurs_and_sharpens(scene):
    def edges(factor):
        x, _ = draw(scene, dataclasses.replace(STILL, sharpness=(factor, factor)))
        return (x[..., 1:] - x[..., :-1]).abs().amax()

    assert edges(0.0) < 0.6 * edges(1.0) < 0.6 * edges(1.8) + 1e-6
