import pytest
import torch
from torch import nn

from synthderm.core import InputError
from synthderm.training import ClassifierConfig, make_classifier, predict, train_classifier
from synthderm.training.loop import Average, batches

TINY = ClassifierConfig(steps=30, batch_size=16, size=16, learning_rate=1e-2, ema=0.8)


@pytest.fixture(scope="module")
def discs():
    """Three classes of 16 px images that differ in the colour of a disc."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 3
    images = torch.randint(60, 200, (96, 3, 16, 16), generator=generator)
    for i, label in enumerate(labels):
        images[i, label, 4:12, 4:12] = 250
    return images.to(torch.uint8), labels


def trained(discs, seed=1, **more):
    torch.manual_seed(seed)
    return train_classifier(make_classifier("small", 3), *discs, TINY, seed, **more)


def test_it_learns(discs):
    preds = predict(trained(discs), discs[0])
    assert preds.dtype == torch.float64
    assert torch.allclose(preds.sum(1), torch.ones(96, dtype=torch.float64))
    assert (preds.argmax(1) == discs[1]).float().mean() > 0.9


def test_the_same_seed_gives_the_same_weights(discs):
    first, again, other = (predict(trained(discs, seed), discs[0][:8]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_pool_is_all_that_is_drawn_from(discs):
    images, labels = discs
    spoilt = labels.clone()
    spoilt[48:] = 0
    kept = trained((images, labels), pool=torch.arange(48))
    same = trained((images, spoilt), pool=torch.arange(48))
    assert torch.equal(predict(kept, images), predict(same, images))


def test_validation_chooses_the_best_weights(discs):
    network = trained(discs, validation=(discs[0][:30], discs[1][:30]))
    assert network.validation_auroc > 0.9
    assert trained(discs).validation_auroc is None


def test_bf16_trains_the_same_task(discs):
    torch.manual_seed(1)
    config = ClassifierConfig(steps=30, batch_size=16, size=16, learning_rate=1e-2, ema=0.8, precision="bf16")
    network = train_classifier(make_classifier("small", 3), *discs, config, 1)
    assert (predict(network, discs[0]).argmax(1) == discs[1]).float().mean() > 0.9


def test_bad_input(discs):
    images, labels = discs
    with pytest.raises(InputError, match="got an empty pool"):
        trained(discs, pool=torch.empty(0, dtype=torch.int64))
    with pytest.raises(InputError, match="as many labels as images, got 5 and 96"):
        trained((images, labels[:5]))
    with pytest.raises(InputError, match="unknown augmentation 'clasic'; did you mean 'classic'"):
        ClassifierConfig(augmentation="clasic")
    with pytest.raises(InputError, match="precision must be 'fp32' or 'bf16'"):
        train_classifier(make_classifier("small", 3), images, labels, ClassifierConfig(precision="fp8"), 0)

    class Endless(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(float("inf")))

        def forward(self, x):
            return self.weight * x.mean((2, 3))

    with pytest.raises(InputError, match="unstable at step 1: the loss is nan"):
        train_classifier(Endless(), images, labels, TINY, 0)


def test_batches_use_the_pool_up_before_they_repeat():
    pool = torch.tensor([3, 5, 5, 7])
    drawn = torch.cat(list(batches(pool, 2, 4, torch.Generator().manual_seed(0))))
    assert sorted(drawn[:4].tolist()) == sorted(drawn[4:].tolist()) == [3, 5, 5, 7]


def test_average_follows_the_weights():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = Average(network, 0.5)
    nn.init.ones_(network.weight)
    for _ in range(3):
        average.update(network)
    # min(.5, (1 + t) / (10 + t)) = 2/11, 3/12, 4/13 of the old value is kept
    assert average.state["weight"].item() == pytest.approx(1 - 2 / 11 * 3 / 12 * 4 / 13)


class TestZoo:
    def test_import_path(self):
        network = make_classifier("synthderm.models.networks:ResNet", 4)
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, 4)

    def test_a_transformers_folder(self, tmp_path):
        import transformers as t

        config = t.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                             image_size=32, patch_size=16, num_labels=2)  # fmt: skip
        t.ViTForImageClassification(config).save_pretrained(tmp_path)
        assert make_classifier(f"transformers:{tmp_path}", 5)(torch.rand(2, 3, 32, 32)).shape == (2, 5)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("smal", "unknown classifier 'smal'; expected one of: small"),
            ("nowhere:thing", "cannot load the classifier"),
            ("transformers:/nowhere", "cannot load a classifier from the folder /nowhere"),
        ],
    )
    def test_what_cannot_be_made_is_said(self, name, message):
        with pytest.raises(InputError, match=message):
            make_classifier(name, 2)
