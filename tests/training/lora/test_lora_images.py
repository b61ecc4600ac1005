import lora_sets
import pytest
import torch

from synthderm.core import InputError
from synthderm.training.lora.images import open_images
from synthderm.training.lora.licence import strictest


def rows(n, **columns):
    return [
        {"dataset": "own", "label": "nv", "group": f"lesion{i // 2}", "modality": "dermoscopy"}
        | {name: value(i) for name, value in columns.items()}
        for i in range(n)
    ]


def test_whole_lesions_are_held_out(tmp_path):
    found = open_images(lora_sets.with_table(tmp_path, rows(12)), hold_out=0.3, seed=1)
    train, held_out = ({record.group for record in part} for part in (found.train, found.held_out))
    assert train
    assert held_out
    assert not train & held_out
    assert len(found.all) == 12


def test_without_hold_out_all_images_are_trained_on(tmp_path):
    found = open_images(lora_sets.with_table(tmp_path, rows(4)), hold_out=0, seed=1)
    assert len(found.train) == 4
    assert found.held_out == ()


def test_a_split_of_the_set_is_kept_and_its_test_images_are_left_alone(tmp_path):
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    folder = lora_sets.with_table(tmp_path, rows(9, split=parts.__getitem__, group=str))
    found = open_images(folder, hold_out=0.1, seed=0)
    assert {record.split for record in found.train} == {"train"}
    assert {record.split for record in found.held_out} == {"val"}
    assert len(found.all) == 6
    assert any("test (3)" in note for note in found.notes)


def test_one_lesion_alone_cannot_be_held_out(tmp_path):
    folder = lora_sets.with_table(tmp_path, rows(4, group=lambda i: "one"))
    with pytest.raises(InputError, match=r"one lesion or patient.*--validate-every 0"):
        open_images(folder, hold_out=0.1, seed=0)


def test_one_image_is_too_few(tmp_path):
    with pytest.raises(InputError, match="holds 1 images of a known class, expected at least 2"):
        open_images(lora_sets.class_folders(tmp_path, {"nv": 1}), hold_out=0.1, seed=0)


def test_tones_are_measured_and_classes_counted(data):
    found = open_images(data, hold_out=0, seed=0)
    assert found.counts() == {"classes": {"nv": 4, "mel": 4}, "fst": {"2": 8}, "licences": {"not stated": 8}}
    assert all(record.tone_source == "pixels" for record in found.train)
    assert found.unseen == ("bcc", "akiec", "bkl", "df", "vasc")
    assert "learns nothing of these classes" in found.notes[-1]


def test_the_modality_is_said_where_it_is_guessed(data):
    guessed = open_images(data, hold_out=0, seed=0)
    assert {record.modality for record in guessed.train} == {"dermoscopy"}
    assert any("for 8 images the set does not say" in note for note in guessed.notes)
    told = open_images(data, hold_out=0, seed=0, modality="clinical")
    assert {record.modality for record in told.train} == {"clinical"}
    assert len(told.notes) == 1


def test_strange_labels_are_counted(tmp_path):
    folder = lora_sets.with_table(tmp_path, rows(6, label=lambda i: "nv" if i < 4 else "rash"))
    found = open_images(folder, hold_out=0, seed=0)
    assert len(found.train) == 4
    assert any("'rash' (2)" in note for note in found.notes)


def test_pixels_are_the_centre_square(data):
    found = open_images(data, hold_out=0, seed=0)
    pixels = found.pixels(found.train[0], 32)
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == torch.uint8
    corner, centre = pixels[:, 0, 0].float(), pixels[:, 16, 16].float()
    assert (corner - torch.tensor(lora_sets.SKIN)).abs().max() < 25
    assert centre.mean() < corner.mean() - 40


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CC0 1.0", "CC BY 4.0"], "CC-BY-4.0"),
        (["CC BY-NC 4.0", "CC0 1.0"], "CC-BY-NC-4.0"),
        (["CC0-1.0"], "CC0-1.0"),
        (["CC0 1.0", None], "LicenseRef-unknown"),
        (["ask the clinic"], "LicenseRef-unknown"),
    ],
)
def test_the_strictest_licence_counts(names, expected):
    assert strictest(names) == expected
