import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

from synthderm.core import InputError
from synthderm.metrics.masks import BoundaryContrast, boundary_contrasts, outline_bands

SKIN, LESION = (205, 160, 135), (110, 70, 55)


def disc(size=64, radius=16, x=32, y=32):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def image_of(mask):
    skin, lesion = (torch.tensor(c, dtype=torch.uint8)[:, None, None] for c in (SKIN, LESION))
    return torch.where(mask, lesion, skin)


def test_the_bands_are_those_of_erosion_and_dilation():
    mask = torch.from_numpy(np.random.default_rng(0).random((40, 40)) > 0.97)
    mask = torch.from_numpy(ndimage.binary_dilation(mask.numpy(), iterations=4))
    inside, outside = outline_bands(mask[None], band=2 / 40)
    square = np.ones((5, 5))
    eroded = ndimage.binary_erosion(mask.numpy(), square, border_value=1)
    dilated = ndimage.binary_dilation(mask.numpy(), square)
    assert np.array_equal(inside[0].numpy(), mask.numpy() & ~eroded)
    assert np.array_equal(outside[0].numpy(), dilated & ~mask.numpy())


def test_the_contrast_is_the_colour_difference_of_lesion_and_skin():
    mask = disc()
    lab = rgb2lab(np.array([[SKIN, LESION]], dtype=np.uint8))[0]
    expected = deltaE_ciede2000(lab[0], lab[1])
    found = boundary_contrasts(image_of(mask)[None], mask[None])
    assert found.item() == pytest.approx(expected, abs=0.02)


def test_a_mask_beside_its_lesion_has_less_contrast():
    image = image_of(disc())[None]
    shifted = [boundary_contrasts(image, disc(x=32 + by)[None]).item() for by in (0, 2, 8)]
    larger = boundary_contrasts(image, disc(radius=26)[None]).item()
    assert shifted[0] > 1.5 * shifted[1] > 3 * shifted[2]
    assert larger == 0.0


def test_a_mask_without_an_outline_is_counted_apart():
    metric = BoundaryContrast()
    masks = torch.stack([disc(), torch.zeros(64, 64, dtype=torch.bool), torch.ones(64, 64, dtype=torch.bool)])
    images = torch.stack([image_of(disc())] * 3)
    metric.update(images, masks)
    assert metric.without_outline == 2
    assert metric.compute() == boundary_contrasts(images[:1], masks[:1])[0]


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match="expected"):
        boundary_contrasts(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 9, dtype=torch.bool))
