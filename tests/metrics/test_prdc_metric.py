import pytest
import torch
from feature_images import MeanColours, images

from synthderm.core import InputError
from synthderm.functional.neighbours import prdc
from synthderm.metrics import PRDC, FrechetDistance, KernelDistance


def test_the_shell_gives_the_function_of_the_features():
    real, synthetic = images(50, 0), images(40, 1, 0, 250)
    metric = PRDC(MeanColours(), k=3)
    for is_real, x in ((True, real), (False, synthetic)):
        for part in x.split(9):
            metric.update(part, real=is_real)
    expected = prdc(MeanColours()(real), MeanColours()(synthetic), 3)
    got = {name: value.item() for name, value in metric.compute().items()}
    assert got == pytest.approx(expected)
    assert list(got) == ["precision", "recall", "density", "coverage"]
    assert all(value.dtype == torch.float64 for value in metric.compute().values())
    assert PRDC.higher_is_better


def test_real_and_synthetic_are_not_mixed_up():
    """One point repeated with little noise: precise, without recall."""
    rng = torch.Generator().manual_seed(0)
    metric = PRDC(4)
    metric.update_features(torch.randn(200, 4, generator=rng), real=True)
    metric.update_features(0.05 * torch.randn(100, 4, generator=rng), real=False)
    got = metric.compute()
    assert got["precision"] == 1
    assert got["recall"] < 0.05


def test_too_few_images_are_refused():
    metric = PRDC(2)
    metric.update_features(torch.rand(40, 2), real=True)
    with pytest.raises(InputError, match="at least 1 rows of synthetic features, got 0"):
        metric.compute()
    metric.update_features(torch.rand(29, 2), real=False)
    with pytest.raises(InputError, match="at least 30"):
        metric.compute()


def test_metrics_share_the_features_of_a_batch():
    from torchmetrics.wrappers import FeatureShare

    class Counting(MeanColours):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return super().forward(x)

    extractor, sets = Counting(), {True: images(60, 0), False: images(60, 1, 0, 240)}
    shared = FeatureShare([FrechetDistance(extractor), KernelDistance(extractor), PRDC(extractor)])
    alone = KernelDistance(MeanColours())
    for real, x in sets.items():
        for part in x.split(30):
            shared.update(part, real=real)
        alone.update(x, real=real)
    assert Counting.calls == 4
    assert shared.compute()["KernelDistance"].item() == pytest.approx(alone.compute().item(), rel=1e-6)
