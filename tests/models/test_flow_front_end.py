"""The front end of the flow: orthogonal, overlapping, and the best of its length for its training images."""

import pytest
import torch

from synthderm.models.flow import LappedKLT
from synthderm.models.flow.front_end import lapping

SIZE, PATCH = 32, 8


def smooth_images(n, seed=0):
    """Smooth colour fields with a round mask, -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 5, generator=generator) * 2 - 1
    colour = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic", align_corners=True).clamp(-1, 1)
    grid = torch.linspace(-1, 1, SIZE)
    radius = 0.3 + 0.4 * torch.rand(n, 1, 1, generator=generator)
    mask = torch.tanh(6 * (radius - (grid[:, None] ** 2 + grid[None] ** 2).sqrt()))
    return torch.cat([colour, mask[:, None]], 1)


@pytest.fixture(scope="module")
def fitted():
    return LappedKLT.fit([smooth_images(64)], size=SIZE, patch_size=PATCH, num_components=24)


def test_lapping_is_orthogonal_and_crosses_every_boundary():
    matrix = lapping(SIZE, PATCH)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(SIZE), atol=1e-6, rtol=0)
    for boundary in range(PATCH, SIZE, PATCH):
        assert matrix[boundary - 1, boundary].abs() > 0.05  # a block sees its neighbour's pixels


def test_a_constant_image_passes_the_lapping_unchanged_within_each_block():
    inner = (lapping(SIZE, PATCH) @ torch.ones(SIZE))[PATCH : 2 * PATCH]
    torch.testing.assert_close(inner, inner.flip(0), atol=1e-5, rtol=0)  # symmetric, as a linear-phase transform is


def test_with_all_components_nothing_is_lost():
    full = LappedKLT.fit([smooth_images(64)], size=SIZE, patch_size=PATCH, num_components=4 * PATCH**2)
    new = smooth_images(4, seed=9)
    torch.testing.assert_close(full.decode(full.encode(new)), new, atol=2e-3, rtol=0)


def test_few_components_keep_most_of_new_images(fitted):
    new = smooth_images(16, seed=3)
    again = fitted.decode(fitted.encode(new))
    assert (again - new).square().mean() < 0.01 * new.var()
    assert ((again[:, 3] > 0) == (new[:, 3] > 0)).float().mean() > 0.98


def test_tokens_have_mean_square_one_on_the_training_images(fitted):
    tokens = fitted.encode(smooth_images(64))
    assert tokens.shape == (64, (SIZE // PATCH) ** 2, 24)
    assert float(tokens.square().mean()) == pytest.approx(1.0, abs=1e-3)


def test_the_deviations_follow_the_power():
    images = smooth_images(64)
    flat = LappedKLT.fit([images], size=SIZE, patch_size=PATCH, num_components=8, power=1.0)
    deviations = flat.encode(images).flatten(0, 1).std(0)
    torch.testing.assert_close(deviations, torch.ones(8), atol=0.02, rtol=0)


def test_an_error_in_one_token_fades_out_beyond_its_block(fitted):
    """What the lapped transform is for: no edge at the block's border."""
    tokens = torch.zeros(1, fitted.num_tokens, 24)
    base = fitted.decode(tokens)
    tokens[0, 5, 0] = 1.0  # second row, second column
    change = (fitted.decode(tokens) - base)[0, :3].abs().sum(0)
    row = change[PATCH + PATCH // 2]
    assert row[PATCH - 1] > 0.02 * row.max()  # reaches into the neighbour
    assert (row[1:] - row[:-1]).abs().max() < 0.6 * row.max()  # and nowhere jumps


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    again = LappedKLT.from_pretrained(tmp_path)
    new = smooth_images(2, seed=5)
    assert torch.equal(again.encode(new), fitted.encode(new))
    assert torch.equal(again.decode(again.encode(new)), fitted.decode(fitted.encode(new)))
