"""The watermark's evaluation: the pairwise p-values are the library's, and the attacks do what their names say."""

import sys

import numpy as np
import pytest
from PIL import Image
from scipy import stats


@pytest.fixture(scope="module", autouse=True)
def _eval_scripts(repository):
    sys.path.insert(0, str(repository / "eval"))
    yield
    sys.path.remove(str(repository / "eval"))


def picture(side=96):
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 220, (12, 12, 3), dtype=np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def test_p_values_of_many_pairs_are_those_of_the_library():
    from watermark_null import features_of, log10_ps, random_keys

    from synthderm.provenance.watermark.pattern import Pattern
    from synthderm.provenance.watermark.statistic import presence_log10_p

    features = features_of([picture(), picture().rotate(30), Image.new("RGB", (64, 64))])
    keys = random_keys(5, 0)
    expected = [[presence_log10_p(one, Pattern(key)) for one in features] for key in keys]
    assert np.allclose(log10_ps(features, keys), expected, atol=1e-10)


@pytest.mark.parametrize(("k", "n"), [(0, 50), (3, 50), (50, 50)])
def test_the_interval_is_the_exact_one(k, n):
    from watermark_null import binomial_interval

    exact = stats.binomtest(k, n).proportion_ci(method="exact")
    assert binomial_interval(k, n) == pytest.approx((exact.low, exact.high))


def test_every_attack_gives_an_rgb_image_and_changes_it_unless_it_is_none():
    from watermark_attacks import ATTACKS

    image = picture()
    for name, attack in ATTACKS.items():
        attacked = attack(image, np.random.default_rng(1))
        assert attacked.mode == "RGB"
        assert (attacked.tobytes() == image.tobytes()) == (name == "none"), name
    assert np.ptp(np.asarray(ATTACKS["greyscale"](image, None)), axis=2).max() == 0
    assert ATTACKS["crop a quarter of the area"](image, np.random.default_rng(1)).size == (48, 48)


def test_hair_removal_takes_a_dark_hair_away_and_leaves_the_rest():
    from watermark_attacks import without_hair

    skin = np.full((64, 64, 3), 180, np.uint8)
    haired = skin.copy()
    haired[:, 30:32] = 40
    assert np.array_equal(np.asarray(without_hair(Image.fromarray(haired))), skin)


def test_a_binomial_test_finds_52_of_64_bits_and_not_40():
    from watermark_peers import MESSAGE, found_bits

    bits = MESSAGE.copy()
    assert found_bits(bits, MESSAGE) == (True, True)
    bits[:12] ^= 1
    assert found_bits(bits, MESSAGE) == (True, False)
    bits[12:24] ^= 1
    assert found_bits(bits, MESSAGE) == (False, False)
