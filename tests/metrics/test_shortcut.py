import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from synthderm.core import InputError
from synthderm.metrics.shortcut import (
    FEATURES,
    BackgroundShortcut,
    background_statistics,
    deal_folds,
    discriminant_probabilities,
    fold_auroc,
    held_out_probabilities,
    regions,
    shortcut_intervals,
)


def scenes(labels, seed=0, size=32, tint=0.0, radius=0.0):
    """Discs on skin; ``tint`` colours the skin by class, ``radius`` makes the disc of class 1 larger."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    images, masks = [], []
    for label in labels:
        y, x = rng.uniform(0.4, 0.6, 2)
        mask = (down - y) ** 2 + (across - x) ** 2 < (rng.uniform(0.15, 0.25) + radius * label) ** 2
        skin = np.array([210, 170, 140.0]) + rng.normal(0, 12, 3) + tint * label * np.array([-1, 0, 1])
        lesion = skin * (0.5 - 0.2 * label)
        pixels = np.where(mask[..., None], lesion, skin) + rng.normal(0, 4, (size, size, 3))
        images.append(pixels.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
        masks.append(mask)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))


def balanced(n):
    return np.arange(n) % 2


def auc(images, masks, labels, groups=None):
    metric = BackgroundShortcut()
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update(
            images[part], torch.from_numpy(labels[part]), None if masks is None else masks[part],
            None if groups is None else torch.from_numpy(groups[part]),
        )  # fmt: skip
    return float(metric.compute())


def test_statistics_are_those_of_plain_numpy_over_the_pixels_that_are_left():
    images, masks = scenes([0], seed=3)
    corners, frame = (region.numpy() for region in regions(32, 32))
    values = images[0].numpy() / 255
    found = dict(zip(FEATURES, background_statistics(images, masks)[0], strict=True))
    assert len(FEATURES) == 17
    for name, where in (("corner", corners), ("edge", frame)):
        assert found[f"{name} mean red"] == pytest.approx(values[0][where].mean())
        assert found[f"{name} spread blue"] == pytest.approx(values[2][where].std())
        top = values.max(0)
        assert found[f"{name} saturation"] == pytest.approx(((top - values.min(0)) / top)[where].mean())
    grey = values.mean(0)
    assert found["vignette"] == pytest.approx(grey[corners].mean() - grey[frame].mean())
    inner = np.hypot(*np.gradient(grey))[1:-1, 1:-1][frame[1:-1, 1:-1]].mean()
    assert np.exp(found["edge gradient"]) == pytest.approx(inner, rel=0.15)  # numpy is one-sided at the border


def test_pixels_of_the_lesion_do_not_count():
    images, masks = scenes([0, 1], radius=0.0)
    masks[:, :, :16] = True  # half of everything is lesion, the margin takes more
    painted = images.clone()
    painted[masks[:, None].expand_as(images)] = 0
    assert np.allclose(
        background_statistics(images, masks)[:, :-1], background_statistics(painted, masks)[:, :-1], atol=0.02
    )  # gradient at the cut is off
    colours = [0, 1, 2, 3, 4, 5, 7]
    assert (background_statistics(images, masks)[:, colours] == background_statistics(painted, masks)[:, colours]).all()


def test_a_lesion_that_leaves_too_little_background_gives_nan():
    images, masks = scenes([0, 1])
    masks[0] = True
    found = background_statistics(images, masks)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_the_discriminant_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 5)) + np.eye(3, 5)[labels]
    found = discriminant_probabilities(x[:200], labels[:200], x[200:], 3, shrinkage=0.0)
    reference = LinearDiscriminantAnalysis(priors=np.full(3, 1 / 3)).fit(x[:200], labels[:200])
    assert np.allclose(found, reference.predict_proba(x[200:]), atol=0.01)
    shrunk = discriminant_probabilities(x[:200], labels[:200], x[200:], 3, shrinkage=1.0)
    centred = (x - x[:200].mean(0)) / x[:200].std(0)
    means = np.stack([centred[:200][labels[:200] == c].mean(0) for c in range(3)])
    nearest = ((centred[200:, None] - means) ** 2).sum(2).argmin(1)
    assert (shrunk.argmax(1) == nearest).all()  # a covariance like the unit matrix: the nearest mean


def test_folds_keep_groups_whole_and_classes_spread():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 80, 300)
    labels = groups % 4
    fold = deal_folds(labels, groups)
    assert all(len(set(fold[groups == g])) == 1 for g in set(groups))
    assert min(np.bincount(fold[labels == 2], minlength=5)) > 0
    assert (fold == deal_folds(labels, groups)).all()
    assert (fold != deal_folds(labels, groups, seed=1)).any()


def test_a_background_that_encodes_the_class_is_found_and_a_clean_one_is_chance():
    labels = balanced(160)
    assert auc(*scenes(labels, tint=25.0), labels) > 0.9
    clean = scenes(labels, seed=1)
    statistics = background_statistics(*clean)
    groups = np.arange(160)
    probabilities, fold = held_out_probabilities(statistics, labels, groups), deal_folds(labels, groups)
    macro, each = shortcut_intervals(probabilities, labels, groups, fold, resamples=200)
    assert macro.low < 0.5 < macro.high
    parts = [roc_auc_score(labels[fold == k], probabilities[fold == k, 1]) for k in range(5)]
    assert macro.value == pytest.approx(np.mean(parts))
    assert [round(interval.value, 6) for interval in each] == [round(macro.value, 6)] * 2
    assert auc(*clean, labels) == pytest.approx(macro.value)


def test_size_and_colour_of_the_lesion_are_no_shortcut():
    """Lesions of class 1 are darker and larger: with the mask, the background knows nothing of it."""
    labels = balanced(200)
    images, masks = scenes(labels, seed=2, radius=0.08)
    assert auc(images, masks, labels) < 0.65


def test_images_of_one_lesion_do_not_teach_the_classifier_their_own_background():
    """Four images of each lesion on the same skin: dealt by image, the lesion is recognised; by group it is not."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 4)
    labels = rng.permutation(np.repeat([0, 1], 30))[groups]
    features = rng.normal(size=(60, 40))[groups] + rng.normal(0, 0.05, (240, 40))
    own = held_out_probabilities(features, labels, np.arange(240))
    whole = held_out_probabilities(features, labels, groups)
    assert roc_auc_score(labels, own[:, 1]) > 0.85
    assert roc_auc_score(labels, whole[:, 1]) < 0.7


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="finite"):
        held_out_probabilities(np.full((20, 2), np.nan), balanced(20), np.arange(20))
    with pytest.raises(InputError, match="at least 2 classes"):
        held_out_probabilities(np.zeros((20, 2)), np.zeros(20, int), np.arange(20))
    with pytest.raises(InputError, match="16 px"):
        background_statistics(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="masks"):
        background_statistics(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), torch.zeros(1, 8, 8, dtype=torch.bool))


def test_where_there_is_nothing_to_learn_the_mean_is_one_half():
    """Pooled over folds it would lie below: the stratification bias."""
    rng = np.random.default_rng(0)
    labels, pooled, within = np.arange(70) % 7, [], []
    for _ in range(60):
        groups = rng.permutation(70)
        features = rng.normal(size=(70, 6))
        found = held_out_probabilities(features, labels, groups)
        pooled.append(roc_auc_score(labels, found, multi_class="ovr"))
        within.append(float(fold_auroc(found, labels, deal_folds(labels, groups))[0]))
    assert np.mean(within) == pytest.approx(0.5, abs=0.02)
    assert np.mean(pooled) < np.mean(within)
