"""The layer solver against van de Hulst, Giovanelli, iadpython and the laws it has to keep."""

import numpy as np
import pytest

from synthderm.core import InputError
from synthderm.functional.adding import (
    Slab,
    add,
    add_below,
    cover,
    cover_reflectance,
    layer_operators,
    slab_reflectance_transmittance,
    stack_reflectance,
    stack_slab,
    surface_reflectance,
)
from synthderm.functional.optics import fresnel_reflectance, quadrature, specular_reflectance


def test_fresnel_at_brewster_at_normal_and_beyond_the_critical_angle():
    brewster = np.cos(np.arctan(1.5))  # half of the light, polarised across, is all that is reflected
    across = ((1 - 1.5**2) / (1 + 1.5**2)) ** 2
    got = fresnel_reflectance(np.array([1.0, brewster]), 1.0, 1.5)
    assert got == pytest.approx([0.04, across / 2])
    assert fresnel_reflectance(np.array([0.69, 0.5]), 1.4, 1.0).tolist() == [1.0, 1.0]
    assert specular_reflectance(1.5) == pytest.approx(0.04)


@pytest.mark.parametrize(("n_inside", "streams"), [(1.4, 8), (1.0, 16), (1.5, 4)])
def test_quadrature_integrates_polynomials_and_holds_the_normal(n_inside, streams):
    q = quadrature(streams, n_inside)
    powers = np.arange(streams - 1)
    assert (q.weights[:, None] * q.cosines[:, None] ** powers).sum(0) == pytest.approx(1 / (powers + 1))
    assert q.cosines[-1] == 1


def test_van_de_hulst_slab():
    """Albedo 0.9, g 0.75, optical depth 2: van de Hulst 1980, table 35 (as in the MCML manual)."""
    q = quadrature(16, 1.0)
    slab = stack_slab([10.0], [90.0], 0.75, [0.02], q)
    reflected, transmitted = slab_reflectance_transmittance(slab, q)
    assert (reflected, transmitted) == pytest.approx((0.09739, 0.66096), abs=1.5e-5)


def test_giovanelli_half_space():
    """Albedo 0.9, isotropic, n 1.5: Giovanelli 1955, 0.2600 with the light off the surface."""
    got = stack_reflectance([10.0], [90.0], 0.0, [np.inf], streams=16, n_inside=1.5, specular=True)
    assert got == pytest.approx(0.2600, abs=1e-4)


@pytest.mark.parametrize(
    ("albedo", "depth", "g", "n", "tolerance"),
    [
        (0.9, 2, 0.75, 1.0, 1e-6),
        (0.98, 5, 0.8, 1.4, 1e-6),
        (0.999, 30, 0.9, 1.5, 1e-6),
        (0.5, 1, 0.0, 1.4, 2e-6),  # doubling starts from a thin layer, which is not exact
    ],
)
def test_the_closed_form_agrees_with_doubling(albedo, depth, g, n, tolerance):
    iadpython = pytest.importorskip("iadpython")
    reflected, transmitted, *_ = iadpython.Sample(a=albedo, b=depth, g=g, n=n, n_above=1, n_below=1, quad_pts=16).rt()
    q = quadrature(16, n)
    slab = stack_slab([1 - albedo], [albedo], g, [depth], q)
    ours = slab_reflectance_transmittance(slab, q)
    assert ours[0] + specular_reflectance(n) == pytest.approx(reflected, abs=tolerance)
    assert ours[1] == pytest.approx(transmitted, abs=tolerance)


@pytest.mark.parametrize("illumination", ["collimated", "diffuse"])
def test_no_light_is_lost_without_absorption(illumination):
    q = quadrature(16)
    slab = stack_slab([0.0] * 3, [300.0, 200.0, 100.0], np.array([0.7, 0.8]), [0.01, 0.1, 0.3], q)
    reflected, transmitted = slab_reflectance_transmittance(slab, q, illumination)
    outside = fresnel_reflectance(q.cosines, 1.4, 1.0)
    entered = 1 - specular_reflectance() if illumination == "collimated" else None
    if entered is None:  # flux of a uniform sky that passes the surface, by the same quadrature
        entered = (2 * q.cosines * q.weights * (1 - outside)).sum() * 1.4**2
    assert reflected + transmitted == pytest.approx(entered, abs=1e-9)
    assert (reflected > 0.5).all()


def test_layers_cut_in_two_are_one_layer():
    q = quadrature(8)
    whole = stack_slab([3.0], [200.0], 0.8, [0.05], q)
    halves = stack_slab([3.0, 3.0], [200.0, 200.0], 0.8, [0.02, 0.03], q)
    for a, b in zip(whole, halves, strict=True):
        assert a == pytest.approx(b, abs=1e-11)


def test_the_order_of_layers_matters_and_adds_up():
    """The general sum, the quick one from below and the ready-made cover are the same thing."""
    q = quadrature(8)
    top = layer_operators(np.array([5.0, 40.0]), 300.0, 0.75, 0.008, q)
    base = layer_operators(np.array([2.0, 0.5]), 200.0, 0.8, 0.2, q)
    slab = add(Slab(*top, *top), Slab(*base, *base))
    below = add_below(*top, base[0])
    assert slab.reflection == pytest.approx(below, abs=1e-12)
    straight = surface_reflectance(below, q)
    assert cover_reflectance(cover(*top, q), base[0]) == pytest.approx(straight, abs=1e-12)
    swapped = surface_reflectance(add_below(*base, top[0]), q)
    assert abs(swapped - straight).min() > 0.01


def test_more_absorption_is_darker_and_an_endless_layer_has_an_end():
    absorption = np.geomspace(1e-3, 1e3, 25)
    got = stack_reflectance([absorption], [200.0], 0.8, [np.inf])
    assert (np.diff(got) < 0).all()
    assert got[0] > 0.9
    assert got[-1] < 0.01
    deep = stack_reflectance([absorption], [200.0], 0.8, [50.0])
    assert deep == pytest.approx(got, abs=1e-6)


def test_bad_layers_are_refused():
    with pytest.raises(InputError, match="absorption >= 0"):
        stack_reflectance([-1.0], [10.0], 0.5, [1.0])
    with pytest.raises(InputError, match="even number"):
        stack_reflectance([1.0], [10.0], 0.5, [1.0], streams=5)
    with pytest.raises(InputError, match="at least one layer"):
        stack_reflectance([], [], 0.5, [])
    with pytest.raises(InputError, match="'collimated' or 'diffuse'"):
        stack_reflectance([1.0], [10.0], 0.5, [1.0], illumination="sunny")
