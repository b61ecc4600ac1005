import pytest
import torch
from scenes import STRUCTURES, iou, plain, scene

from synthderm.functional.filters import gaussian_blur
from synthderm.simulator.frame import Frame
from synthderm.simulator.maps import compose
from synthderm.simulator.skin import healthy_skin, skin_surface
from synthderm.simulator.structures import STRUCTURE_MASKS, lesion_layers

AMPLITUDES = [name for name in STRUCTURES if name != "network_atypia"]
MASK_OF = {"dots": "globules", "arborising_vessels": "vessels", "dotted_vessels": "vessels"}


@pytest.mark.parametrize("name", AMPLITUDES)
def test_mask_grows_with_its_amplitude_and_leaves_the_others(name):
    """Amplitude 0 to 1: the own mask grows, every other mask keeps an IoU of at least 0.98 (design target 8)."""
    others = {"structure__globules": 0.6, "structure__pigment_network": 0.7, "structure__lagoons": 0.4}
    others.pop(f"structure__{name}", None)
    if MASK_OF.get(name) == "globules":
        others.pop("structure__globules")
    areas, before = [], None
    for amplitude in (0, 0.25, 0.5, 0.75, 1.0):
        placed = scene(**others, **{f"structure__{name}": amplitude}).placed
        own = placed.get(MASK_OF.get(name, name))
        areas.append(0 if own is None else int(own.sum()))
        rest = {n: m for n, m in placed.items() if n != MASK_OF.get(name, name)}
        if before is not None:
            assert rest.keys() == before.keys()
            assert all(iou(rest[n], before[n]) >= 0.98 for n in rest)
        before = rest
    assert areas == sorted(areas)
    assert areas[-1] > 20 > areas[0] == 0


def _tissue(**changes):
    frame = Frame(1, 96, plain(**changes))
    skin = healthy_skin(frame, 0.02, skin_surface(frame))
    layers = lesion_layers(frame)
    return compose(skin, layers), {layer.name: layer.mask for layer in layers}


def test_depth_of_pigment_follows_the_structure():
    """Veil and nests put pigment into the dermis, network and globules into the epidermis, lagoons hold blood."""
    bare, _ = _tissue()
    veil, masks = _tissue(structure__blue_whitish_veil=1.0)
    where = masks["blue_whitish_veil"]
    assert float(veil.deep[where].mean()) > 0.03 > float(bare.deep[where].mean()) == 0
    assert float(veil.pigment[where].mean()) < float(bare.pigment[where].mean())
    even, _ = _tissue(lesion__pigment_variation=0.1)
    network, masks = _tissue(lesion__pigment_variation=0.1, structure__pigment_network=1.0)
    where = masks["pigment_network"]
    with_lines, without = (t.pigment - gaussian_blur(t.pigment, 3) for t in (network, even))
    assert float(with_lines[where].std()) > 2 * float(without[where].std())
    assert float(network.deep.max()) == 0
    lagoons, masks = _tissue(structure__lagoons=1.0)
    assert float(lagoons.pool[masks["lagoons"]].mean()) > 0.5


def test_regression_loses_pigment():
    bare, _ = _tissue()
    regressed, masks = _tissue(structure__regression_structures=1.0)
    where = masks["regression_structures"]
    assert float(regressed.pigment[where].mean()) < 0.6 * float(bare.pigment[where].mean())


def test_reduced_copy_equals_the_reduced_whole():
    """Editing every second pixel gives every second pixel of the edited maps: edits are per pixel."""
    changes = {f"structure.{name}": 0.7 for name in STRUCTURES}
    frame = Frame(3, 96, {**plain(), **changes})
    skin = healthy_skin(frame, 0.02, skin_surface(frame))
    layers = lesion_layers(frame)
    whole, reduced = compose(skin, layers), compose(skin, layers, step=2)
    for name, values in vars(whole).items():
        assert torch.equal(values[::2, ::2], vars(reduced)[name]), name


def test_every_layer_has_a_mask_name():
    frame = Frame(3, 64, {**plain(), **{f"structure.{name}": 0.7 for name in STRUCTURES}})
    assert {layer.name for layer in lesion_layers(frame)} == {"lesion", *STRUCTURE_MASKS}


def test_same_lesion_at_every_resolution():
    small, large = (scene(size=size).masks["lesion"] for size in (64, 256))
    again = torch.nn.functional.avg_pool2d(large.float()[None, None], 4)[0, 0] > 0.5
    assert iou(small, again) > 0.97


def test_lesion_moves_and_grows_with_its_parameters():
    here, there = scene(), scene(lesion__offset_x=0.125)
    assert iou(here.masks["lesion"][:, :-16], there.masks["lesion"][:, 16:]) > 0.97
    areas = [float(scene(lesion__radius=r).masks["lesion"].float().mean()) for r in (0.1, 0.2, 0.4)]
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.1)
    assert areas[2] / areas[1] == pytest.approx(4, rel=0.1)
