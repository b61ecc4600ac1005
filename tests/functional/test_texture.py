import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from synthderm.core import stream
from synthderm.functional.filters import gaussian_blur, smoothstep
from synthderm.functional.texture import CELLS, cells, noise


def test_noise_has_unit_variance_and_zero_mean():
    fields = torch.stack([noise(stream(i, "n"), 64, 4, 20, 0.5) for i in range(60)])
    assert float(fields.mean()) == pytest.approx(0, abs=0.02)
    assert float(fields.var()) == pytest.approx(1, abs=0.03)


def test_noise_is_the_same_pattern_at_every_resolution():
    small, large = (noise(stream(3, "n"), size, 1, 8) for size in (128, 512))
    assert float((F.avg_pool2d(large[None, None], 4)[0, 0] - small).abs().max()) < 0.03


def test_noise_keeps_to_its_band():
    field = torch.stack([noise(stream(i, "n"), 137, 10, 14, 0) for i in range(8)])  # 100 periods of 1.37 widths
    power = torch.fft.fft2(field * torch.hann_window(137)[:, None] * torch.hann_window(137)).abs().pow(2).mean(0)
    f = torch.fft.fftfreq(137, 1 / 137)
    radius = (f[:, None] ** 2 + f[None] ** 2).sqrt()
    inside = power[(radius > 8) & (radius < 16)].sum()
    assert float(inside / power.sum()) > 0.97


def test_noise_moves_with_its_centre():
    here = noise(stream(3, "n"), 100, 1, 4, unit=0.5)
    there = noise(stream(3, "n"), 100, 1, 4, unit=0.5, centre=(0.1, -0.2))
    assert torch.allclose(here[20:, :90], there[:-20, 10:], atol=1e-4)


def test_cells_agree_with_brute_force():
    """Distances read from the bank against the distances to its points, up to the bank's grid."""
    rng = np.random.Generator(np.random.Philox(key=1996))
    points = rng.random((3, CELLS, CELLS), dtype=np.float32).astype(float)

    class Still:  # no turn, no shift
        def random(self, n):
            return np.zeros(n)

    x, y = torch.rand(2, 40, 40, generator=torch.Generator().manual_seed(0)) * 10 + 5
    first, wall, ids = cells(Still(), x, y)
    iy, ix = np.mgrid[:CELLS, :CELLS]
    px, py = (points[1] * 0.9 + 0.05 + ix).ravel(), (points[0] * 0.9 + 0.05 + iy).ravel()
    distance = np.hypot(x.numpy()[..., None] - px, y.numpy()[..., None] - py)
    nearest = np.sort(distance, -1)[..., :2]
    assert np.abs(first.numpy() - nearest[..., 0]).max() < 0.03
    assert np.abs(wall.numpy() - (nearest[..., 1] - nearest[..., 0])).max() < 0.06
    same = points[2].ravel()[distance.argmin(-1)].astype(np.float32) == ids.numpy()
    assert same.mean() > 0.95  # the rest lies within a bank pixel of a wall


@pytest.mark.parametrize("sigma", [0.55, 1.0, 3.0, 9.0, 20.0])
def test_blur_agrees_with_scipy(sigma):
    image = torch.rand(2, 96, 96, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(image.numpy(), (0, sigma, sigma), mode="mirror")
    assert np.abs(gaussian_blur(image, sigma).numpy() - expected).max() < 0.012


def test_blur_keeps_constants_and_shapes():
    flat = torch.full((37, 53), 0.3)
    assert torch.allclose(gaussian_blur(flat, 2.0), flat, atol=1e-6)
    assert gaussian_blur(flat, 0.1) is flat


def test_smoothstep_runs_both_ways():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert torch.allclose(smoothstep(0, 1, x), torch.tensor([0, 0, 0.5, 1, 1]))
    assert torch.allclose(smoothstep(1, 0, x), torch.tensor([1, 1, 0.5, 0, 0]))
