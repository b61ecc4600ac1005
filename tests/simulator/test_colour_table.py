"""The colour table: against the solver, at its edges, and its file."""

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.functional.color import delta_e_2000, linear_to_lab
from synthderm.simulator import colour_table as module
from synthderm.simulator.colour_table import AXES, Axes, ColourTable, bake, colour_table, physics_hash
from synthderm.simulator.table_file import read_table, write_table
from synthderm.simulator.tissue import skin_reflectance, spectrum_to_lab

SMALL = Axes(
    melanin=AXES.melanin[[0, -1]],
    papillary_melanin=AXES.papillary_melanin[[0, -1]],
    deep_melanin=AXES.deep_melanin[[0, -1]],
    blood=AXES.blood[[0, -1]],
    oxygenation=AXES.oxygenation[[0, -1]],
)


def maps(*values):
    return [torch.as_tensor(np.asarray(v), dtype=torch.float32).reshape(1, -1) for v in values]


def test_baking_gives_the_solver_at_every_node():
    table = bake(SMALL)
    grid = np.meshgrid(*(getattr(SMALL, f) for f in SMALL.__dataclass_fields__), indexing="ij")
    melanin, papillary, deep, blood, oxygenation = grid
    exact = skin_reflectance(melanin, blood, oxygenation, papillary_melanin=papillary, deep_melanin=deep)
    assert table == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("illuminant", "largest"), [("D65", 0.7), ("LED_V1", 0.8)])
def test_the_table_is_the_solver(illuminant, largest):
    """1,000 random mixtures, dE00."""
    g = np.random.default_rng(0)
    n = 200
    errors = []
    for oxygenation in (0.3, 0.45, 0.66, 0.75, 0.93):
        melanin, blood = np.exp(g.uniform(np.log((0.004, 0.001)), np.log((0.5, 0.3)), (n, 2))).T
        dermal = np.exp(g.uniform(np.log(4e-4), np.log(0.12), (n, 2))) * (g.random((n, 2)) < 0.5)
        papillary, deep = dermal.T
        rgb = colour_table().for_light(illuminant, oxygenation)(*maps(melanin, papillary, deep, blood))
        exact = skin_reflectance(melanin, blood, oxygenation, papillary_melanin=papillary, deep_melanin=deep)
        lab = torch.from_numpy(spectrum_to_lab(exact, illuminant))
        errors.append(delta_e_2000(linear_to_lab(rgb[:, 0].T.double()), lab))
    errors = torch.cat(errors)
    assert errors.mean() <= 0.15
    assert errors.max() <= largest


def test_blood_lakes_are_within_the_table():
    g = np.random.default_rng(1)
    melanin, blood = np.exp(g.uniform(np.log((0.004, 0.3)), np.log((0.3, 0.9)), (200, 2))).T
    rgb = colour_table().for_light("D65", 0.7)(*maps(melanin, 0 * blood, 0 * blood, blood))
    lab = torch.from_numpy(spectrum_to_lab(skin_reflectance(melanin, blood, 0.7)))
    assert delta_e_2000(linear_to_lab(rgb[:, 0].T.double()), lab).max() < 1.0
    assert (rgb >= 1e-4).all()


def test_maps_of_one_image_do_not_touch_each_other():
    """Pixels with deep melanin take another way through the code; a pixel alone has the colour it has in company."""
    g = torch.Generator().manual_seed(0)
    melanin, papillary, deep, blood = (torch.rand(6, 5, generator=g) * s for s in (0.3, 0.05, 0.05, 0.1))
    skin = colour_table().for_light("LED_B3", 0.8)
    for some in (deep * (deep > 0.04), deep):
        whole = skin(melanin, papillary, some, blood)
        for y, x in ((0, 0), (3, 2), (5, 4)):
            alone = skin(*(m[y : y + 1, x : x + 1] for m in (melanin, papillary, some, blood)))
            assert alone[:, 0, 0] == pytest.approx(whole[:, y, x], abs=1e-6)
    assert whole.shape == (3, 6, 5)


def test_no_melanin_joins_little_melanin_and_the_ends_hold():
    skin = colour_table().for_light()
    trace = skin(*maps([0.03, 0.03], [0, 1e-7], [0, 1e-7], [0.008, 0.008]))
    assert trace[:, 0, 0] == pytest.approx(trace[:, 0, 1], abs=1e-4)
    beyond = skin(*maps([0.6, 5.0], [0.15, 1.0], [0.15, 1.0], [0.9, 3.0]))
    assert beyond[:, 0, 0] == pytest.approx(beyond[:, 0, 1], abs=1e-6)
    assert torch.isfinite(skin(*maps([0.0], [0.0], [0.0], [0.0]))).all()


def test_what_the_table_does_not_hold_is_refused():
    with pytest.raises(InputError, match="oxygenation"):
        colour_table().for_light("D65", 0.1)
    with pytest.raises(InputError, match="illuminant"):
        colour_table().for_light("sun")
    skin = colour_table().for_light()
    with pytest.raises(InputError, match="one shape"):
        skin(*maps([0.03], [0.0, 0.0], [0.0], [0.01]))
    with pytest.raises(InputError, match="must have shape"):
        ColourTable(np.zeros((2, 2, 31), np.float32))


@pytest.fixture
def small_cache(monkeypatch, tmp_path):
    """The module with a small table and an empty cache folder."""
    monkeypatch.setenv("SYNTHDERM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "AXES", SMALL)
    monkeypatch.setattr(module, "bake", lambda: bake(SMALL, streams=4))
    monkeypatch.setattr(module, "physics_hash", lambda: physics_hash(SMALL, streams=4))
    monkeypatch.setattr(ColourTable.__init__, "__defaults__", (SMALL,))
    return tmp_path / "cache"


def test_the_table_is_kept_read_again_and_mended(small_cache, monkeypatch, caplog):
    first = ColourTable.load()
    (file,) = small_cache.iterdir()
    assert file.name == f"colour_table-{physics_hash(SMALL, 4)}.safetensors"
    made = []
    monkeypatch.setattr(module, "bake", lambda: made.append(1) or bake(SMALL, streams=4))
    assert (ColourTable.load().reflectance == first.reflectance).all()
    assert not made
    file.write_bytes(b"cut off")
    with caplog.at_level(logging.WARNING):
        assert (ColourTable.load().reflectance == first.reflectance).all()
    assert made == [1]
    assert "made again" in caplog.text
    assert (ColourTable.load().reflectance == first.reflectance).all()
    assert made == [1]


def test_without_a_folder_to_write_in_the_table_lives_in_memory(small_cache, monkeypatch, caplog):
    small_cache.parent.joinpath("a file").write_text("not a folder")
    monkeypatch.setenv("SYNTHDERM_CACHE", str(small_cache.parent / "a file"))
    with caplog.at_level(logging.WARNING):
        table = ColourTable.load()
    assert table.reflectance.shape == (*SMALL.shape, 31)
    assert "SYNTHDERM_CACHE" in caplog.text


LARGE = (400, 1000)


def _write_many(path: str, value: float) -> None:
    for _ in range(20):
        write_table(Path(path), np.full(LARGE, value, np.float32))


def test_two_processes_that_write_at_once_leave_one_whole_file(tmp_path, caplog):
    path = tmp_path / "table.safetensors"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(path), v)) for v in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        table = read_table(path, LARGE)
        if table is not None:
            assert (table == table[0, 0]).all()
            seen.add(float(table.flat[0]))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen
    assert seen <= {1.0, 2.0}
    assert not caplog.records  # no reader ever met half a file
    assert [p.name for p in tmp_path.iterdir()] == ["table.safetensors"]


def test_the_name_of_the_file_follows_the_physics(monkeypatch):
    before = physics_hash(SMALL)
    assert physics_hash(SMALL) == before
    assert physics_hash(SMALL, streams=6) != before
    monkeypatch.setattr(module.tissue, "_BASELINE_SCALE", 0.31)
    assert physics_hash(SMALL) != before
