import numpy as np
import pytest
import torch

from synthderm.functional.alignment import (
    DIHEDRAL,
    aligned_scores,
    best_views,
    crop_boxes,
    detail_correlation,
    detail_spectrum,
    dihedral,
    fit_basis,
    grey_thumbnails,
    query_descriptors,
    view_descriptors,
)


def textured(n, size=64, seed=0):
    """Blobs on skin with a texture of their own each, uint8 (n, 3, size, size)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    texture = torch.from_numpy(rng.normal(0, 1, (n, 1, 12, 12)).astype(np.float32))
    texture = torch.nn.functional.interpolate(texture, size=(size, size), mode="bicubic")[:, 0]
    centre = rng.uniform(0.4, 0.6, (n, 2))
    blob = np.stack([((down - y) ** 2 + (across - x) ** 2 < 0.06) for y, x in centre])
    grey = 180 - 80 * torch.from_numpy(blob).float() + 12 * texture
    return grey[:, None].repeat(1, 3, 1, 1).clamp(0, 255).byte()


def test_the_turns_are_the_eight_symmetries_of_a_square():
    square = torch.arange(9.0).view(1, 3, 3)
    found = {tuple(dihedral(square, which).flatten().tolist()) for which in range(DIHEDRAL)}
    assert len(found) == 8
    assert torch.equal(dihedral(square, 0), square)


def test_crops_lie_inside_and_cover_the_image():
    boxes = np.array(crop_boxes())
    assert len(boxes) == 35
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 1 + 1e-9).all()
    assert boxes[0].tolist() == [0, 0, 1]


def test_a_query_finds_its_training_image_whatever_its_turn_and_crop():
    train = textured(40)
    thumbs = grey_thumbnails(train)
    basis = fit_basis(thumbs)
    views = view_descriptors(thumbs, basis)
    assert (views.float().norm(dim=-1) - 1).abs().max() < 1e-2
    some = train[7:9]
    window = some[..., 5:56, 8:59].float()  # 0.8 of the side, near a crop of the grid
    cropped = torch.nn.functional.interpolate(window, size=(64, 64), mode="bilinear").byte()
    for queries, first in ((some, True), (some.flip(-1), True), (some.rot90(1, (2, 3)), True), (cropped, False)):
        found = best_views(query_descriptors(grey_thumbnails(queries), basis), views, 5)[1]
        assert (found == torch.tensor([[7], [8]])).any(1).all()
        assert not first or found[:, 0].tolist() == [7, 8]


def test_best_views_do_not_depend_on_how_the_training_images_are_cut_into_blocks():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(5, 8, 16, generator=generator)
    views = torch.randn(300, 35, 16, generator=generator)
    plain = torch.einsum("nei,mvi->nmve", queries, views).amax((2, 3)).topk(7, 1)
    values, rows = best_views(queries, views, 7)
    assert torch.allclose(values, plain.values, atol=1e-4)
    assert torch.equal(rows, plain.indices)
    many = queries.repeat(60, 1, 1)  # with more queries a block holds fewer training images
    assert torch.equal(best_views(many, views, 7)[1][:5], plain.indices)


def test_detail_correlation_is_that_of_the_shifted_planes():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.uniform(0, 255, (2, 32, 32)).astype(np.float32))
    spectra = detail_spectrum(images)
    planes = torch.fft.irfft2(spectra, s=(32, 32)) * 32  # of energy 1
    assert torch.allclose(planes.square().sum((1, 2)), torch.ones(2), atol=1e-3)
    shifts = [(y, x) for y in range(-3, 4) for x in range(-3, 4)]
    plain = max(float((planes[0] * planes[1].roll(shift, (0, 1))).sum()) for shift in shifts)
    assert detail_correlation(spectra[:1], spectra[1:])[0] == pytest.approx(plain, abs=1e-4)
    assert detail_correlation(spectra, spectra).tolist() == pytest.approx([1, 1], abs=1e-3)


def test_brightness_contrast_and_blob_do_not_count_but_detail_does():
    images = textured(6).float()
    thumbs = grey_thumbnails(images.byte())
    darker = grey_thumbnails((images * 0.6 + 30).byte())
    zero = torch.zeros(6, dtype=torch.int64)
    assert aligned_scores(darker, zero, thumbs, zero).min() > 0.9
    assert aligned_scores(thumbs.roll(1, 0), zero, thumbs, zero).max() < 0.5
    flipped = grey_thumbnails(images.byte().flip(-1))
    assert aligned_scores(flipped, torch.ones_like(zero), thumbs, zero).min() > 0.95  # turn 1 is the flip
    assert aligned_scores(flipped, zero, thumbs, zero).max() < 0.6


def test_an_image_without_detail_scores_nothing():
    flat = torch.full((1, 32, 32), 128.0)
    assert detail_correlation(detail_spectrum(flat), detail_spectrum(flat))[0] == pytest.approx(0, abs=1e-3)


def test_views_stand_in_the_order_of_their_boxes():
    thumbs = grey_thumbnails(textured(30))
    basis = fit_basis(thumbs)
    views = view_descriptors(thumbs, basis)[3].float()
    for which in (2, 4, 12, 17, 22, 31):
        top, left, side = (round(64 * value) for value in crop_boxes()[which])
        crop = thumbs[3, top : top + side, left : left + side].float()[None, None]
        query = torch.nn.functional.interpolate(crop, size=(64, 64), mode="bilinear")[0].byte()
        similar = views @ query_descriptors(query, basis)[0, 0]
        assert similar.argmax() == which
