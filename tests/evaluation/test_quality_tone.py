import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from quality_sets import draw, skin, synthetic_folder

from synthderm.core import InputError, tone_band
from synthderm.evaluation.quality.cells import requested_tone
from synthderm.evaluation.quality.columns import ColumnCache, measure
from synthderm.evaluation.quality.tone import LEAST_SKIN, outside_of, tone_column, tone_figures
from synthderm.evaluation.sets import open_set
from synthderm.functional.color import ita_deg, median_lab


def measured(folder, tmp_path):
    images = open_set(folder)
    return images, measure(images, [tone_column(images)], ColumnCache(tmp_path / "out"), "synthetic")["ita_deg"]


def test_what_was_asked_for_is_measured(tmp_path):
    images, angles = measured(synthetic_folder(tmp_path / "s", n=36), tmp_path)
    requested = [record.metadata["ita_requested_deg"] for record in images.records]
    assert np.abs(angles - np.array([float(r) for r in requested])).max() < 2.0
    figures = tone_figures(images, angles)
    assert figures["share_inside"]["value"] == 1.0
    assert figures["share_inside"]["interval"][0] == pytest.approx(36 / (36 + 1.96**2), abs=1e-3)  # Wilson at p = 1
    assert [sum(row) for row in figures["confusion"]["counts"]] == [12, 12, 12, 0, 0, 0]
    assert figures["error_deg"]["value"] < 2.0
    assert list(figures["per_class"]) == ["nv", "mel", "bcc"]
    assert figures["per_fst"]["1"]["note"] == "insufficient"
    assert figures["healthy_skin"] == {
        "outside of the lesion mask, widened by 4% of the image, without a dark frame": 36
    }


def test_the_confusion_shows_wrong_and_invalid_colours(tmp_path):
    def change(i, row, image):
        if i == 0:
            return np.full_like(image, 128)  # grey: b* = 0
        if i == 1:
            row["fst_requested"], row["ita_requested_deg"] = 6, -50.0
        return image

    images, angles = measured(synthetic_folder(tmp_path / "s", n=36, change=change), tmp_path)
    counts = tone_figures(images, angles)["confusion"]["counts"]
    assert math.isnan(angles[0])
    assert counts[0] == [10, 0, 0, 0, 0, 0, 1]
    assert counts[5] == [1, 0, 0, 0, 0, 0, 0]
    assert tone_figures(images, angles)["share_inside"]["value"] == 34 / 36
    assert tone_figures(images, angles)["invalid"]["value"] == 1 / 36


def test_a_recorded_colour_cast_is_undone(tmp_path):
    gains = (1.15, 0.95, 0.7)

    def change(i, row, image):
        row |= {f"cast_gain_{name}": gain for name, gain in zip(("red", "green", "blue"), gains, strict=True)}
        linear = np.where(image <= 10.31, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4) * gains
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return (encoded * 255).round().clip(0, 255).astype(np.uint8)

    plain_images, plain = measured(synthetic_folder(tmp_path / "plain", n=6), tmp_path)
    cast_images, undone = measured(synthetic_folder(tmp_path / "cast", n=6, change=change), tmp_path)
    for record in cast_images.records:
        record.metadata.pop("cast_gain_red")
    _, seen = cast_images, measure(cast_images, [tone_column(cast_images)], ColumnCache(tmp_path / "x"), "s")["ita_deg"]
    assert np.abs(undone - plain).max() < 1.5
    assert np.abs(seen - plain).max() > 5.0
    assert len(plain_images) == 6


def test_gains_that_are_none(tmp_path):
    def change(i, row, image):
        row |= {"cast_gain_red": 0, "cast_gain_green": 1, "cast_gain_blue": 1}
        return image

    with pytest.raises(InputError, match="expected positive numbers in cast_gain_red"):
        measured(synthetic_folder(tmp_path / "s", n=2, change=change), tmp_path)


def test_a_mask_of_healthy_skin_counts_before_all_else(tmp_path):
    """Left half of each image is painted dark; only the healthy-skin mask tells that it is no skin."""
    folder = tmp_path / "s"

    def change(i, row, image):
        image = image.copy()
        image[:, :30] = skin(-50.0)
        row["attribute_healthy_skin_file_name"] = f"masks/S{i:04d}_attribute_healthy_skin.png"
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[:, 36:] = 255
        Image.fromarray(mask).save(folder / row["attribute_healthy_skin_file_name"])
        return image

    images, angles = measured(synthetic_folder(folder, n=4, change=change), tmp_path)
    assert all(angle in tone_band(1) for angle in angles[:3])
    assert list(tone_figures(images, angles)["healthy_skin"]) == ["the set's own masks of healthy skin"]


def test_the_dark_frame_of_a_dermatoscope_is_no_skin(tmp_path):
    def change(i, row, image):
        rows, columns = np.mgrid[:48, :48]
        return np.where(((rows - 24) ** 2 + (columns - 24) ** 2 < 18**2)[..., None], image, 8).astype(np.uint8)

    images, angles = measured(synthetic_folder(tmp_path / "s", n=9, change=change), tmp_path)
    assert tone_figures(images, angles)["confusion"]["counts"][0][0] == 3
    assert np.isfinite(angles).all()


def test_without_any_mask_the_border_is_measured(tmp_path):
    def change(i, row, image):
        row["mask_file_name"] = None
        return image

    images, angles = measured(synthetic_folder(tmp_path / "s", n=6, change=change), tmp_path)
    figures = tone_figures(images, angles)
    assert np.isfinite(angles).all()
    assert "border" in next(iter(figures["healthy_skin"]))


def test_a_set_without_requests_says_so(tmp_path):
    def change(i, row, image):
        del row["fst_requested"], row["ita_requested_deg"]
        return image

    images, angles = measured(synthetic_folder(tmp_path / "s", n=4, change=change), tmp_path)
    assert tone_figures(images, angles) == {"note": "no requested tone recorded", "n": 0}


@pytest.mark.parametrize("value", [7, "dark", 0])
def test_a_request_that_is_no_type(tmp_path, value):
    def change(i, row, image):
        row["fst_requested"] = value
        return image

    images = open_set(synthetic_folder(tmp_path / "s", n=2, change=change))
    with pytest.raises(InputError, match="skin type 1 to 6"):
        requested_tone(images.records[0])


def test_the_angle_alone_names_the_type(tmp_path):
    def change(i, row, image):
        del row["fst_requested"]
        return image

    images = open_set(synthetic_folder(tmp_path / "s", n=9, change=change))
    assert [requested_tone(record) for record in images.records] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_skin_is_outside_of_the_lesion_and_its_margin():
    image, mask = draw(0, "mel", 35.0)
    mask = torch.from_numpy(mask)
    clear = outside_of(mask)
    assert not (clear & mask).any()
    assert int(clear.sum()) < int((~mask).sum())
    nearly_all = torch.ones_like(mask)
    nearly_all[:, :2] = False
    assert torch.equal(outside_of(nearly_all), ~nearly_all)
    lightness, _, b = median_lab(torch.from_numpy(image).permute(2, 0, 1), clear)
    assert ita_deg(lightness, b) == pytest.approx(35.0, abs=1.5)
    assert LEAST_SKIN <= int((~nearly_all).sum())


def test_the_second_run_measures_nothing_again(tmp_path):
    images, angles = measured(synthetic_folder(tmp_path / "s", n=4), tmp_path)
    column = tone_column(images)
    kept = measure(
        images, [column.__class__(column.name, column.key, None)], ColumnCache(tmp_path / "out"), "synthetic"
    )
    assert np.array_equal(kept["ita_deg"], angles)
    assert json.dumps(angles.tolist())
