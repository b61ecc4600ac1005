"""Monte Carlo against published numbers and against the layer solver."""

import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.functional.adding import stack_reflectance
from synthderm.functional.monte_carlo import absorb_paths, column_monte_carlo, white_monte_carlo
from synthderm.functional.optics import specular_reflectance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_van_de_hulst_slab():
    paths = white_monte_carlo([90.0], 0.75, [0.02], 200_000, generator(), n_inside=1.0)
    reflected, transmitted, error = absorb_paths(paths, torch.tensor([10.0]))
    assert error < 6e-4
    assert abs(reflected - 0.09739) < 4 * error
    assert transmitted == pytest.approx(0.66096, abs=4e-3)


def test_giovanelli_half_space():
    paths = white_monte_carlo([90.0], 0.0, [float("inf")], 40_000, generator(), n_inside=1.5, longest_cm=2.0)
    reflected, _, error = absorb_paths(paths, torch.tensor([10.0]))
    assert error < 2e-3
    assert abs(reflected + specular_reflectance(1.5) - 0.2600) < 4 * error


def test_no_photon_is_lost_without_absorption():
    paths = white_monte_carlo([200.0, 100.0], 0.8, [0.02, 0.03], 20_000, generator())
    reflected, transmitted, _ = absorb_paths(paths, torch.zeros(2))
    assert reflected + transmitted == pytest.approx(1 - specular_reflectance())


def test_one_run_serves_every_absorption_of_layers():
    """Three layers, three mixtures, one set of paths: the solver within 4 standard errors."""
    scattering, thickness = [310.0, 230.0, 150.0], [0.008, 0.04, 0.25]
    paths = white_monte_carlo(scattering, 0.78, thickness, 40_000, generator(), surface_below=False)
    absorption = torch.tensor([[30.0, 1.0, 0.5], [3.0, 6.0, 0.5], [0.5, 0.4, 0.3]])
    reflected, _, error = absorb_paths(paths, absorption)
    solver = stack_reflectance(list(absorption.T.numpy()), scattering, 0.78, thickness, streams=16)
    assert (error < 3e-3).all()
    assert (abs(reflected.numpy() - solver) < 4 * error.numpy()).all()


def test_an_even_tile_is_the_solver_and_two_channels_do_not_mix():
    scattering = torch.tensor([[310.0, 230.0], [280.0, 200.0]])
    absorption = torch.tensor([[[20.0, 1.0]], [[2.0, 0.5]]])  # 2 channels, 1 kind, 2 layers
    anisotropy, thickness = torch.tensor([0.75, 0.8]), [0.008, 0.15]
    mean, error = column_monte_carlo(
        torch.zeros(1, 2, dtype=torch.long), absorption, scattering, anisotropy, thickness, 0.1, 40_000, generator()
    )
    solver = stack_reflectance(
        list(absorption[:, 0].T.numpy()), list(scattering.T.numpy()), anisotropy.numpy(), thickness, streams=16
    )
    assert (error < 6e-3).all()
    assert (abs(mean - torch.from_numpy(np.asarray(solver))[:, None, None]) < 4 * error).all()


def test_wide_stripes_are_their_own_skins_and_fine_ones_are_darker_than_their_mean():
    scattering, anisotropy, thickness = torch.tensor([[310.0, 230.0]]), torch.tensor([0.75]), [0.008, 0.15]
    absorption = torch.tensor([[[5.0, 0.5], [150.0, 0.5]]])
    alone = stack_reflectance(list(absorption[0].T.numpy()), [310.0, 230.0], 0.75, thickness, streams=16)
    columns = torch.tensor([[0] * 4 + [1] * 4])

    def stripes(pixel_cm: float) -> torch.Tensor:
        mean, _ = column_monte_carlo(
            columns, absorption, scattering, anisotropy, thickness, pixel_cm, 25_000, generator()
        )
        return mean[0, 0]

    wide = stripes(5.0)
    assert wide[1:3].mean() == pytest.approx(alone[0], rel=0.03)
    assert wide[5:7].mean() == pytest.approx(alone[1], rel=0.06)
    fine = stripes(0.0005)
    assert fine.mean() < 0.85 * alone.mean()
    assert fine.std() < 0.15 * wide.std()


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="every layer needs"):
        white_monte_carlo([1.0, 2.0], 0.5, [1.0], 10, generator())
    with pytest.raises(InputError, match="belong together"):
        column_monte_carlo(
            torch.tensor([[1]]), torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1), [1.0], 0.1, 10, generator()
        )
