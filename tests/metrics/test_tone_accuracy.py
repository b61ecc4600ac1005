import math

import pytest
import torch

from synthderm.core import TONE_BANDS, InputError, ita_to_fst
from synthderm.metrics.tone import INVALID, ToneAccuracy, tone_confusion


def test_the_confusion_is_that_of_the_bands_also_at_their_thresholds():
    angles = [*(float(a) for a in range(-90, 91)), *(band.low_deg for band in TONE_BANDS), 28.001, -29.999, math.nan]
    requested = [1 + i % 6 for i in range(len(angles))]
    expected = torch.zeros(6, 7, dtype=torch.int64)
    for fst, angle in zip(requested, angles, strict=True):
        expected[fst - 1, INVALID if math.isnan(angle) else ita_to_fst(angle) - 1] += 1
    assert torch.equal(tone_confusion(torch.tensor(angles), torch.tensor(requested)), expected)


def test_an_invalid_colour_counts_as_outside():
    metric = ToneAccuracy()
    metric.update(torch.tensor([60.0, 50.0]), torch.tensor([1, 2]))
    metric.update(torch.tensor([math.nan, 50.0]), torch.tensor([5, 3]))
    assert metric.compute().item() == 0.5
    assert metric.confusion[4, INVALID] == 1
    assert metric.confusion[2, 1] == 1


def test_the_share_does_not_depend_on_the_batches():
    generator = torch.Generator().manual_seed(0)
    angles, fst = torch.rand(100, generator=generator) * 180 - 90, torch.randint(1, 7, (100,), generator=generator)
    whole, parts = ToneAccuracy(), ToneAccuracy()
    whole.update(angles, fst)
    for a, t in zip(angles.split(7), fst.split(7), strict=True):
        parts.update(a, t)
    assert whole.compute() == parts.compute()


@pytest.mark.parametrize(
    ("angles", "fst", "message"),
    [
        ([10.0], [0], "fst must be 1 to 6"),
        ([10.0], [7], "fst must be 1 to 6"),
        ([91.0], [1], "degrees"),
        ([10.0, 11.0], [1], "expected two"),
    ],
)
def test_bad_input(angles, fst, message):
    with pytest.raises(InputError, match=message):
        ToneAccuracy().update(torch.tensor(angles), torch.tensor(fst))
