import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.metrics.copies import CopyShare
from synthderm.models.copies import CopyDetector


def noise(n, seed):
    coarse = torch.rand(n, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bilinear").byte()


@pytest.fixture(scope="module")
def detector():
    return CopyDetector.fit(noise(40, 1), noise(99, 2), false_alarm_rate=0.05)


def test_it_counts_and_names_the_planted_copies(detector):
    metric = CopyShare(detector)
    train = noise(40, 1)
    metric.update(noise(6, 3))
    metric.update(torch.cat([train[[3, 30]].flip(-1), noise(2, 4)]))
    assert sorted(metric.indices()[:2].tolist()) == [6, 7]
    assert torch.cat(metric.nearest)[6:8].tolist() == [3, 30]
    above = np.concatenate(
        [detector.score(part).is_copy for part in (noise(6, 3), train[[3, 30]].flip(-1), noise(2, 4))]
    )
    assert float(metric.compute()) == pytest.approx(above.mean())
    assert above[6:8].all()
    assert not above.all()


def test_a_detector_without_threshold_is_refused():
    with pytest.raises(InputError, match="threshold"):
        CopyShare(CopyDetector.fit(noise(5, 0)))
