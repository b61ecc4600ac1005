import pytest
import torch

from synthderm.core import InputError
from synthderm.models import UNet
from synthderm.training import SegmenterConfig, predict_masks, train_segmenter
from synthderm.training.segmenter import mask_loss


@pytest.fixture(scope="module")
def squares():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(140, 200, (32, 3, 32, 32), generator=generator)
    masks = torch.zeros(32, 32, 32, dtype=torch.bool)
    for i, (top, left) in enumerate(torch.randint(4, 16, (32, 2), generator=generator).tolist()):
        masks[i, top : top + 12, left : left + 12] = True
    images[masks[:, None].expand_as(images)] -= 80
    return images.to(torch.uint8), masks


def dice(found, truth):
    return (2 * (found & truth).sum() / (found.sum() + truth.sum())).item()


@pytest.mark.parametrize("augmentation", ["none", "classic"])
def test_it_learns(squares, augmentation):
    torch.manual_seed(0)
    config = SegmenterConfig(steps=60, batch_size=8, size=32, learning_rate=1e-2, augmentation=augmentation)
    network = train_segmenter(UNet((8, 16, 16)), *squares, config, 0)
    assert dice(predict_masks(network, squares[0], size=32), squares[1]) > 0.85


def test_loss_of_a_perfect_mask_is_nothing():
    target = torch.zeros(2, 8, 8)
    target[:, 2:5] = 1
    assert mask_loss(40 * (target - 0.5), target) < 1e-3
    assert mask_loss(40 * (0.5 - target), target) > 1


def test_bad_input(squares):
    with pytest.raises(InputError, match="expected a mask for each image"):
        train_segmenter(UNet((8, 16, 16)), squares[0], squares[1][:3], SegmenterConfig(steps=1, size=32), 0)
    with pytest.raises(InputError, match="size must be a multiple of 16, but got 50"):
        SegmenterConfig(size=50)
