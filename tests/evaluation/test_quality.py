import json
import shutil

import numpy as np
import pytest
import typer
from PIL import Image
from quality_sets import BrokenExtractor, TinyExtractor, draw, real_folder, synthetic_folder
from typer.testing import CliRunner

from synthderm.core import InputError
from synthderm.evaluation.quality import DistanceOptions, QualityOptions, quality

FEW = DistanceOptions(draws=3, halves=8)


def options(**more):
    return QualityOptions(**{"distances": FEW, "segmenter": "none", **more})


def only_distances(**more):
    return options(by=(), classifier="none", **more)


def without_versions(found):
    return {**found, "context": {k: v for k, v in found["context"].items() if k != "environment"}}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return real_folder(tmp_path_factory.mktemp("real") / "drawn", n=108)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return synthetic_folder(tmp_path_factory.mktemp("synthetic") / "made", n=96)


@pytest.fixture(scope="module")
def result(tmp_path_factory, real, synthetic):
    folder = tmp_path_factory.mktemp("result")
    return folder, quality(synthetic, real, folder, extractor=TinyExtractor(), options=options())


def test_the_result_holds_every_section_with_intervals_and_n(result):
    folder, found = result
    assert json.loads((folder / "quality.json").read_text()) == found
    assert found["kind"] == "quality"
    figures = found["figures"]
    whole = figures["distances"][0]
    assert (whole["scope"], whole["n"], whole["n_real"], whole["fid"]["n"]) == ("all", 96, 108, 54)
    for name in ("fid", "kid", "precision", "recall", "density", "coverage"):
        for end in ("", "_floor"):
            assert len(whole[f"{name}{end}"]["interval"]) == 2
    assert whole["fid_infinity"]["note"] == "insufficient"
    assert [row["diagnosis"] for row in figures["distances"] if row["scope"] == "class"] == ["nv", "mel", "bcc"]
    assert [row["fst"] for row in figures["distances"] if row["scope"] == "tone"] == [1, 2, 3]
    assert sum(row["scope"] == "class x tone" for row in figures["distances"]) == 9
    assert figures["class_fidelity"]["macro"]["synthetic"]["value"] > 0.9
    assert figures["tone"]["share_inside"]["value"] == 1.0
    assert figures["masks"]["boundary_contrast"]["synthetic"]["value"] > 5
    assert found["context"]["extractor"]["name"] == "tiny"
    assert found["context"]["sets"]["real"]["groups"] == 54


def test_drawn_by_the_same_hand_is_near_the_floor_and_grey_is_not(result, tmp_path, real):
    grey = synthetic_folder(tmp_path / "s", n=72, change=lambda i, row, image: image // 4 + 96)
    far = quality(grey, real, tmp_path / "o", extractor=TinyExtractor(), options=only_distances())["figures"][
        "distances"
    ]
    near = result[1]["figures"]["distances"][0]
    assert far[0]["fid"]["interval"][0] > far[0]["fid_floor"]["interval"][1]
    assert near["fid"]["interval"][0] < near["fid_floor"]["interval"][1]
    assert far[0]["coverage"]["value"] < 0.1 < 0.7 < near["coverage"]["value"]
    assert [row["scope"] for row in far] == ["all"]


def test_the_pictures_are_there(result):
    folder, found = result
    assert sorted(found["pictures"].values()) == ["pictures/neighbours.png", "pictures/sheet.png"]
    for path in found["pictures"].values():
        pixels = np.asarray(Image.open(folder / path))
        assert pixels.shape[2] == 3
        assert pixels.std() > 10


def test_a_second_run_sees_no_image_and_gives_the_same(result, tmp_path, real, synthetic):
    folder, found = result
    extractor = TinyExtractor()
    again = quality(synthetic, real, folder, extractor=extractor, options=options())
    assert without_versions(again) == without_versions(found)
    assert extractor.seen == 0


def test_another_extractor_does_not_take_the_features_of_the_first(result, tmp_path, real, synthetic):
    folder, found = result
    shutil.copy(folder / "features.safetensors", tmp_path)
    other = TinyExtractor()
    other.kernels += 0.1
    other.weights_sha256 = "1" * 64
    second = quality(synthetic, real, tmp_path, extractor=other, options=only_distances())
    assert other.seen == 96 + 108
    assert second["figures"]["distances"][0]["fid"] != found["figures"]["distances"][0]["fid"]


def test_a_changed_image_is_measured_again(tmp_path, real):
    folder = synthetic_folder(tmp_path / "s", n=54)
    first = quality(folder, real, tmp_path / "o", extractor=TinyExtractor(), options=only_distances())
    Image.fromarray(draw(77, "bcc", -60.0)[0]).save(folder / "images" / "S0000.png")
    second = quality(folder, real, tmp_path / "o", extractor=TinyExtractor(), options=only_distances())
    assert second["figures"]["distances"] != first["figures"]["distances"]
    assert second["figures"]["tone"]["share_inside"]["value"] == 53 / 54


def test_the_batch_size_changes_nothing(result, tmp_path, real, synthetic):
    other = quality(synthetic, real, tmp_path, extractor=TinyExtractor(), options=options(batch_size=7))
    assert without_versions(other) == without_versions(result[1])


def test_features_that_are_no_numbers_are_an_error(tmp_path, real, synthetic):
    with pytest.raises(InputError, match=r"not finite numbers for images/S0003.png of made"):
        quality(synthetic, real, tmp_path, extractor=BrokenExtractor(), options=options())
    assert not (tmp_path / "quality.json").exists()


def test_too_few_images_are_refused_unless_forced(tmp_path, real, synthetic):
    with pytest.raises(InputError, match=r"at least 81 synthetic and 162 real ones .* got 96 and 108.*--force"):
        quality(synthetic, real, tmp_path, extractor=TinyExtractor(80), options=options())
    found = quality(synthetic, real, tmp_path, extractor=TinyExtractor(80), options=only_distances(force=True))
    assert found["figures"]["distances"][0]["fid"]["value"] is not None


def test_sets_without_a_common_class(tmp_path, real):
    other = synthetic_folder(tmp_path / "s", n=54, classes=("vasc",))
    with pytest.raises(InputError, match="share no class: s holds vasc; drawn holds nv, mel, bcc"):
        quality(other, real, tmp_path / "o", extractor=TinyExtractor(), options=options())


def test_one_class_has_no_class_fidelity(tmp_path):
    real = real_folder(tmp_path / "r", n=108, classes=("nv",))
    synthetic = synthetic_folder(tmp_path / "s", n=54, classes=("nv",))
    found = quality(synthetic, real, tmp_path / "o", extractor=TinyExtractor(), options=options(by=()))
    assert found["figures"]["class_fidelity"]["note"].startswith("needs two classes with 5 lesions or patients each")


def test_classes_of_one_set_only_are_named(tmp_path, real):
    other = synthetic_folder(tmp_path / "s", n=64, classes=("nv", "vasc"))
    found = quality(other, real, tmp_path / "o", extractor=TinyExtractor(), options=options())
    classes = found["context"]["classes"]
    assert (classes["shared"], classes["synthetic_only"], classes["real_only"]) == (["nv"], ["vasc"], ["mel", "bcc"])
    lonely = next(row for row in found["figures"]["distances"] if row["diagnosis"] == "vasc")
    assert lonely["n_real"] == 0
    assert lonely["kid"]["note"] == "insufficient"


def test_real_images_of_other_diagnoses_are_left_out_and_counted(tmp_path, synthetic):
    folder = real_folder(tmp_path / "r", n=108)
    table = folder / "metadata.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",nv,", ",something else,")
    table.write_text("\n".join(lines) + "\n")
    found = quality(synthetic, folder, tmp_path / "o", extractor=TinyExtractor(), options=only_distances())
    assert found["context"]["classes"]["real_left_out"] == {"something else": 1}
    assert found["context"]["sets"]["real"]["n"] == 107


def test_sizes_that_differ_need_a_size(tmp_path, real):
    other = synthetic_folder(tmp_path / "s", n=54, size=32)
    with pytest.raises(InputError, match="--size"):
        quality(other, real, tmp_path / "o", extractor=TinyExtractor(), options=options())
    found = quality(other, real, tmp_path / "o", extractor=TinyExtractor(), size=32, options=only_distances())
    assert found["context"]["options"]["size"] == 32


def test_masks_can_be_required(tmp_path, real):
    def change(i, row, image):
        row["mask_file_name"] = None if i == 5 else row["mask_file_name"]
        return image

    folder = synthetic_folder(tmp_path / "s", n=54, change=change)
    with pytest.raises(InputError, match=r"1 of 54 images of s have no lesion mask, the first is images/S0005.png"):
        quality(folder, real, tmp_path / "o", extractor=TinyExtractor(), options=options(require_masks=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": ("size",)}, "unknown part 'size'"),
        ({"batch_size": 0}, "batch_size"),
        ({"classifier": "resnet9000"}, "unknown classifier 'resnet9000'"),
        ({"segmenter": "unet9000"}, "unknown segmenter 'unet9000'"),
        ({"distances": DistanceOptions(draws=1)}, "at least 2 draws"),
    ],
)
def test_options_that_cannot_be(tmp_path, real, synthetic, wrong, message):
    with pytest.raises(InputError, match=message):
        quality(synthetic, real, tmp_path, extractor=TinyExtractor(), options=options(**wrong))


def test_the_command_prints_tables_and_json(tmp_path, real, synthetic):
    from synthderm.cli.evaluate.quality import quality as command_function

    app = typer.Typer()
    app.command()(command_function)
    command = [str(synthetic), "--real", str(real), "-o", str(tmp_path)]
    command += ["--extractor", "quality_sets:TinyExtractor", "--segmenter", "none", "--draws", "3", "--halves", "8"]
    shown = CliRunner().invoke(app, [*command, "--by", "class"])
    assert shown.exit_code == 0, shown.output
    for text in ("floor", "mean of classes", "inside the requested band: 100.0%", "contrast across the outline"):
        assert text in shown.stdout
    printed = CliRunner().invoke(app, [*command, "--by", "class", "--json"])
    assert json.loads(printed.stdout)["figures"]["distances"][0]["n"] == 96


def test_real_tones_are_measured_where_the_set_states_none(tmp_path, synthetic):
    folder = real_folder(tmp_path / "r", n=108)
    table = folder / "metadata.csv"
    header, *lines = table.read_text().splitlines()
    column = header.split(",").index("fitzpatrick")
    rows = [",".join("" if i == column else cell for i, cell in enumerate(line.split(","))) for line in lines]
    table.write_text("\n".join([header, *rows]) + "\n")
    found = quality(synthetic, folder, tmp_path / "o", extractor=TinyExtractor(), options=options(by=("tone",)))
    real = found["context"]["sets"]["real"]
    assert real["fst"] == {"1": 36, "2": 36, "3": 36}
    assert real["tone_sources"] == {"pixels": 108}
    assert [row["n_real"] for row in found["figures"]["distances"]] == [108, 36, 36, 36]
