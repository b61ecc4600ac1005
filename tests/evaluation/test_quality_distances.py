import math

import numpy as np
import pytest

from synthderm.core import InputError
from synthderm.evaluation.quality.cells import Cell
from synthderm.evaluation.quality.distances import NAMES, DistanceOptions, distance_rows, require_enough

FEW = DistanceOptions(draws=3, halves=8)


def whole(x, y):
    return [Cell("all", None, None, np.arange(len(x)), np.arange(len(y)))]


def row_of(x, y, options=FEW, groups=None):
    names = groups or ([f"s{i}" for i in range(len(x))], [f"r{i}" for i in range(len(y))])
    return distance_rows(whole(x, y), (x, y), names, options)[0]


def normal(n, shift=0.0, scale=1.0, width=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)) * scale + shift


def value(row, name):
    return row[name]["value"]


def test_more_real_images_are_at_the_floor():
    row = row_of(normal(150, seed=1), normal(400, seed=2))
    for name in NAMES:
        low, high = row[f"{name}_floor"]["interval"]
        spread = high - low
        assert low - spread < value(row, name) < high + spread
        assert row[name]["n"] == row[f"{name}_floor"]["n"] == 150


def test_a_shifted_set_is_at_its_known_distance():
    row = row_of(normal(400, shift=1.0, seed=1), normal(900, seed=2))
    assert value(row, "fid") - value(row, "fid_floor") == pytest.approx(4.0, rel=0.12)  # |mean difference|^2 of 4 x 1
    assert row["fid"]["interval"][0] < 4.0 < row["fid"]["interval"][1]
    assert row["kid"]["interval"][0] > row["kid_floor"]["interval"][1]


def test_one_image_again_and_again_is_precise_but_covers_nothing():
    x = normal(150, scale=0.02, seed=1)
    row = row_of(x, normal(400, seed=2))
    assert value(row, "precision") > 0.95
    assert value(row, "recall") < 0.05
    assert value(row, "coverage") < 0.3 * value(row, "coverage_floor")


def test_noise_is_diverse_but_not_precise():
    row = row_of(normal(150, scale=4.0, seed=1), normal(400, seed=2))
    assert value(row, "precision") < 0.3
    assert value(row, "recall") > 0.8


def test_the_bias_of_a_small_set_falls_away_at_infinite_n():
    row = row_of(normal(110, width=20, seed=1), normal(2000, width=20, seed=2), DistanceOptions(draws=3, halves=8))
    assert value(row, "fid") > 0.5
    assert abs(value(row, "fid_infinity")) < 0.4 * value(row, "fid")
    assert row["fid_infinity"]["interval"][0] < 0 < row["fid_infinity"]["interval"][1]
    assert (row["fid_infinity"]["n"], row["fid_infinity_floor"]["n"]) == (110, 110)


def test_both_sides_and_the_floor_have_as_many_images_as_the_smallest_part():
    row = row_of(normal(100, seed=1), normal(130, seed=2))
    assert {row[f"{name}{end}"]["n"] for name in NAMES for end in ("", "_floor")} == {65}
    assert (row["n"], row["n_real"]) == (100, 130)


def test_large_groups_widen_the_interval():
    x = np.repeat(normal(20, seed=1), 10, 0)
    y = normal(500, seed=2)
    own = row_of(x, y)
    grouped = row_of(x, y, groups=([f"s{i // 10}" for i in range(200)], [f"r{i}" for i in range(500)]))
    width = [np.diff(row["kid"]["interval"])[0] for row in (own, grouped)]
    assert width[1] > 1.5 * width[0]


def test_a_small_cell_is_insufficient_and_says_how_small():
    x, y = normal(100, seed=1), normal(400, seed=2)
    cells = [*whole(x, y), Cell("class", "mel", None, np.arange(20), np.arange(200))]
    rows = distance_rows(cells, (x, y), ([str(i) for i in range(100)], [str(i) for i in range(400)]), FEW)
    assert rows[1]["fid"] == {"value": None, "interval": None, "n": 20, "note": "insufficient"}
    assert rows[1]["diagnosis"] == "mel"
    assert rows[0]["fid"]["value"] is not None


def test_a_cell_with_fewer_images_than_features_has_a_kid_but_no_fid():
    x, y = normal(40, width=50, seed=1), normal(200, width=50, seed=2)
    assert row_of(x, y)["fid"]["note"] == "insufficient"
    assert row_of(x, y)["kid"]["value"] is not None
    assert row_of(x, y, DistanceOptions(draws=2, halves=8, force=True))["fid"]["value"] is not None


def test_figures_of_pairs_take_no_more_images_than_told():
    row = row_of(normal(100, seed=1), normal(300, seed=2), DistanceOptions(draws=2, halves=8, most_pairs=50))
    assert (row["fid"]["n"], row["kid"]["n"], row["coverage"]["n"]) == (100, 50, 50)


def test_a_cell_depends_on_no_other_cell():
    x, y = normal(100, seed=1), normal(300, seed=2)
    cell = Cell("class", "mel", None, np.arange(50), np.arange(150))
    names = ([str(i) for i in range(100)], [str(i) for i in range(300)])
    alone = distance_rows([cell], (x, y), names, FEW)[0]
    assert distance_rows([*whole(x, y), cell], (x, y), names, FEW)[1] == alone


def test_too_few_images_are_refused_with_the_reason():
    with pytest.raises(InputError, match=r"at least 129 synthetic and 258 real .* got 100 and 1000.*bias.*--force"):
        require_enough(100, 1000, 128, "derm", force=False)
    with pytest.raises(InputError, match="got 200 and 200"):
        require_enough(200, 200, 128, "derm", force=False)
    require_enough(100, 100, 128, "derm", force=True)
    require_enough(129, 258, 128, "derm", force=False)


def test_intervals_are_finite_and_in_range():
    row = row_of(normal(80, seed=1), normal(200, seed=2))
    for name in NAMES:
        low, high = row[name]["interval"]
        assert math.isfinite(low)
        assert low <= value(row, name) <= high
        assert name == "kid" or low >= 0
