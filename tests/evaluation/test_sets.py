import csv
import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from synthderm.core import InputError
from synthderm.evaluation.sets import open_set, ordered_classes, require_one_size, to_square


def make_folder(root, rows, size=(40, 40)):
    """Images of one colour each with metadata.csv; rows: (label, lesion, split), a mask for every lesion but "x"."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    with open(root / "metadata.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "mask", "dataset", "label", "group", "split", "licence"])
        for i, (label, lesion, split) in enumerate(rows):
            name = f"images/{i}.png"
            width, height = size if isinstance(size, tuple) else size[i]
            Image.new("RGB", (width, height), (10 * i, 100, 200)).save(root / name)
            mask = ""
            if lesion != "x":
                mask = f"masks/{i}.png"
                area = np.zeros((height, width), np.uint8)
                area[: height // 2] = 255
                Image.fromarray(area).save(root / mask)
            table.writerow([name, mask, "ham10000", label, lesion, split, "CC0"])
    return root


ROWS = [("mel", "a", "train"), ("nv", "b", "train"), ("nv", "b", "val"), ("bcc", "x", "val")]


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set", ROWS)


def read(folder, **more):
    return open_set(folder, tone_from="stated", **more)


def test_labels_groups_and_pixels(folder):
    images = read(folder)
    assert images.classes == ("nv", "mel", "bcc")
    assert images.labels.tolist() == [1, 0, 0, 2]
    assert images.groups[1] == images.groups[2] == "ham10000/b"
    assert len(set(images.groups)) == 3
    assert images.images().shape == (4, 3, 40, 40)
    assert images.images([3])[0, :, 0, 0].tolist() == [30, 100, 200]
    assert torch.equal(torch.cat(list(images.batches(3))), images.images())


def test_masks_go_through_the_same_crop(tmp_path):
    images = read(make_folder(tmp_path / "wide", ROWS[:3], (60, 40)), size=20, need_masks=True)
    masks = images.masks()
    assert masks.shape == (3, 20, 20)
    assert masks.dtype == torch.bool
    assert masks[:, :10].all()
    assert not masks[:, 10:].any()
    assert images.images().shape == (3, 3, 20, 20)


def test_lacking_masks_are_counted(folder):
    with pytest.raises(InputError, match=r"1 of 4 images of set have no lesion mask, the first is images/3\.png"):
        read(folder, need_masks=True)
    assert read(folder).masks([0, 1]).shape == (2, 40, 40)


def test_mixed_sizes_need_a_size(tmp_path):
    folder = make_folder(tmp_path / "mixed", ROWS, [(40, 40), (40, 40), (50, 40), (64, 64)])
    with pytest.raises(InputError, match=r"differ in size: 40 x 40 px \(2\).*Give --size"):
        read(folder)
    assert read(folder, size=32).images().shape == (4, 3, 32, 32)


def test_two_sets_of_two_sizes_need_a_size(folder, tmp_path):
    other = make_folder(tmp_path / "other", ROWS, (64, 64))
    with pytest.raises(InputError, match=r"set 40 x 40 px, other 64 x 64 px.*Give --size"):
        require_one_size(read(folder), read(other))
    require_one_size(read(folder, size=32), read(other, size=32))


def test_parts_of_a_set(folder):
    assert len(read(folder, split="val")) == 2
    assert read(folder, where={"label": "nv"}).classes == ("nv",)
    assert read(folder).subset([0, 3]).label_names == ["mel", "bcc"]
    for more, message in (
        ({"split": "test"}, "does not hold the split 'test'; it has: train, val"),
        ({"where": {"label": "df"}}, r"no image with label = 'df'; it has: 'nv' \(2\), 'mel' \(1\)"),
        ({"size": 4}, "size must be between 16 and 4096 px, but got 4"),
    ):
        with pytest.raises(InputError, match=message):
            read(folder, **more)


def test_labels_that_are_no_diagnosis(tmp_path):
    folder = make_folder(tmp_path / "set", [("mel", "a", ""), ("wart", "b", "")])
    with pytest.raises(InputError, match=r"1 of 2 images of set have no diagnosis.*'wart' \(1\).*--label-by label"):
        read(folder)
    kept = read(folder, leave_out_others=True)
    assert (kept.label_names, kept.describe()["other_labels"]) == (["mel"], {"wart": 1})
    assert read(folder, label_by="diagnosis or label").classes == ("mel", "wart")
    images = read(folder, label_by="label")
    assert images.classes == ("mel", "wart")
    with pytest.raises(InputError, match=r"holds classes that the other set does not: 'wart' \(1\)"):
        images.labels_in(("mel", "nv"))


def test_a_set_without_any_known_label_is_refused(tmp_path):
    folder = make_folder(tmp_path / "set", [("wart", "a", ""), ("wart", "b", "")])
    with pytest.raises(InputError, match="2 of 2 images of set have no diagnosis"):
        read(folder, leave_out_others=True)


def test_digest_changes_with_a_pixel_and_with_a_label(folder, tmp_path):
    first = read(folder).digest
    assert first == read(folder).digest
    assert read(folder).file_digests[0] == hashlib.sha256((folder / "images/0.png").read_bytes()).hexdigest()
    Image.new("RGB", (40, 40), (11, 100, 200)).save(folder / "images/0.png")
    changed = read(folder).digest
    assert changed != first
    assert read(folder, label_by="split").digest != changed


def test_describe_holds_what_a_result_needs(folder):
    told = read(folder).describe()
    assert told["n"] == 4
    assert told["classes"] == {"mel": 1, "nv": 2, "bcc": 1}
    assert told["image_sizes"] == {"40 x 40": 4}
    assert told["with_mask"] == 3


def test_order_of_classes():
    assert ordered_classes(["zebra", "mel", "nv", "ant", "mel"]) == ("nv", "mel", "ant", "zebra")


def test_square_is_the_centre():
    wide = Image.new("RGB", (30, 10))
    wide.paste((255, 255, 255), (10, 0, 20, 10))
    assert np.asarray(to_square(wide, 10)).min() == 255
    assert to_square(wide, 5).size == (5, 5)
