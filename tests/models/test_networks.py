import pytest
import torch

from synthderm.models import ResNet, UNet


def test_classifier_shapes_and_features():
    network = ResNet(5, widths=(8, 16, 24), depths=(1, 2)).eval()
    x = torch.rand(3, 3, 64, 48)
    assert network(x).shape == (3, 5)
    assert network.features(x).shape == (3, network.num_features) == (3, 24)
    assert torch.allclose(network.head(network.features(x)), network(x))


def test_depths_must_fit_widths():
    with pytest.raises(ValueError, match="depths must have 2 entries"):
        ResNet(5, widths=(8, 16, 24), depths=(1,))


def test_segmenter_gives_a_logit_per_pixel():
    assert UNet(widths=(4, 8, 8)).eval()(torch.rand(2, 3, 32, 64)).shape == (2, 32, 64)


def test_segmenter_does_not_see_exposure():
    torch.manual_seed(0)
    network, x = UNet(widths=(4, 8, 8)).eval(), torch.rand(1, 3, 32, 32)
    bright, dark = network(x), network(0.5 * x)
    assert (bright - dark).abs().max() < 0.15 * bright.abs().max()  # but for the floor on the deviation
    assert torch.allclose(network(x + 0.25), bright, atol=1e-4)


def test_both_can_be_trained_in_full():
    """Every weight gets a gradient: nothing is built and then left out of the sum."""
    for network in (ResNet(3, (4, 8, 8), (1, 2)), UNet((4, 8, 8))):
        network(torch.rand(2, 3, 32, 32)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
