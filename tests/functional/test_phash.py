import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image

from synthderm.core import InputError
from synthderm.functional.phash import BITS, dihedral_hashes, hamming, nearest_hash, perceptual_hash


def pictures(n, size=64, seed=0):
    """Smooth random colour fields: no two alike."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 3, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255).byte()


def test_bits_are_those_of_scipys_dct_above_their_median():
    images = pictures(4, size=32)
    for image, found in zip(images, perceptual_hash(images), strict=True):
        grey = image.double().mean(0).numpy()
        kept = scipy.fft.dctn(grey, type=2)[1:9, 1:9].ravel()
        assert (found == (kept > np.median(kept))).mean() > 0.98  # float32 against float64, at the median
    assert perceptual_hash(images).shape == (4, BITS)


def test_the_eight_variants_are_the_hashes_of_the_turned_images():
    images = pictures(3)
    variants = dihedral_hashes(images)
    turned = [t for k in range(4) for t in (images.rot90(k, (2, 3)), images.rot90(k, (2, 3)).flip(-1))]
    for image in turned:
        distances = hamming(variants, perceptual_hash(image)[:, None])
        assert (distances.min(1) <= 2).all()
    assert (hamming(variants[:, 0], perceptual_hash(images)) == 0).all()
    nearest = [hamming(variants, perceptual_hash(t)[:, None]).argmin(1) for t in turned]
    assert sorted(np.stack(nearest)[:, 0]) == list(range(8))  # each turn is another of the eight


def test_small_changes_keep_the_hash_and_other_images_do_not(tmp_path):
    images = pictures(20)
    hashes = perceptual_hash(images)
    brighter = (images.float() * 0.8).byte()
    assert hamming(perceptual_hash(brighter), hashes).max() <= 6
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(tmp_path / "a.jpg", quality=50)
    with Image.open(tmp_path / "a.jpg") as opened:
        again = torch.from_numpy(np.array(opened)).permute(2, 0, 1)[None]
    assert hamming(perceptual_hash(again), hashes[:1])[0] <= 6
    others = hamming(hashes[:, None], hashes[None])[~np.eye(20, dtype=bool)]
    assert 26 < others.mean() < 38
    assert others.min() > 8


def test_the_nearest_hash_is_that_of_a_plain_search():
    images, reference = pictures(7, seed=1), perceptual_hash(pictures(50, seed=2))
    variants = dihedral_hashes(images)
    distances, rows = nearest_hash(variants, reference)
    plain = hamming(variants[:, :, None], reference[None, None]).min(1)
    assert (distances == plain.min(1)).all()
    assert (rows == plain.argmin(1)).all()
    assert (nearest_hash(reference[3:5], reference)[0] == 0).all()


def test_a_flipped_copy_has_distance_zero_and_is_found():
    reference = pictures(30)
    distances, rows = nearest_hash(
        dihedral_hashes(reference[[4, 9]].flip(-1).rot90(1, (2, 3))), perceptual_hash(reference)
    )
    assert rows.tolist() == [4, 9]
    assert distances.max() <= 2


def test_what_is_no_image_is_refused():
    with pytest.raises(InputError, match="uint8"):
        perceptual_hash(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match="at least one"):
        nearest_hash(np.zeros((1, 64), bool), np.zeros((0, 64), bool))
