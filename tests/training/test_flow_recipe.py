"""The recipe of the flow from nothing to an image, at a size for tests: base, adapter, generator, resume, errors."""

import csv
import json

import pytest
import torch
from flows import skin_images, tiny_flow
from PIL import Image
from typer.testing import CliRunner

from synthderm.cli.app import app
from synthderm.core import Condition, InputError
from synthderm.functional.color import ita_deg
from synthderm.generators.flow import FlowGenerator
from synthderm.models.copy_index import CopyIndex
from synthderm.training.flow import simulate
from synthderm.training.flow.adapt import AdapterRecipe, shift_tones, train_adapter
from synthderm.training.flow.recipe import FlowRecipe, read_layers, train_flow
from synthderm.training.flow.trainer import FlowTraining

QUIET = {"report": lambda text: None}
LOOP = FlowTraining(steps=2, batch_size=4, warm_up=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base of two steps on two shards of six images, 64 px."""
    folder = tmp_path_factory.mktemp("base")
    recipe = FlowRecipe(
        shards=2, size=64, num_components=16, width=64, num_layers=1, num_single_layers=1, training=LOOP
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "SHARD", 6)
        assert train_flow(recipe, folder, seconds=0.0, **QUIET) is None  # time is up after the first shard
        found = train_flow(recipe, folder, **QUIET)
    return recipe, folder, found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Real images as a folder with a table and a split."""
    folder, data = tmp_path_factory.mktemp("real"), skin_images(28)
    rows = []
    for i, image in enumerate(data.images):
        big = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((64, 64))
        big.save(folder / f"img_{i:03d}.png")
        code = ("nv", "mel")[i % 2]
        rows.append([f"img_{i:03d}.png", code, f"L{i}", "train" if i < 16 else "val", "CC BY 4.0"])
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "dx", "lesion_id", "split", "license"], *rows])
    return folder


def test_a_base_is_trained_and_makes_images(trained):
    _, folder, found = trained
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["00000.safetensors", "00001.safetensors"]
    generator = FlowGenerator(64, base=found, adapter="none", num_inference_steps=2)
    sample = next(generator.sample([1], Condition("mel", fst=5)))
    assert sample.metadata["native_size_px"] == 64


def test_shards_do_not_depend_on_what_was_there(trained, monkeypatch):
    _, folder, _ = trained
    monkeypatch.setattr(simulate, "SHARD", 6)
    again = simulate.simulate_shard(77, 1, 64)
    kept = simulate.load_shards([simulate.shard_path(folder / "images", 1)])
    assert torch.equal(again.images, kept.images)
    assert torch.equal(again.measures.nan_to_num(), kept.measures.nan_to_num())


def test_another_recipe_in_the_same_folder_is_refused(trained):
    recipe, folder, _ = trained
    with pytest.raises(InputError, match=r"holds the training of another recipe \(width differ\)"):
        train_flow(FlowRecipe(**{**vars(recipe), "width": 128}), folder, **QUIET)


def test_an_adapter_is_trained_on_real_images_of_all_tones(trained, pictures, tmp_path):
    _, _, base = trained
    recipe = AdapterRecipe(
        rank=2, tones=1, attribution=("Ours",), training=FlowTraining(steps=2, muon=False, batch_size=4)
    )
    assert train_adapter(recipe, pictures, base, tmp_path, seconds=0.0, **QUIET) is None
    assert train_adapter(recipe, pictures, base, tmp_path, **QUIET) == tmp_path
    card = json.loads((tmp_path / "adapter.json").read_text())
    assert card["licence"] == "CC-BY-4.0"
    assert card["class_counts"] == {"nv": 8, "mel": 8}
    assert card["images_with_tones"] > card["images"] == 16
    index = CopyIndex.load(tmp_path / "training_images.safetensors")
    assert (len(index.descriptors), index.hold_out_n) == (16, 12)
    generator = FlowGenerator(64, base=base, adapter=tmp_path, num_inference_steps=2)
    next(generator.sample([1], Condition("nv", fst=4)))
    assert (generator.licence, generator.attribution[-1]) == ("CC-BY-4.0", "Ours")


def test_shifted_images_have_other_tones_and_measured_colours():
    data, encoder = skin_images(24), tiny_flow().condition_encoder
    shifted = shift_tones(data, encoder, seed=1, which=0)
    assert len(shifted) == int((~data.skin_lab.isnan().any(1)).sum())
    before, after = (
        [ita_deg(float(lab[0]), float(lab[2])) for lab in x.skin_lab] for x in (data.select(torch.arange(24)), shifted)
    )
    assert torch.tensor(after).std() > 5
    assert not torch.allclose(torch.tensor(before[: len(after)]), torch.tensor(after))
    assert torch.equal(shifted.masks[0], data.masks[0])


def test_errors_of_an_adapter(trained, pictures, tmp_path):
    _, _, base = trained
    with pytest.raises(InputError, match="holds 0 images for this recipe"):
        train_adapter(AdapterRecipe(licences=("CC0-1.0",)), pictures, base, tmp_path / "a", **QUIET)
    with pytest.raises(InputError, match="no compact flow"):
        train_adapter(AdapterRecipe(), pictures, tmp_path, tmp_path / "b", **QUIET)


def test_layers_are_two_numbers():
    assert read_layers("3+6") == (3, 6)
    for text in ("3", "a+b", "0+0", "-1+2"):
        with pytest.raises(InputError, match="two numbers such as"):
            read_layers(text)


def test_the_command_refuses_in_one_line(tmp_path):
    result = CliRunner().invoke(app, ["train", "flow", "-o", str(tmp_path / "o"), "--layers", "x"])
    assert result.exit_code != 0
    assert isinstance(result.exception, (InputError, SystemExit))
