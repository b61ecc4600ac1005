"""What makes a comparison worthless is refused before anything is trained."""

import csv

import pytest
import torch
from gain_sets import make_set, make_sets, record, shares

from synthderm.core import InputError
from synthderm.evaluation.gain import checks
from synthderm.evaluation.gain.config import GainConfig
from synthderm.evaluation.gain.experiment import inherited_groups, prepare

CONFIG = GainConfig(size=16, n_real=(40,), classifier="gain_sets:Thumbnail")


def prepared(real, synthetic, config=CONFIG, test=None):
    return prepare(config, real, synthetic, test or real, "train", None if test else "val")


def edit(root, change):
    """Rewrite the table of a set: ``change`` takes a row and its number."""
    path = root / "metadata.csv"
    with open(path) as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(change(dict(row), i) for i, row in enumerate(rows))


@pytest.fixture
def sets(tmp_path):
    return make_sets(tmp_path)


def test_sets_that_can_be_compared(sets):
    experiment = prepared(*sets)
    assert experiment.test.classes == ("nv", "mel", "bcc")
    assert experiment.material.images.shape == (120, 3, 16, 16)
    assert experiment.material.labels[60:66].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(experiment.sets) == {"real-train", "synthetic", "real-test"}
    assert {run.arm.name for run in experiment.runs} == {
        "real", "real+replay@1", "real+synthetic@1", "synthetic", "real+heavy-aug",
    }  # fmt: skip


def test_a_lesion_on_both_sides_is_named(sets):
    edit(sets[0], lambda row, i: row | ({"group": "1-0"} if i >= 122 else {}))
    with pytest.raises(InputError, match=r"got 1 shared with real-train \(drawn/1-0\)"):
        prepared(*sets)


def test_images_without_a_group_do_not_count_as_shared(tmp_path):
    real, synthetic = make_sets(tmp_path)
    edit(real, lambda row, i: row | {"group": ""})
    assert len(prepared(real, synthetic).runs) == 25


@pytest.mark.parametrize("column", ["group", "source_group"])
def test_a_synthetic_image_made_from_a_test_lesion_is_refused(sets, column):
    edit(sets[1], lambda row, i: row | ({column: "2-3"} if i in (4, 9) else {}))
    with pytest.raises(InputError, match=r"got 2 made from its lesions \(images/_3_0004.png, .*; groups drawn/2-3\)"):
        prepared(*sets)


def test_the_same_image_in_test_and_training_is_refused(sets):
    real, _ = sets
    (real / "images/train_1_0007.png").write_bytes((real / "images/val_2_0003.png").read_bytes())
    with pytest.raises(InputError, match=r"no test image among the real-train images, got 1 .*train_1_0007"):
        prepared(*sets)


def test_a_copied_test_image_in_another_container_is_refused(sets):
    from PIL import Image

    real, synthetic = sets
    with Image.open(real / "images/val_2_0003.png") as image:
        image.save(synthetic / "images/copy.bmp")
    edit(synthetic, lambda row, i: row | ({"file": "images/copy.bmp"} if i == 8 else {}))
    with pytest.raises(InputError, match=r"among the synthetic images, got 1 exact copies \(images/copy.bmp\)"):
        prepared(*sets)


@pytest.mark.parametrize(("which", "name"), [(1, "synthetic"), (0, "test")])
def test_a_class_that_no_real_training_image_has_is_refused(sets, which, name):
    edit(sets[which], lambda row, i: row | ({"label": "df"} if i >= (100 if which == 0 else 50) else {}))
    with pytest.raises(InputError, match=f"expected {name} images of the classes nv, mel, bcc, got also df"):
        prepared(*sets)


def test_one_class_is_too_few(tmp_path):
    make_set(tmp_path / "a", ["nv"] * 20, 1)
    make_set(tmp_path / "b", ["nv"] * 20, 2)
    with pytest.raises(InputError, match="at least two classes"):
        prepared(tmp_path / "a", None, GainConfig(size=16, arms=("real",)), tmp_path / "b")


def test_arms_that_draw_synthetic_images_need_a_set(sets):
    with pytest.raises(InputError, match=r"for the arms real\+synthetic, synthetic, got none; give --synthetic"):
        prepared(sets[0], None)
    few = GainConfig(size=16, arms=("real", "real+replay"))
    assert len(prepared(sets[0], None, few).runs) == 10


def test_masks_are_needed_for_segmentation(tmp_path):
    real, synthetic = make_sets(tmp_path)
    with pytest.raises(InputError, match="no lesion mask"):
        prepared(real, synthetic, GainConfig(task="segmentation", size=16))


def test_more_classes_in_training_than_in_the_test_are_fine(tmp_path):
    real, synthetic = make_sets(tmp_path)
    test = make_set(tmp_path / "test", shares(40, nv=0.5, mel=0.5), 9)
    assert prepared(real, synthetic, test=test).test.classes == ("nv", "mel", "bcc")


REAL = [
    record(0, group="L1", dataset="ham"),
    record(1, group="L2", dataset="ham"),
    record(2, group="L1", dataset="isic"),
]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, set()),
        ({"source_group": "L2"}, {"ham/L2"}),
        ({"lesion_id": "L1"}, {"ham/L1", "isic/L1"}),
        ({"lesion_id": "L1", "source_dataset": "isic"}, {"isic/L1"}),
        ({"patient_id": "L9"}, set()),
        ({"source_image": "somewhere/1.png", "source_dataset": "ham"}, {"ham/L2"}),
        ({"source_group": "L2", "source_dataset": "isic"}, set()),
        ({"lesion_id": "SYNL_0"}, set()),
    ],
)
def test_what_a_synthetic_image_says_that_it_is_made_from(row, expected):
    assert checks.source_groups([record(7, dataset="made", **row)], REAL) == [expected]


def test_a_copy_inherits_the_group_of_its_original():
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    digests = checks.pixel_digests(images)
    made = [record(i, dataset="made") for i in range(2)]
    other = checks.pixel_digests(255 - images)
    assert inherited_groups(REAL, digests, made, [digests[1], other[0]]) == [{"ham/L2"}, set()]
