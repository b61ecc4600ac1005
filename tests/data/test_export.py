import csv
import io
import json
import sys
import tarfile

import numpy as np
import pytest
from made_up import MASKS, made_up_row, made_up_sample, make_folder
from PIL import Image

from synthderm.core import DIAGNOSES, InputError, MissingExtraError
from synthderm.data import read_manifest, to_coco, to_isic, to_webdataset
from synthderm.data.export import ISIC_2018_COLUMNS, mask_to_box, mask_to_rle

ROWS = [made_up_row(i, code=code, fst=1 + i % 6) for i, code in enumerate(DIAGNOSES)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("export") / "out"
    make_folder(root, ROWS, masks=MASKS)
    return root


@pytest.fixture(scope="module")
def coco(finished):
    pytest.importorskip("pycocotools")
    path = to_coco(finished)
    pycocotools = pytest.importorskip("pycocotools.coco")
    return pycocotools.COCO(str(path))


def test_coco_masks_decode_to_the_very_masks(coco):
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert tuple(names.values()) == MASKS
    seen = 0
    for number in coco.getImgIds():
        masks = made_up_sample(number - 1).masks
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert {names[a["category_id"]] for a in annotations} == {n for n in MASKS if masks[n].any()}
        for annotation in annotations:
            mask = masks[names[annotation["category_id"]]].numpy()
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()
            seen += 1
    assert seen > len(ROWS)


def test_coco_boxes_and_classes(coco):
    from pycocotools import mask as coco_mask

    for annotation in coco.loadAnns(coco.getAnnIds(catIds=[1])):
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
        assert annotation["diagnosis"] == ROWS[annotation["image_id"] - 1]["dx"]


def test_run_lengths_of_a_mask_that_is_not_square():
    coco_mask = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((4, 7), bool)
    mask[1, 2:6] = True
    assert mask_to_box(mask) == [2, 1, 4, 1]
    np.testing.assert_array_equal(coco_mask.decode(mask_to_rle(mask)), mask)


def test_coco_without_pycocotools_names_the_extra(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'synthderm\[data\]'"):
        to_coco(finished)


def test_coco_of_a_folder_without_masks(tmp_path):
    make_folder(tmp_path, ROWS[:1], masks=())
    with pytest.raises(InputError, match="no masks"):
        to_coco(tmp_path)


def test_isic_layout(finished, tmp_path):
    out = to_isic(finished, tmp_path / "isic")
    for row in ROWS:
        name, sample = row["isic_id"], made_up_sample(row["index"])
        with Image.open(out / f"ISIC2018_Task1-2_Training_Input/{name}.jpg") as image:
            difference = np.abs(np.asarray(image, float) - sample.image.permute(1, 2, 0).numpy())
        assert difference.mean() < 3
        for mask, path in (
            ("lesion", f"ISIC2018_Task1_Training_GroundTruth/{name}_segmentation.png"),
            ("globules", f"ISIC2018_Task2_Training_GroundTruth_v3/{name}_attribute_globules.png"),
        ):
            with Image.open(out / path) as image:
                np.testing.assert_array_equal(np.asarray(image), sample.masks[mask].numpy() * np.uint8(255))
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 3 * len(ROWS) + 2  # hair is no attribute of the challenge
    assert not list(out.glob(".*"))


def test_isic_ground_truth(finished, tmp_path):
    folder = to_isic(finished, tmp_path / "isic") / "ISIC2018_Task3_Training_GroundTruth"
    with open(folder / "ISIC2018_Task3_Training_GroundTruth.csv", newline="") as file:
        text = file.read()
    assert text.splitlines()[0] == "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    lines = list(csv.DictReader(io.StringIO(text)))
    for line, row in zip(lines, ROWS, strict=True):
        assert line["image"] == row["isic_id"]
        truth = {name: float(line[name]) for name in ISIC_2018_COLUMNS}
        assert truth == {name: float(name == DIAGNOSES[row["dx"]].isic_2018) for name in ISIC_2018_COLUMNS}


def test_isic_keeps_a_jpeg_as_it_is(tmp_path):
    rows = make_folder(tmp_path / "in", ROWS[:1], image_format="jpg")
    out = to_isic(tmp_path / "in", tmp_path / "out")
    (copy,) = (out / "ISIC2018_Task1-2_Training_Input").iterdir()
    assert copy.read_bytes() == (tmp_path / "in" / rows[0]["file_name"]).read_bytes()


def test_webdataset_files(finished, tmp_path):
    paths = to_webdataset(finished, tmp_path, shard_size=3)
    assert [path.name for path in paths] == [f"shard-00000{i}.tar" for i in range(3)]
    members = []
    for path in paths:
        with tarfile.open(path) as archive:
            members += [(member.name, archive.extractfile(member).read()) for member in archive]
    keys = list(dict.fromkeys(name.split(".")[0] for name, _ in members))
    assert keys == [row["isic_id"] for row in ROWS]
    content = dict(members)
    for row in read_manifest(finished):
        assert content[f"{row['isic_id']}.image.png"] == (finished / row["file_name"]).read_bytes()
        assert content[f"{row['isic_id']}.mask.png"] == (finished / row["mask_file_name"]).read_bytes()
        assert json.loads(content[f"{row['isic_id']}.json"]) == row
    assert len(members) == len(ROWS) * (2 + len(MASKS))


def test_webdataset_bytes_are_the_same_twice(finished, tmp_path):
    one, two = (to_webdataset(finished, tmp_path / name)[0].read_bytes() for name in "ab")
    assert one == two


def test_webdataset_is_read_by_webdataset(finished, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    paths = to_webdataset(finished, tmp_path)
    samples = list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False).decode("pil"))
    assert len(samples) == len(ROWS)
    for i, sample in enumerate(samples):
        np.testing.assert_array_equal(np.asarray(sample["image.png"]), made_up_sample(i).image.permute(1, 2, 0))
        assert sample["json"]["dx"] == ROWS[i]["dx"]


@pytest.mark.parametrize("export", [to_isic, to_webdataset])
def test_a_folder_that_is_not_finished_or_lost_an_image(export, tmp_path):
    with pytest.raises(InputError, match=r"no metadata\.jsonl"):
        export(tmp_path, tmp_path / "out")
    rows = make_folder(tmp_path / "in", ROWS[:2])
    (tmp_path / "in" / rows[1]["file_name"]).unlink()
    with pytest.raises(InputError, match=rows[1]["file_name"]):
        export(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))
