"""The index of training images: finds them turned, dark, blurred; leaves others alone; survives its file."""

import pytest
import torch

from synthderm.core import InputError
from synthderm.models.copies import CopyDetector
from synthderm.models.copy_index import CopyIndex


def blobs(n, seed):
    """(n, 3, 64, 64) uint8 images of random smooth blobs."""
    coarse = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=64, mode="bicubic", align_corners=True)
    return (255 * fine.clamp(0, 1)).repeat(1, 3, 1, 1).to(torch.uint8)


@pytest.fixture(scope="module")
def index():
    return CopyIndex.fit([blobs(60, 0)], [blobs(60, 1)], false_alarm_rate=0.05)


def test_training_images_are_found_whatever_was_done_to_them(index):
    train = blobs(60, 0)[:10]
    changed = {
        "same": train,
        "turned and mirrored": train.rot90(1, (2, 3)).flip(3),
        "dark": (train.float() * 0.6).to(torch.uint8),
        "noise": (train.float() + 15 * torch.randn(train.shape, generator=torch.Generator().manual_seed(5)))
        .clamp(0, 255)
        .to(torch.uint8),
    }
    for name, images in changed.items():
        scores, nearest = index.score(images)
        assert (scores > index.threshold).all(), name
        assert nearest.tolist() == list(range(10)), name


def test_other_images_exceed_the_threshold_about_as_seldom_as_asked(index):
    scores, _ = index.score(blobs(400, 2))
    assert float((scores > index.threshold).float().mean()) < 0.12  # 5 % asked for, set on 60 images


def test_saved_and_loaded_it_scores_alike(index, tmp_path):
    again = CopyIndex.load(index.save(tmp_path / "index.safetensors"))
    assert torch.equal(again.score(blobs(5, 3))[0], index.score(blobs(5, 3))[0])
    assert (again.threshold, again.false_alarm_rate, again.hold_out_n) == (index.threshold, 0.05, 60)


def test_files_of_something_else_are_refused(index, tmp_path):
    path = CopyDetector.fit(blobs(20, 0)).save(tmp_path / "detector.safetensors")
    with pytest.raises(InputError, match="is no copy index; expected a file"):
        CopyIndex.load(path)
    with pytest.raises(InputError, match="cannot read"):
        CopyIndex.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="is no copy detector"):
        CopyDetector.load(index.save(tmp_path / "index.safetensors"))
