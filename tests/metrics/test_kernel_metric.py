import pytest
from feature_images import MeanColours, images

from synthderm.core import InputError
from synthderm.functional.kernel_distance import kernel_distance, kernel_interval
from synthderm.metrics import KernelDistance


def filled(metric, real, synthetic, batch=11):
    for is_real, x in ((True, real), (False, synthetic)):
        for part in x.split(batch):
            metric.update(part, real=is_real)
    return metric


def test_the_shell_gives_the_function_of_the_features():
    real, synthetic = images(40, 0), images(35, 1, 30, 200)
    features = MeanColours()(synthetic), MeanColours()(real)
    for options in ({}, {"degree": 2, "gamma": 0.5, "coef": 0.0}):
        metric = filled(KernelDistance(MeanColours(), **options), real, synthetic)
        assert metric.compute().item() == pytest.approx(kernel_distance(*features, **options), rel=1e-6)
    assert metric.features(real=True).shape == (40, 6)
    interval = kernel_interval(metric.features(real=False), metric.features(real=True))
    assert interval.value == pytest.approx(kernel_distance(*features), rel=1e-6)


def test_processes_merge_by_concatenation():
    real, synthetic = images(60, 2), images(60, 3, 10, 220)
    whole = filled(KernelDistance(MeanColours()), real, synthetic).compute()
    first = filled(KernelDistance(MeanColours()), real[:20], synthetic[:45])
    first.merge_state(filled(KernelDistance(MeanColours()), real[20:], synthetic[45:]))
    assert first.compute().item() == pytest.approx(whole.item(), rel=1e-9)


def test_too_few_images_are_refused_and_reset_forgets():
    metric = filled(KernelDistance(MeanColours()), images(40, 0), images(29, 1))
    with pytest.raises(InputError, match="at least 30"):
        metric.compute()
    metric.reset()
    assert metric.features(real=True).shape == (0, 6)
    assert filled(KernelDistance(MeanColours(), force=True), images(4, 0), images(3, 1)).compute().isfinite()
