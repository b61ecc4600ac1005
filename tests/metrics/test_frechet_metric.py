import pytest
import torch
from feature_images import MeanColours, images
from torch import nn

from synthderm.core import InputError
from synthderm.functional.frechet import frechet_distance, gaussian_statistics
from synthderm.metrics import FrechetDistance


@pytest.fixture
def sets():
    return images(70, 0), images(60, 1, 20, 230)


def test_the_shell_gives_the_function_of_the_features(sets):
    metric = FrechetDistance(MeanColours())
    metric.update(sets[0], real=True)
    metric.update(sets[1], real=False)
    real, synthetic = (gaussian_statistics(MeanColours()(x))[:2] for x in sets)
    assert metric.compute().item() == pytest.approx(frechet_distance(*synthetic, *real), rel=1e-9)
    assert metric.compute().dtype == torch.float64


def test_batches_and_features_give_the_same(sets):
    whole, parts, given = (FrechetDistance(MeanColours()) for _ in range(3))
    for real, x in ((True, sets[0]), (False, sets[1])):
        whole.update(x, real=real)
        for batch in x.split(7):
            parts.update(batch, real=real)
        given.update_features(MeanColours()(x), real=real)
    assert parts.compute().item() == pytest.approx(whole.compute().item(), rel=1e-10)
    assert given.compute().item() == pytest.approx(whole.compute().item(), rel=1e-10)


def test_agrees_with_torchmetrics(sets):
    from torchmetrics.image.fid import FrechetInceptionDistance

    metrics = [FrechetDistance(MeanColours()), FrechetInceptionDistance(MeanColours())]
    for metric in metrics:
        metric.update(sets[0], real=True)
        metric.update(sets[1], real=False)
    assert metrics[0].compute().item() == pytest.approx(metrics[1].compute().item(), rel=1e-5)  # theirs is float32


def test_processes_merge_by_sums(sets):
    whole, first, second = (FrechetDistance(MeanColours()) for _ in range(3))
    for real, x in ((True, sets[0]), (False, sets[1])):
        whole.update(x, real=real)
        first.update(x[:25], real=real)
        second.update(x[25:], real=real)
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-10)


def test_more_images_after_a_result_count_and_reset_forgets(sets):
    metric = FrechetDistance(6)
    for real, x in ((True, sets[0]), (False, sets[1])):
        metric.update_features(MeanColours()(x), real=real)
    before = metric.compute()
    metric.update_features(MeanColours()(images(40, 5, 0, 90)), real=False)
    assert metric.compute() > 2 * before
    metric.reset()
    assert int(metric.real_count) == 0
    assert not FrechetDistance.higher_is_better


def test_too_few_images_and_broken_features_are_refused(sets):
    metric = FrechetDistance(MeanColours())
    metric.update(sets[0], real=True)
    metric.update(sets[1][:49], real=False)
    with pytest.raises(InputError, match="at least 50 images in each set, got 49"):
        metric.compute()
    forced = FrechetDistance(MeanColours(), force=True)
    forced.update(sets[0], real=True)
    forced.update(sets[1][:49], real=False)
    assert forced.compute() > 0
    with pytest.raises(InputError, match="2 of 5 rows"):
        metric.update_features(torch.tensor([[0.0] * 6] * 3 + [[float("nan")] * 6] * 2), real=True)
    with pytest.raises(InputError, match="uint8 images"):
        metric.update(sets[0].float(), real=True)
    with pytest.raises(InputError, match="expected 6 features, got 5"):
        metric.update_features(torch.zeros(4, 5), real=True)
    with pytest.raises(InputError, match="no extractor"):
        FrechetDistance(6).update(sets[0], real=True)
    with pytest.raises(InputError, match="num_features"):
        FrechetDistance(nn.Identity())
