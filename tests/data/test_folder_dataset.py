"""Sets as torch data sets."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import FolderDataset, collate, read_dataset

HEADER = "file,dataset,label,group,split,fitzpatrick,ita_est,mask,is_synthetic"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    (root / "masks").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = [HEADER]
    for i, label in enumerate(["mel", "nv", "SCC", "mel", "bcc", "nv"]):
        Image.fromarray(rng.integers(0, 256, (10, 14, 3), np.uint8)).save(root / f"{i}.png")
        mask = ""
        if i % 2 == 0:
            mask = f"masks/{i}.png"
            Image.fromarray((rng.random((10, 14)) < 0.5).astype(np.uint8) * 255).save(root / mask)
        split = "val" if i == 5 else "train"
        lines.append(f"{i}.png,demo,{label},g{i // 2},{split},{i or ''},,{mask},{i == 4}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def test_items_hold_what_the_files_hold(folder):
    data = FolderDataset(folder)
    assert len(data) == 6
    for i, item in enumerate(data[i] for i in range(6)):
        image = np.asarray(Image.open(folder / f"{i}.png"))
        assert item["image"].dtype == torch.uint8
        assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), image)
        if i % 2 == 0:
            assert item["mask"].dtype == torch.bool
            assert np.array_equal(item["mask"].numpy(), np.asarray(Image.open(folder / f"masks/{i}.png")) > 0)
        else:
            assert item["mask"] is None
    assert [data[i]["diagnosis"] for i in range(6)] == ["mel", "nv", None, "mel", "bcc", "nv"]
    order = list(DIAGNOSES)
    assert data.labels() == [order.index("mel"), order.index("nv"), -1, order.index("mel"), order.index("bcc"),
                             order.index("nv")]  # fmt: skip
    assert [data[i]["label"] for i in range(6)] == data.labels()
    assert [data[i]["fst"] for i in range(6)] == [None, 1, 2, 3, 4, 5]
    assert [data[i]["group"] for i in range(6)] == [f"demo/g{i // 2}" for i in range(6)]
    assert [data[i]["is_synthetic"] for i in range(6)] == [False] * 4 + [True, False]
    assert data[2]["metadata"]["label"] == "SCC"
    assert data[2]["metadata"]["file"] == "2.png"


def test_a_split_a_transform_and_no_masks(folder):
    data = FolderDataset(folder, split="val", transform=lambda item: item["diagnosis"])
    assert [data[i] for i in range(len(data))] == ["nv"]
    assert all(item["mask"] is None for item in (FolderDataset(folder, with_masks=False)[i] for i in range(6)))
    with pytest.raises(InputError, match=r"has no split 'test'; it has train, val"):
        FolderDataset(folder, split="test")


def test_an_index_past_the_end_ends_a_loop(folder):
    assert len(list(FolderDataset(folder))) == 6


def test_a_set_without_images_is_an_error(tmp_path):
    (tmp_path / "metadata.csv").write_text(HEADER + "\n0.png,demo,mel,g,,,,,\n")
    with pytest.raises(InputError, match=r"no images to load; all 1 were left out, the first because: is missing"):
        FolderDataset(tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("as_zip", [False, True])
def test_batches_are_the_same_from_folder_zip_and_worker_processes(folder, tmp_path, workers, as_zip):
    path = folder
    if as_zip:
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
    data = FolderDataset(path)
    data[0]  # an open archive must survive the fork
    batches = list(DataLoader(data, batch_size=4, num_workers=workers, collate_fn=collate))
    assert batches[0]["image"].shape == (4, 3, 10, 14)
    assert batches[0]["label"].tolist() + batches[1]["label"].tolist() == data.labels()
    together = torch.cat([batch["image"] for batch in batches])
    expected = [np.asarray(Image.open(folder / f"{i}.png")).transpose(2, 0, 1) for i in range(6)]
    assert np.array_equal(together.numpy(), np.stack(expected))
    assert batches[0]["mask"][1] is None
    assert batches[0]["fst"][0] is None


def test_collate_keeps_tensors_of_several_shapes_as_a_list():
    batch = collate([{"image": torch.zeros(3, 2, 2)}, {"image": torch.zeros(3, 4, 2)}])
    assert [tuple(image.shape) for image in batch["image"]] == [(3, 2, 2), (3, 4, 2)]


def test_a_set_that_was_read_before_is_used_as_it_is(folder):
    read = read_dataset(folder, tone_from="column")
    assert FolderDataset(read).source is read


def test_the_small_real_set_can_be_trained_on(ci_fixture):
    data = FolderDataset(ci_fixture, split="train")
    batch = next(iter(DataLoader(data, batch_size=8, collate_fn=collate)))
    assert batch["image"].shape == (8, 3, 128, 128)
    assert len(data) == 108
