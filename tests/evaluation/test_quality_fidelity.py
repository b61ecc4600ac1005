from dataclasses import replace

import numpy as np
import pytest
import torch
from quality_sets import centre_colour, real_folder, synthetic_folder

from synthderm.core import InputError
from synthderm.evaluation.quality.fidelity import (
    Recognised,
    fidelity_figures,
    held_out_recall,
    probe_fit,
    recognise,
    usable_classes,
)
from synthderm.evaluation.quality.folds import real_folds, synthetic_folds
from synthderm.evaluation.quality.networks import NetworkStore, even_pool, network_fit, small_images
from synthderm.evaluation.quality.shares import macro_figure, mean_figure, share_figure
from synthderm.evaluation.sets import open_set
from synthderm.training.classifier import ClassifierConfig


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return open_set(real_folder(tmp_path_factory.mktemp("real") / "r", n=120), name="real")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return open_set(synthetic_folder(tmp_path_factory.mktemp("synthetic") / "s", n=105), name="synthetic")


def features_of(synthetic, real):
    return {
        "synthetic": centre_colour(synthetic.images().double()).numpy(),
        "real": centre_colour(real.images().double()).numpy(),
    }


def probed(synthetic, real, features=None):
    fit = probe_fit(features or features_of(synthetic, real), real.labels.numpy(), len(real.classes))
    return recognise(synthetic, real, fit, folds=5, seed=0)


def test_no_model_judges_a_group_that_it_was_trained_on(synthetic, real):
    seen = []

    def fit(chosen, fold):
        groups = {real.groups[i] for i in chosen}

        def model(role, indices):
            if role == "real":
                assert not groups & {real.groups[i] for i in indices}
            seen.append((role, len(indices)))
            return np.zeros(len(indices), np.int64)

        return model

    recognise(synthetic, real, fit, folds=5, seed=0)
    assert sum(n for role, n in seen if role == "real") == len(real)
    assert sum(n for role, n in seen if role == "synthetic") == len(synthetic)


def test_an_image_made_from_a_real_one_goes_to_the_model_that_has_not_seen_it(synthetic, real):
    folds = real_folds(real, 5, seed=0)
    derived = replace(
        synthetic,
        records=tuple(replace(r, group=real.records[i].group) for i, r in enumerate(synthetic.records)),
    )
    assert np.array_equal(synthetic_folds(derived, real, folds), folds[: len(derived)])
    dealt = synthetic_folds(synthetic, real, folds)
    assert np.bincount(dealt, minlength=5).min() > 8


def test_classes_that_are_shown_are_recognised_and_others_are_not(synthetic, real):
    right = fidelity_figures(probed(synthetic, real), synthetic, real, seed=0)
    assert right["macro"]["synthetic"]["value"] > 0.9
    assert right["macro"]["real"]["value"] > 0.9
    turned = {"nv": "mel", "mel": "bcc", "bcc": "nv"}
    wrong_set = replace(synthetic, records=tuple(replace(r, diagnosis=turned[r.diagnosis]) for r in synthetic.records))
    wrong = fidelity_figures(probed(wrong_set, real), wrong_set, real, seed=0)
    assert wrong["macro"]["synthetic"]["value"] < 0.1
    assert np.trace(wrong["confusion"]["counts"]) < 10
    assert wrong["confusion"]["counts"][1][0] > 30  # asked for mel, shows nv


def test_shuffled_labels_are_recognised_by_chance(synthetic, real):
    rng = np.random.default_rng(0)
    features = features_of(synthetic, real)
    features["synthetic"] = features["synthetic"][rng.permutation(len(synthetic))]
    found = fidelity_figures(probed(synthetic, real, features), synthetic, real, seed=0)
    low, high = found["macro"]["synthetic"]["interval"]
    assert low < 1 / 3 < high


def test_a_class_that_the_real_set_lacks_is_left_out_and_named(tmp_path, real):
    synthetic = open_set(synthetic_folder(tmp_path / "s", n=60, classes=("nv", "vasc")))
    found = probed(synthetic, real)
    assert (found.synthetic[found.requested < 0] == -1).all()
    figures = fidelity_figures(found, synthetic, real, seed=0)
    assert figures["left_out"]["synthetic"] == {"vasc": 30}
    assert list(figures["synthetic"]) == ["nv"]
    assert figures["confusion"]["rows"] == ["nv"]
    assert figures["macro_classes"] == ["nv"]


def test_a_class_with_fewer_groups_than_folds_is_no_class(tmp_path):
    real = open_set(real_folder(tmp_path / "r", n=48, per_group=4))
    assert usable_classes(real, 5) == ()
    assert usable_classes(real, 4) == ("nv", "mel", "bcc")


def test_recall_on_what_the_set_holds_back(synthetic, real):
    found = probed(synthetic, real)
    apart = held_out_recall(found, real)
    of_val = [i for i, r in enumerate(real.records) if r.split == "val" and r.diagnosis == "nv"]
    assert apart["nv"]["n"] == len(of_val)
    none = replace(real, records=tuple(replace(r, split=None) for r in real.records))
    assert held_out_recall(found, none) is None


class Colours(torch.nn.Module):
    """Linear in the colour of the centre; learns in a few steps."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.Linear(3, num_classes)

    def forward(self, x):
        return self.head((centre_colour(x) - 0.4) * 10)


def test_a_network_is_trained_on_the_other_folds_and_kept(tmp_path, monkeypatch, synthetic, real):
    monkeypatch.setattr("quality_sets.Colours", Colours, raising=False)
    config = ClassifierConfig(steps=60, size=16, learning_rate=0.1, augmentation="none")
    images = {"synthetic": small_images(synthetic, 16), "real": small_images(real, 16)}
    calls = []

    def run():
        fit = network_fit(
            "quality_sets:Colours", images, real.labels.numpy(), 3, config, NetworkStore(tmp_path), "key", 0,
            lambda done, total: calls.append(done),
        )  # fmt: skip
        return recognise(synthetic, real, fit, folds=2, seed=0)

    first = run()
    trained = len(calls)
    second = run()
    assert (first.synthetic == first.requested).mean() > 0.9
    assert trained == 120
    assert len(calls) == trained
    assert np.array_equal(first.synthetic, second.synthetic)
    assert np.array_equal(first.real, second.real)


def test_kept_weights_that_do_not_fit_are_an_error(tmp_path):
    store = NetworkStore(tmp_path)
    store.get(torch.nn.Linear(2, 3), "key", lambda network: network)
    with pytest.raises(InputError, match="delete it"):
        store.get(torch.nn.Linear(2, 4), "key", lambda network: network)


def test_every_class_is_drawn_as_often():
    labels = np.array([0] * 7 + [1] * 3 + [2])
    drawn = labels[even_pool(labels).numpy()]
    assert np.bincount(drawn).tolist() == [7, 7, 7]


def test_small_images_are_the_centre_square():
    class Wide:
        def batches(self, batch_size):
            x = torch.zeros(1, 3, 8, 16, dtype=torch.uint8)
            x[..., 4:12] = 200
            yield x

    assert (small_images(Wide(), 4) == 200).all()


def test_the_interval_of_a_share_counts_a_lesion_once():
    hits = np.arange(60) % 2 == 0
    own, grouped = share_figure(hits, np.arange(60)), share_figure(hits, np.arange(60) // 4)
    assert own["value"] == grouped["value"] == 0.5
    assert np.diff(grouped["interval"])[0] > 1.7 * np.diff(own["interval"])[0]
    assert share_figure(hits[:29], np.arange(29))["note"] == "insufficient"


def test_the_interval_of_a_mean_is_the_usual_one_without_groups():
    values = np.random.default_rng(0).normal(size=100)
    found = mean_figure(values, np.arange(100))
    half = 1.984 * values.std(ddof=1) / 10
    assert found["interval"] == pytest.approx([values.mean() - half, values.mean() + half], abs=1e-3)
    grouped = mean_figure(np.repeat(values, 3), np.arange(300) // 3)
    assert grouped["interval"] == pytest.approx(found["interval"], abs=1e-9)


def test_the_macro_share_weighs_classes_alike():
    truth = np.array([0] * 90 + [1] * 30)
    said = np.where(truth == 0, 0, 0)
    found = macro_figure(truth, said, np.arange(120), [0, 1], seed=0)
    assert found["value"] == 0.5
    assert found["interval"] == [0.5, 0.5]
    assert macro_figure(truth, said, np.arange(120), [], seed=0)["value"] is None


def test_counts_of_the_confusion():
    class Named:
        label_names: tuple = ("a", "a", "b")
        groups: tuple = ("1", "2", "3")
        classes: tuple = ("a", "b")

    found = Recognised(("a", "b"), *(np.array(v) for v in ([0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1])))
    figures = fidelity_figures(found, Named(), Named(), seed=0)
    assert figures["confusion"] == {"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[1, 1], [0, 1]]}
    assert figures["confusion_real"]["counts"] == [[2, 0], [0, 1]]
