"""The flow and the adapters that ship: licences, sizes, and that what is asked for can be seen in the images."""

import json
import re

import pytest
import torch

from synthderm import generate
from synthderm.core import LESION, Condition
from synthderm.core.resources import shipped_folder
from synthderm.functional.color import ita_deg, median_lab
from synthderm.generators.flow import FlowGenerator
from synthderm.models.adapters import find_adapter, read_card
from synthderm.models.flow.load import adapter_folder, flow_adapters

LICENCES = {"clinical": "CC-BY-4.0", "dermoscopy": "CC-BY-NC-4.0", "dermoscopy-open": "CC0-1.0"}


@pytest.fixture(scope="module")
def dermoscopy():
    return FlowGenerator(128, dtype="fp32")


def test_each_adapter_has_its_licence_card_and_index_of_copies():
    assert flow_adapters() == sorted(LICENCES)
    for name, licence in LICENCES.items():
        folder = adapter_folder(name)
        assert read_card(find_adapter(folder)).licence == licence
        assert {path.name for path in folder.iterdir()} >= {"README.md", "LICENSE.txt", "training_images.safetensors"}
        assert "/tmp" not in (folder / "adapter.json").read_text()


def test_weights_are_small_and_no_pickles():
    files = [path for path in shipped_folder("checkpoints").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    assert max(path.stat().st_size for path in files) < 16 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".txt"}


def test_no_file_tells_of_the_machine_that_made_it():
    for path in shipped_folder("checkpoints").rglob("*.json"):
        assert not re.search(r'"/(tmp|home|root|work|Users)/', path.read_text()), path


def test_the_skin_measures_about_the_asked_angle(dermoscopy):
    conditions, found = [Condition("nv", fst=fst) for fst in (1, 3, 5)], []
    for sample in dermoscopy.sample([3] * 3, conditions):
        lightness, _, b = median_lab(sample.image, sample.masks["healthy_skin"])
        found.append((ita_deg(lightness, b), sample.metadata["ita_requested_deg"]))
    measured = [angle for angle, _ in found]
    assert measured == sorted(measured, reverse=True)
    assert max(abs(angle - asked) for angle, asked in found) < 15


def test_the_size_of_the_lesion_is_obeyed(dermoscopy):
    def area(**held):
        conditions = [Condition("mel", fst=2, parameters=held)] * 6
        return [s.masks[LESION].float().mean() for s in dermoscopy.sample(range(6), conditions)]

    small, large = torch.stack(area(size=0.1)), torch.stack(area(size=0.9))
    assert (large > small).all()
    assert large.mean() > 2 * small.mean()


def test_vascular_lesions_are_redder_than_nevi(dermoscopy):
    def redness(code):
        samples = dermoscopy.sample(range(8), [Condition(code, fst=2)] * 8)
        return torch.tensor([median_lab(s.image, s.masks[LESION])[1] for s in samples if s.masks[LESION].any()])

    assert redness("vasc").mean() > redness("nv").mean() + 5


def test_what_is_generated_states_licence_adapter_and_gates(tmp_path):
    made = generate(
        generator="flow", diagnosis="nv", fst=2, num_images=3, output=tmp_path / "o", workers=0, dtype="fp32"
    )
    assert (made.made, made.licence) == (3, "CC-BY-NC-4.0")
    rows = [json.loads(line) for line in (tmp_path / "o" / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["adapter"] == "dermoscopy"
        assert row["class_probability"] > 0
        assert row["copy_score"] < 1
        assert 0.004 <= row["lesion_area"] <= 0.9
    assert "HAM10000" in (tmp_path / "o" / "README.md").read_text()
