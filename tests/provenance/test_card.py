import getpass
import json
import socket
from pathlib import Path

import pytest
import yaml

from synthderm.core import TONE_BANDS, tone_band
from synthderm.provenance import dataset_card, environment, licence_text, set_figures, write_licences
from synthderm.provenance.card import card_header, size_category


def row(index, code, fst, ita_deg, attempts=1):
    return {
        "file_name": f"images/{index}.png",
        "mask_file_name": f"masks/{index}_segmentation.png",
        "index": index,
        "dx": code,
        "fst_requested": fst,
        "ita_requested_deg": 20.0 if fst == 4 else 0.0,
        "ita_deg": ita_deg,
        "attempts": attempts,
        "generator": "simulator",
        "generator_version": "7",
        "image_type": "dermoscopic",
        "width": 256,
        "height": 256,
        "lesion.asymmetry": 0.5,
    }


ROWS = [
    row(0, "mel", 4, 21.0),
    row(1, "mel", 4, 27.0, attempts=3),
    row(2, "nv", 4, 29.0),
    row(3, "nv", 4, None),
    row(4, "nv", 5, -4.0, attempts=2),
]
TOLD = {
    "recipe": {"class": ["mel", "nv"], "seed": 11},
    "summary": {"given_up": 0, "rejected": {"tone": 3}},
    "licences": ["CC0-1.0"],
    "attribution": ["Made by nobody"],
    "environment": {"synthderm": "9.9"},
}


def test_figures_are_counted_by_hand():
    figures = set_figures(ROWS)
    assert figures.n == 5
    assert figures.classes == {"nv": 3, "mel": 2}
    four, five = figures.tones
    assert (four.n, four.inside, four.measured) == (4, 2, (0, 0, 1, 2, 0, 0, 1))
    assert four.ita_mean_deg == pytest.approx((21 + 27 + 29) / 3)
    assert four.ita_sd_deg == pytest.approx(3.399346, abs=1e-6)  # numpy.std([21, 27, 29])
    assert four.ita_error_deg == pytest.approx((1 + 7 + 9) / 3)
    assert (five.n, five.inside, five.ita_mean_deg) == (1, 1, -4.0)
    assert figures.inside_share == pytest.approx(3 / 5)
    assert (figures.redrawn, figures.draws) == (2, 8)
    assert figures.sizes == {"256x256": 5}


@pytest.mark.parametrize("fst", range(1, 7))
def test_the_upper_end_of_a_band_is_inside_and_the_lower_is_not(fst):
    band = tone_band(fst)
    tone = set_figures([row(0, "nv", fst, band.high_deg), row(1, "nv", fst, band.low_deg)]).tones[0]
    assert tone.inside == 1
    assert tone.measured[fst - 1] == (2 if fst == 6 else 1)
    assert len(tone.measured) == len(TONE_BANDS) + 1


def test_the_card_prints_what_was_measured():
    card = dataset_card(ROWS, **TOLD)
    assert "| `nv` melanocytic nevus | 3 |" in card
    assert "**60.0 %**" in card
    assert "2 of 5 images (8 draws in all)" in card
    assert "| 4 (tan) | 10 to 28 | 4 | 50.0 % | 25.7 | 3.4 | 5.7 |" in card
    assert "| 4 | 0 | 0 | 1 | 2 | 0 | 0 | 1 |" in card
    assert "| generator | simulator 7 |" in card
    assert "| seed of the run | 11 |" in card
    assert "| rejected | tone 3 |" in card
    assert "- Made by nobody" in card
    assert "Not for diagnosis" in card


def test_the_header_is_what_the_hub_reads():
    card = dataset_card(ROWS, **TOLD)
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == ["cc0-1.0"]
    assert header["size_categories"] == ["n<1K"]
    assert {"synthetic", "dermatology"} <= set(header["tags"])
    assert header["task_categories"] == ["image-classification", "image-segmentation"]
    assert header["configs"][0]["data_files"][0]["split"] == "train"


def test_the_hub_itself_accepts_the_header():
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(dataset_card(ROWS, **TOLD))
    assert card.data.license == ["cc0-1.0"]
    assert card.data.pretty_name == "Synthetic skin lesions"


def test_an_empty_set_has_a_card():
    card = dataset_card([], **TOLD)
    assert "| images | 0 |" in card
    assert "## Skin tone" not in card


@pytest.mark.parametrize(("n", "name"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K")])
def test_size_categories(n, name):
    assert size_category(n) == name


def test_licences_that_the_hub_does_not_know_are_other():
    assert card_header(1, ["CC-BY-4.0", "LicenseRef-house"])["license"] == ["cc-by-4.0", "other"]


def test_licence_files(tmp_path):
    write_licences(tmp_path, ["CC-BY-4.0", "CC0-1.0", "CC-BY-4.0"], ["A, 2025", "A, 2025"])
    names = sorted(path.name for path in (tmp_path / "LICENSES").iterdir())
    assert names == ["CC-BY-4.0.txt", "CC0-1.0.txt"]
    text = (tmp_path / "LICENSES/CC-BY-4.0.txt").read_text()
    assert "Attribution 4.0 International" in text
    assert len(text) > 10_000
    assert (tmp_path / "ATTRIBUTION.txt").read_text().count("A, 2025") == 1


def test_an_unknown_licence_says_where_its_text_is(tmp_path):
    assert "https://spdx.org/licenses/ODbL-1.0.html" in licence_text("ODbL-1.0")
    write_licences(tmp_path, ["../../evil"])
    assert [path.parent for path in tmp_path.rglob("*evil*")] == [tmp_path / "LICENSES"]


def test_the_environment_names_versions_and_no_person_or_machine():
    found = environment()
    text = json.dumps(found)
    assert found["packages"]["torch"]
    assert found["synthderm"]
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert getpass.getuser() not in text.replace("darwin", "")
    assert "/" not in text


def test_the_environment_has_the_commit_of_a_checkout(repository):
    if not (repository / ".git").exists():
        pytest.skip("no checkout")
    assert len(environment()["git_commit"].removesuffix("+changes")) == 40
