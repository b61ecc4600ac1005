import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from synthderm.core import InputError
from synthderm.evaluation.quality.probe import fit_probe


def made_up(n=240, features=6, classes=3):
    rng = np.random.default_rng(0)
    labels = rng.choice(classes, n, p=[0.7, 0.2, 0.1])
    x = rng.normal(size=(n, features)) * 3 + 5
    x[np.arange(n), labels] += 4
    return x, labels


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_the_probe_is_that_of_scikit_learn(strength):
    x, labels = made_up()
    probe = fit_probe(x, labels, 3, strength)
    scaled = (x - x.mean(0)) / x.std(0)
    oracle = LogisticRegression(C=strength, class_weight="balanced", tol=1e-10, max_iter=10_000).fit(scaled, labels)
    assert np.allclose(probe.weight.numpy(), oracle.coef_, atol=1e-4)
    assert np.array_equal(probe.recognise(x), oracle.predict(scaled))


def test_a_feature_that_never_changes_does_no_harm():
    x, labels = made_up()
    probe = fit_probe(np.concatenate([x, np.full((len(x), 1), 7.0)], 1), labels, 3)
    assert (probe.recognise(np.concatenate([x, np.full((len(x), 1), 7.0)], 1)) == labels).mean() > 0.7


def test_a_class_without_images_is_an_error():
    x, labels = made_up()
    with pytest.raises(InputError, match="class number 3 has none"):
        fit_probe(x, labels, 4)
