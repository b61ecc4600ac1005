import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.models.copies import CopyDetector, upper_threshold


def lesions(n, seed, size=64):
    """Dark blobs of random shape on textured skin."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    images = np.empty((n, 3, size, size), np.uint8)
    for i in range(n):
        y, x, ry, rx = rng.uniform([0.4, 0.4, 0.15, 0.15], [0.6, 0.6, 0.3, 0.3])
        blob = ((down - y) / ry) ** 2 + ((across - x) / rx) ** 2 < 1
        grain = np.kron(rng.normal(0, 12, (size // 4, size // 4)), np.ones((4, 4)))
        skin = rng.uniform([180, 130, 100], [240, 200, 170])[:, None, None]
        images[i] = (skin * np.where(blob, 0.45, 1) + grain).clip(0, 255)
    return torch.from_numpy(images)


@pytest.fixture(scope="module")
def train():
    return lesions(60, seed=1)


@pytest.fixture(scope="module")
def detector(train):
    return CopyDetector.fit(train, lesions(60, seed=2), false_alarm_rate=0.05)


def test_planted_copies_are_found_and_named(detector, train):
    some = train[5:15]
    size = some.shape[-1]
    crop = torch.nn.functional.interpolate(some[..., 4:58, 6:60].float(), size=(size, size), mode="bilinear").byte()
    colour = (some.float() * torch.tensor([1.0, 0.85, 0.9])[:, None, None]).byte()
    for queries in (some, some.flip(-1), some.rot90(1, (2, 3)), crop, colour):
        found = detector.score(queries)
        assert found.is_copy.mean() >= 0.9
        assert (found.nearest == np.arange(5, 15)).mean() >= 0.9
    assert detector.score(some.flip(-1)).hash_distances.max() <= 2


def test_other_lesions_are_no_copies_but_at_the_stated_rate(detector):
    found = detector.score(lesions(100, seed=3))
    assert found.is_copy.mean() < 0.12  # 0.05 stated


def test_batches_do_not_change_the_result(detector, train):
    queries = torch.cat([train[:20].flip(-1), lesions(20, seed=4)])
    whole, parts = detector.score(queries), detector.score(queries.split(7))
    assert np.allclose(whole.scores, parts.scores, atol=1e-5)
    assert (whole.nearest == parts.nearest)[:20].all()
    assert (whole.hash_distances == parts.hash_distances).all()


def test_saved_and_loaded_it_says_the_same(detector, train, tmp_path):
    again = CopyDetector.load(detector.save(tmp_path / "copies.safetensors"))
    queries = torch.cat([train[:5], lesions(5, seed=6)])
    for name in ("scores", "nearest", "is_copy", "hash_distances"):
        assert (getattr(again.score(queries), name) == getattr(detector.score(queries), name)).all()
    assert (again.threshold, again.false_alarm_rate, again.hold_out_n) == (detector.threshold, 0.05, 60)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot read"):
        CopyDetector.load(tmp_path / "x.safetensors")


def test_the_threshold_bounds_the_chance_of_a_further_score():
    rng = np.random.default_rng(0)
    above = [(rng.normal(size=2000) > upper_threshold(rng.normal(size=199), 0.05)).mean() for _ in range(200)]
    assert np.mean(above) == pytest.approx(0.05, abs=0.006)


def test_a_finer_rate_than_the_hold_out_allows_is_refused():
    assert upper_threshold(np.arange(99), 0.01) == 98
    with pytest.raises(InputError, match="at least 99 hold-out images, but there are 98"):
        upper_threshold(np.arange(98), 0.01)
    with pytest.raises(InputError, match="between 0 and 1"):
        upper_threshold(np.arange(98), 1.0)


def test_without_hold_out_nothing_is_called_a_copy(train):
    found = CopyDetector.fit(train).score(train[:3])
    assert found.scores.min() > 0.6
    assert not found.is_copy.any()


def test_too_few_training_images_are_refused(train):
    with pytest.raises(InputError, match="at least 2"):
        CopyDetector.fit(train[:1])


def test_an_image_that_the_training_set_holds_several_times_does_not_hide_its_copies(train):
    repeated = torch.cat([train, *[train[5:6]] * 12])
    found = CopyDetector.fit(repeated, lesions(60, seed=2), 0.05).score(train[5:6].flip(-1))
    assert found.is_copy.all()
