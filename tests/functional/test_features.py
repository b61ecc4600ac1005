import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.functional.features import as_features, as_pair, check_count, rows_per_block


def test_tensors_become_float64_arrays():
    matrix = as_features(torch.arange(6.0, dtype=torch.float32, requires_grad=True).view(3, 2))
    assert matrix.dtype == np.float64
    assert matrix.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_the_message_counts_broken_rows():
    features = np.zeros((20, 3))
    features[[2, 5, 5, 9], [0, 1, 2, 1]] = [np.nan, np.inf, np.nan, -np.inf]
    with pytest.raises(InputError, match="3 of 20 rows"):
        as_features(features, "real features")


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2), (3, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="shape"):
        as_features(np.zeros(shape))


def test_too_few_rows_and_other_extractors_are_refused():
    with pytest.raises(InputError, match="at least 2 rows of real, got 1"):
        as_features(np.zeros((1, 4)), "real")
    with pytest.raises(InputError, match="4 in a and 5 in b"):
        as_pair(np.zeros((9, 4)), np.zeros((9, 5)), ("a", "b"))
    with pytest.raises(InputError, match="got 29: too noisy; give more, or force=True"):
        check_count(29, 30, "too noisy", force=False)
    check_count(29, 30, "too noisy", force=True)


def test_blocks_never_hold_more_than_asked():
    assert rows_per_block(1000, 4500) == 4
    assert rows_per_block(10**9) == 1
