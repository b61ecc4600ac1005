"""The lateral transport filters: their fit to stored Monte Carlo runs, and what they must not do.

tests/reference/transport_monte_carlo.json was made by ``python eval/fit_transport.py --simulate``.
"""

import json

import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.simulator.colour_table import colour_table
from synthderm.simulator.transport import DermalSpread, Transport, lateral_transport, spread_dermis

MAPS = ("melanin", "papillary_melanin", "deep_melanin", "blood")


@pytest.fixture(scope="module")
def striped(repository):
    """Stored cases of stripes: (group, mm per pixel, maps, Monte Carlo colours, their noise)."""
    stored = json.loads((repository / "tests" / "reference" / "transport_monte_carlo.json").read_text())
    rows = []
    for case in stored["cases"].values():
        if case["pattern"] != "stripes":
            continue
        side = len(case["rgb"][0][0])
        inside = torch.arange(side)[None] < round(case["share"] * side)
        maps = [torch.where(inside, case["inclusion"][k], case["background"][k]).float() for k in MAPS]
        rgb, noise = torch.tensor(case["rgb"]), torch.tensor(case["noise"])
        rows.append((case["group"], case["period_mm"] / side, maps, rgb, noise))
    return rows


def relative_rmse(striped, group, model):
    """Over cases and channels, the Monte Carlo noise taken out."""
    squares = []
    for name, mm_per_px, maps, rgb, noise in striped:
        if name == group:
            error = (model(maps, mm_per_px) - rgb) ** 2 - noise**2
            squares.append(error.mean((1, 2)) / rgb.mean((1, 2)) ** 2)
    return float(torch.cat(squares).mean().clamp_min(0).sqrt())


def table_alone(maps, mm_per_px):
    return colour_table().for_light("D65", 0.8)(*maps)


def colours_only(maps, mm_per_px):
    return lateral_transport(table_alone(maps, mm_per_px), mm_per_px, periodic=True)


def both_steps(maps, mm_per_px):
    melanin, *dermis = maps
    dermis = spread_dermis(*dermis, mm_per_px, periodic=True)
    return lateral_transport(table_alone([melanin, *dermis], mm_per_px), mm_per_px, periodic=True)


@pytest.mark.parametrize(
    ("group", "most", "alone"),
    [
        ("epidermis, light", 0.08, 0.50),
        ("epidermis, weak", 0.04, 0.22),
        ("epidermis, dark", 0.08, 0.30),
        ("papillary, light", 0.03, 0.18),
        ("papillary, dark", 0.03, 0.12),
        ("deep, light", 0.04, 0.22),
        ("deep, dark", 0.04, 0.17),
        ("blood, light", 0.07, 0.45),
        ("blood, dark", 0.06, 0.27),
    ],
)
def test_both_steps_come_close_to_monte_carlo_where_the_table_alone_is_far(striped, group, most, alone):
    assert relative_rmse(striped, group, both_steps) < most
    assert relative_rmse(striped, group, table_alone) > alone


def test_what_lies_in_the_dermis_needs_the_first_step(striped):
    for group in ("papillary, light", "deep, light", "blood, light"):
        assert relative_rmse(striped, group, colours_only) > 2 * relative_rmse(striped, group, both_steps)


def test_an_even_colour_stays_and_a_scene_keeps_its_size():
    even = torch.tensor([0.4, 0.2, 0.1])[:, None, None].expand(3, 37, 50)
    assert lateral_transport(even, 0.05) == pytest.approx(even, rel=1e-5)
    flat = torch.full((37, 50), 0.02)
    for got in spread_dermis(flat, flat, flat, 0.05):
        assert got == pytest.approx(flat, rel=1e-5)


def test_a_fine_network_darkens_the_whole_and_a_step_far_away_does_not():
    side = 128
    light, dark = torch.tensor([0.4, 0.25, 0.16]), torch.tensor([0.06, 0.02, 0.01])
    column = torch.arange(side)[None, None].expand(3, side, side)
    fine = torch.where(column % 4 == 0, dark[:, None, None], light[:, None, None])
    got = lateral_transport(fine, 0.05)
    assert (got.mean((1, 2)) < 0.85 * fine.mean((1, 2))).all()
    step = torch.where(column < 64, dark[:, None, None], light[:, None, None])
    got = lateral_transport(step, 0.2)
    assert got[:, 64, 4] == pytest.approx(dark, rel=0.03)
    assert got[:, 64, -4] == pytest.approx(light, rel=0.03)
    assert (got[:, 64, 64] < 0.95 * light).all()  # the bright side of the edge is darkened


def test_edges_are_mirrored_not_wrapped():
    """Left half dark: the right edge of the picture must not see it."""
    rgb = torch.full((3, 64, 64), 0.4)
    rgb[:, :, :8] = 0.05
    mirrored = lateral_transport(rgb, 0.1)
    wrapped = lateral_transport(rgb, 0.1, periodic=True)
    assert (wrapped[:, :, -1] < 0.9 * mirrored[:, :, -1]).all()
    assert mirrored[:, :, -1] == pytest.approx(torch.full((3, 64), 0.4), rel=5e-3)


def test_the_spread_of_the_dermis_keeps_amounts():
    g = torch.Generator().manual_seed(0)
    papillary, deep, blood = torch.rand(3, 48, 64, generator=g).pow(8) * 0.1
    spread = spread_dermis(papillary, deep, blood, 0.05, periodic=True)
    for before, after in zip((papillary, deep, blood), spread, strict=True):
        assert float(after.mean()) == pytest.approx(float(before.mean()), rel=1e-3)
        assert after.std() < before.std()
        assert after.min() >= 0
        assert after.max() <= before.max() * 1.001
    nothing = torch.zeros(48, 64)
    assert (spread_dermis(papillary, nothing, blood, 0.05)[1] == 0).all()


def test_light_comes_less_far_in_dark_skin():
    column = torch.arange(64)[None, None].expand(3, 8, 64)
    spread = []
    for level in (0.4, 0.05):
        rgb = torch.where(column == 32, 0.5 * level, level).float()
        got = lateral_transport(rgb, 0.05, periodic=True)[0, 0].log() - np.log(level)
        spread.append(float(got[40:56].sum() / got.sum()))
    assert spread[1] < 0.5 * spread[0]


def test_small_images_and_bad_arguments():
    tiny = lateral_transport(torch.full((3, 2, 3), 0.3), 1.0)
    assert tiny == pytest.approx(torch.full((3, 2, 3), 0.3), rel=1e-5)
    with pytest.raises(InputError, match=r"\(3, H, W\)"):
        lateral_transport(torch.zeros(1, 4, 4), 0.1)
    with pytest.raises(InputError, match="mm_per_px"):
        lateral_transport(torch.zeros(3, 4, 4), 0.0)
    with pytest.raises(InputError, match="one shape"):
        spread_dermis(torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(4, 5), 0.1)


def test_the_constants_are_those_of_the_fit(repository):
    """The package ships what eval/fit_transport.py found, rounded."""
    fitted = json.loads((repository / "eval" / "results" / "fit_transport.json").read_text())["figures"]["fitted"]
    ours = Transport()
    assert ours.length_mm == pytest.approx(fitted["transport"]["length_mm"], rel=0.03)
    assert ours.direct == pytest.approx(fitted["transport"]["direct"], abs=0.01)
    assert ours.darkening == pytest.approx(fitted["transport"]["darkening"], abs=0.02)
    assert DermalSpread().length_mm == pytest.approx(fitted["dermal_spread"]["length_mm"], rel=0.05)
    assert DermalSpread().direct == pytest.approx(fitted["dermal_spread"]["direct"], abs=0.02)
