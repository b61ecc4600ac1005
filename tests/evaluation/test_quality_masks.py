import numpy as np
import pytest
import torch
from PIL import Image
from quality_sets import TinyExtractor, real_folder, synthetic_folder

from synthderm.core import InputError
from synthderm.evaluation.quality.mask_section import MaskJudge, small_masks
from synthderm.evaluation.quality.masks import shuffled, without_training_images
from synthderm.evaluation.quality.options import QualityOptions
from synthderm.evaluation.quality.subjects import Subjects
from synthderm.evaluation.sets import open_set


class BrightnessSegmenter(torch.nn.Module):
    """Logits of "darker than skin", scaled by a weight that training cannot spoil."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return (0.55 - x.mean(1)) * self.weight.abs().clamp_min(0.1) * 20


def judged(tmp_path, synthetic, real, segmenter="none", **options):
    subjects = Subjects(
        open_set(synthetic), open_set(real), {}, TinyExtractor(), tmp_path / "out",
        QualityOptions(segmenter=segmenter, segmenter_steps=2, **options),
    )  # fmt: skip
    judge = MaskJudge.make(subjects)
    columns = judge.columns(subjects.synthetic)
    return judge.figures(subjects.measure(subjects.synthetic, columns, "synthetic") if columns else {})


def test_masks_that_fit_have_more_contrast_than_those_of_other_images(tmp_path):
    found = judged(tmp_path, synthetic_folder(tmp_path / "s", n=40), real_folder(tmp_path / "r", n=40))
    for role in ("synthetic", "real"):
        own, other = found["boundary_contrast"][role], found["boundary_contrast_shuffled"][role]
        assert own["n"] == 40
        assert own["interval"][0] > other["interval"][1]
    assert found["without_mask"] == found["without_outline"] == 0
    assert "dice" not in found


def test_a_mask_of_another_image_is_given_to_each():
    class Record:
        def __init__(self, mask):
            self.mask = mask

    from dataclasses import dataclass, field

    @dataclass(frozen=True)
    class One:
        mask: str | None

    @dataclass(frozen=True)
    class Some:
        records: tuple = field(default=())

        def __len__(self):
            return len(self.records)

    images = Some(tuple(One(str(i) if i != 3 else None) for i in range(9)))
    moved = [record.mask for record in shuffled(images, 0).records]
    assert moved[3] is None
    assert sorted(m for m in moved if m) == sorted(str(i) for i in range(9) if i != 3)
    assert all(m is None or m != str(i) for i, m in enumerate(moved))


def test_a_segmenter_trained_on_real_masks_agrees_with_masks_that_fit(tmp_path, monkeypatch):
    real = real_folder(tmp_path / "r", n=64)
    monkeypatch.setattr("quality_sets.BrightnessSegmenter", BrightnessSegmenter, raising=False)
    good = judged(tmp_path, synthetic_folder(tmp_path / "s", n=36), real, "quality_sets:BrightnessSegmenter")
    assert good["dice"]["synthetic"]["value"] > 0.9
    assert good["dice"]["real"]["value"] > 0.9
    assert good["dice"]["real"]["n"] == 64

    def shift(i, row, image):
        return np.roll(image, 14, axis=1)

    bad = judged(
        tmp_path, synthetic_folder(tmp_path / "b", n=36, change=shift), real, "quality_sets:BrightnessSegmenter"
    )
    assert bad["dice"]["synthetic"]["interval"][1] < good["dice"]["synthetic"]["interval"][0]
    assert bad["boundary_contrast"]["synthetic"]["value"] < good["boundary_contrast"]["synthetic"]["value"]
    assert len(list((tmp_path / "out").glob("network_*.safetensors"))) == 2


def test_missing_masks_are_counted(tmp_path):
    def change(i, row, image):
        row["mask_file_name"] = None if i < 4 else row["mask_file_name"]
        return image

    found = judged(tmp_path, synthetic_folder(tmp_path / "s", n=40, change=change), real_folder(tmp_path / "r", n=40))
    assert found["note"].startswith("4 of 40 synthetic images have no lesion mask")
    assert found["boundary_contrast"]["synthetic"]["n"] == 36


def test_a_set_without_masks_says_so(tmp_path):
    def change(i, row, image):
        row["mask_file_name"] = None
        return image

    synthetic = synthetic_folder(tmp_path / "s", n=10, change=change)
    found = judged(tmp_path, synthetic, real_folder(tmp_path / "r", n=12), segmenter="derm-segmenter")
    assert found == {"n": 10, "without_mask": 10, "note": "none of the 10 synthetic images has a lesion mask"}


def test_real_images_without_masks_give_no_figure_to_compare_with(tmp_path):
    real = real_folder(tmp_path / "r", n=12, masks=False)
    found = judged(tmp_path, synthetic_folder(tmp_path / "s", n=40), real)
    assert list(found["boundary_contrast"]) == ["synthetic"]


def test_an_empty_mask_has_no_outline(tmp_path):
    folder = synthetic_folder(tmp_path / "s", n=36)
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(folder / "masks" / "S0000_segmentation.png")
    found = judged(tmp_path, folder, real_folder(tmp_path / "r", n=36))
    assert found["without_outline"] == 1
    assert found["boundary_contrast"]["synthetic"]["n"] == 35


def test_a_segmenter_that_nobody_knows_or_cannot_be_trained(tmp_path):
    synthetic = synthetic_folder(tmp_path / "s", n=4)
    with pytest.raises(InputError, match="unknown segmenter 'unet9000'"):
        judged(tmp_path, synthetic, real_folder(tmp_path / "r", n=12), "unet9000")
    with pytest.raises(InputError, match=r"at least 60 real images with a lesion mask, but .* has 12"):
        judged(tmp_path, synthetic, real_folder(tmp_path / "q", n=12), "small")


def test_a_shipped_segmenter_is_judged_on_what_the_set_holds_back(tmp_path):
    real = open_set(real_folder(tmp_path / "r", n=80))
    chosen, about = without_training_images(real, 20)
    assert {real.records[i].split for i in chosen} == {"val"}
    assert "not seen" in about
    chosen, about = without_training_images(real, 30)
    assert len(chosen) == 80
    assert "too good" in about


def test_small_masks_go_through_the_crop_of_the_images(tmp_path):
    real = open_set(real_folder(tmp_path / "r", n=4))
    assert torch.equal(small_masks(real, 48), real.masks())
    halved = small_masks(real, 24).float().mean((1, 2))
    assert torch.allclose(halved, real.masks().float().mean((1, 2)), atol=0.02)
