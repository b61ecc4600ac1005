"""The evaluation scripts' measuring tools, on images whose answer is known."""

import math
import sys

import numpy as np
import pytest
import torch

from synthderm.functional.color import lab_to_linear, linear_to_srgb, rgb_to_lab


@pytest.fixture(scope="module", autouse=True)
def _eval_scripts(repository):
    sys.path.insert(0, str(repository / "eval"))
    yield
    sys.path.remove(str(repository / "eval"))


def ellipse_image(skin=(70.0, 12.0, 15.0), lesion=(45.0, 18.0, 22.0), axes=(40, 24), center=(64, 70), size=128):
    """A flat ellipse on flat skin and its mask; ``center`` is (x, y) in px."""
    y, x = np.mgrid[:size, :size]
    mask = ((x - center[0]) / axes[0]) ** 2 + ((y - center[1]) / axes[1]) ** 2 < 1
    lab = torch.from_numpy(np.where(mask[..., None], lesion, skin))
    image = (linear_to_srgb(lab_to_linear(lab)) * 255).round().to(torch.uint8).permute(2, 0, 1)
    return image.numpy(), mask


def test_colours_are_those_of_the_package():
    from real_statistics import to_lab

    image = np.random.default_rng(0).integers(0, 256, (3, 20, 20), dtype=np.uint8)
    expected = rgb_to_lab(torch.from_numpy(image)).numpy()
    assert np.abs(to_lab(image) - expected).max() < 0.05


def test_statistics_of_a_flat_ellipse():
    from real_statistics import image_statistics

    image, mask = ellipse_image()
    found = image_statistics(image, mask)
    assert found["area"] == pytest.approx(mask.mean())
    assert found["center_y"] == pytest.approx((70 - 63.5) / 128, abs=0.005)
    assert found["eccentricity"] == pytest.approx(math.sqrt(1 - (24 / 40) ** 2), abs=0.02)
    assert found["asymmetry_long"] < 0.05
    assert found["border_std"] < 0.02
    assert found["solidity"] > 0.96
    assert [found[f"skin_{n}"] for n in "Lab"] == pytest.approx([70, 12, 15], abs=0.5)
    assert [found[f"lesion_d{n}"] for n in "Lab"] == pytest.approx([-25, 6, 7], abs=0.8)
    assert found["skin_ita"] == pytest.approx(math.degrees(math.atan2(20, 15)), abs=1)
    assert abs(found["edge_offset"]) < 0.01
    assert found["hair_share"] == found["frame_share"] == 0


def test_asymmetry_and_irregularity_grow_with_a_bite():
    from real_statistics import image_statistics

    image, mask = ellipse_image()
    bitten = mask.copy()
    bitten[40:72, 20:56] = False
    whole, part = image_statistics(image, mask), image_statistics(image, bitten)
    for name in ("asymmetry_long", "border_std", "border_low"):
        assert part[name] > whole[name] + 0.05
    assert part["solidity"] < whole["solidity"] - 0.03


def test_edge_offset_tells_a_mask_drawn_too_wide():
    from real_statistics import image_statistics
    from scipy.ndimage import binary_dilation

    image, mask = ellipse_image()
    wide = image_statistics(image, binary_dilation(mask, iterations=4))
    assert wide["edge_offset"] == pytest.approx(-4 / 128, abs=0.012)


def test_hair_and_frame_are_found():
    from real_statistics import image_statistics

    image, mask = ellipse_image()
    image[:, 20:22, 30:98] = 30
    y, x = np.mgrid[:128, :128]
    image[:, np.hypot(x - 63.5, y - 63.5) > 0.95 * 64 + 16] = 4
    found = image_statistics(image, mask)
    assert found["hair_share"] > 0.01
    assert found["frame_radius"] == pytest.approx(0.95 + 0.25, abs=0.04)
    assert found["skin_L"] == pytest.approx(70, abs=0.6)


def test_a_mask_that_fills_the_image_leaves_no_skin():
    from real_statistics import image_statistics

    image, mask = ellipse_image()
    found = image_statistics(image, np.ones_like(mask))
    assert math.isnan(found["skin_L"])
    assert found["area"] == 1


def test_dice():
    from segmentation import dice

    full, none = torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    half = full.clone()
    half[:, :2] = False
    assert dice(half, full).item() == pytest.approx(2 / 3)
    assert dice(none, full).item() == 0
    assert dice(none, none).item() == 1


def test_unet_learns_bright_discs_and_follows_its_seed():
    from segmentation import dice as score
    from segmentation import flat_set, predict, train

    images, masks = flat_set(None, [None] * 12, seed=0)
    first, second = (train(images, masks, steps=2, seed=3) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    learned = train(images, masks, steps=25, seed=3)
    assert score(predict(learned, images), masks).mean() > 0.5


def test_interval_has_the_width_of_the_standard_error_over_lesions():
    from segmentation import bootstrap

    table = np.random.default_rng(0).normal(size=(1, 400))
    low, high = bootstrap(table, np.arange(400))
    assert low < table.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * table.std() / math.sqrt(400), rel=0.15)
    pairs = np.repeat(table, 2, axis=1)  # two images of each lesion are no more evidence than one
    low_2, high_2 = bootstrap(pairs, np.repeat(np.arange(400), 2))
    assert high_2 - low_2 == pytest.approx(high - low, rel=0.15)


def test_the_pack_is_read_from_its_folder_and_groups_never_cross(real_pack):
    from real_pack import CLASSES, RealPack
    from segmentation import split_lesions

    pack = RealPack(real_pack)
    assert len(pack.rows) == 10348
    assert {r.diagnosis for r in pack.rows} == set(CLASSES)
    pool, dev, test = ({r.group for r in rows} for rows in split_lesions(pack))
    assert not pool & dev
    assert not (pool | dev) & test
