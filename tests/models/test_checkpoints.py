import json

import pytest
import torch

from synthderm.core import InputError
from synthderm.models import ResNet, UNet, load_extractor
from synthderm.models.checkpoints import (
    Classifier,
    Segmenter,
    checkpoint_names,
    load_checkpoint,
    load_classifier,
    load_segmenter,
    prepare,
    save_checkpoint,
)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = ResNet(3, widths=(4, 8, 8), depths=(1, 1)).train()
    network(torch.rand(8, 3, 32, 32))  # gives batch norm running statistics that are not the initial ones
    folder = save_checkpoint(
        "small", network.eval(), kind="classifier", classes=("nv", "mel", "bcc"), input_size=32, licence="CC0-1.0",
        folder=tmp_path, network_options={"widths": (4, 8, 8), "depths": (1, 1)}, data=["made up"],
    )  # fmt: skip
    return network, folder


def test_what_is_saved_is_loaded(saved):
    network, folder = saved
    loaded = load_checkpoint(str(folder))
    x = torch.rand(4, 3, 32, 32)
    assert torch.allclose(loaded.network(x), network(x), atol=2e-3)  # float16 weights
    assert torch.equal(loaded.network.stem[1].running_mean, network.stem[1].running_mean)
    assert loaded.config["licence"] == "CC0-1.0"
    assert Classifier(loaded).classes == ("nv", "mel", "bcc")


def test_other_weights_than_the_configuration_names_are_refused(saved):
    _, folder = saved
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match="is not the file that its config"):
        load_checkpoint(str(folder))


def test_weights_of_another_network_are_refused(saved):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    config["network_options"]["depths"] = [1, 2]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not fit its network: missing"):
        load_checkpoint(str(folder))


def test_unknown_names_and_wrong_kinds():
    with pytest.raises(InputError, match="unknown checkpoint 'dermm'"):
        load_checkpoint("dermm")
    with pytest.raises(InputError, match="expected a segmenter, but the checkpoint 'derm' is a classifier"):
        load_segmenter("derm")
    with pytest.raises(InputError, match="expected a classifier"):
        load_classifier("derm-segmenter")


def test_segmenter_gives_masks_at_the_images_size(tmp_path):
    folder = save_checkpoint(
        "cut", UNet((4, 8, 8)), kind="segmenter", classes=("lesion",), input_size=32, licence="CC0-1.0",
        folder=tmp_path, network_options={"widths": (4, 8, 8)},
    )  # fmt: skip
    masks = Segmenter(load_checkpoint(str(folder)))(torch.randint(0, 255, (3, 3, 48, 48), dtype=torch.uint8))
    assert masks.shape == (3, 48, 48)
    assert masks.dtype == torch.bool


def test_preparation_takes_the_centre_square():
    images = torch.zeros(1, 3, 20, 40, dtype=torch.uint8)
    images[..., 10:30] = 255
    assert prepare(images, 20).min() == 1
    with pytest.raises(InputError, match="expected \\(N, 3, H, W\\) uint8 images, got"):
        prepare(images.float(), 20)


def test_every_shipped_checkpoint_is_whole(repository):
    """Weights fit their configuration and hash, the card and licence are there, no pickle, and all are small."""
    names = checkpoint_names()
    assert {"derm", "derm-open", "derm-segmenter"} <= set(names)
    for name in names:
        config = load_checkpoint(name).config
        card = (repository / "checkpoints" / name / "README.md").read_text()
        assert config["weights_sha256"] in card
        assert config["licence"] in card
    files = [path for path in (repository / "checkpoints").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".txt"}
    assert sum(path.stat().st_size for path in files) < 60e6


@pytest.mark.parametrize("name", ["derm", "derm-open"])
def test_shipped_extractors_know_real_classes(name, ci_fixture):
    """On the 108 test images the head beats chance by far: the weights are the trained ones."""
    from synthderm.data import FolderDataset

    dataset, classifier = FolderDataset(ci_fixture, with_masks=False), load_classifier(name)
    known = [i for i, label in enumerate(dataset.labels()) if label >= 0]
    images = torch.stack([dataset[i]["image"] for i in known])
    labels = torch.tensor([dataset.labels()[i] for i in known])
    logits = classifier(images)
    place = torch.tensor([classifier.classes.index(code) for code in dataset.classes])
    present = labels.unique()
    right = (logits[:, place[present]].argmax(1) == torch.searchsorted(present, labels)).float().mean()
    assert right > 2 / len(present)
    assert load_extractor(name)(images).shape == (len(known), 128)
