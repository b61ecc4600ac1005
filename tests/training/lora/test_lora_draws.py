from collections import Counter

import pytest
import torch

from synthderm.training.lora.config import LoraConfig
from synthderm.training.lora.draws import Draws, class_weights, generator
from synthderm.training.lora.encoding import turn
from synthderm.training.lora.optimisation import learning_rate

OPTIONS = dict(batch_size=4, variants=8, condition_dropout=0.25, seed=3)


def draws(weights=(1.0,) * 10, **changes):
    return Draws(weights, **{**OPTIONS, **changes})


def test_every_example_comes_once_a_round():
    run = draws()
    places = [i for number in range(5) for i in run.batch(number).indices]
    assert Counter(places[:10]) == Counter(range(10)) == Counter(places[10:])
    assert places[:10] != places[10:]


def test_a_batch_does_not_depend_on_those_before():
    alone, run = draws().batch(7), draws()
    assert [run.batch(number) for number in range(8)][7] == alone
    assert draws(seed=4).batch(7) != alone


def test_examples_come_by_their_weights():
    run = draws((1.0, 2.0, 0.5, 0.5), batch_size=4)
    found = Counter(i for number in range(400) for i in run.batch(number).indices)
    assert [found[i] / 400 for i in range(4)] == pytest.approx([1, 2, 0.5, 0.5], abs=0.08)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.8), (0.5, 2 / 3), (1.0, 0.5)])
def test_rare_classes_are_drawn_more_often(balance, share):
    weights = class_weights(["nv"] * 8 + ["mel"] * 2, balance)
    assert sum(weights[:8]) / sum(weights) == pytest.approx(share)


def test_conditions_are_dropped_and_images_turned_as_often_as_asked():
    run = draws()
    drawn = [run.batch(number) for number in range(500)]
    dropped = [d for batch in drawn for d in batch.dropped]
    assert sum(dropped) / len(dropped) == pytest.approx(0.25, abs=0.03)
    turns = Counter(v for batch in drawn for v in batch.variants)
    assert set(turns) == set(range(8))
    assert min(turns.values()) > 180


def test_generators_of_other_purposes_differ():
    numbers = {torch.rand(1, generator=generator(0, what, step)).item() for what in ("a", "b") for step in range(3)}
    assert len(numbers) == 6


def test_the_eight_turns_are_the_eight_of_the_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = {tuple(turn(image, variant).flatten().tolist()) for variant in range(8)}
    assert len(found) == 8
    assert torch.equal(turn(image, 0), image)
    assert torch.equal(turn(image, 1), image.flip(-1))


def test_the_learning_rate_warms_up_and_falls():
    config = LoraConfig("d", "b", "o", learning_rate=1.0, warmup_steps=4, steps=14, lr_schedule="cosine")
    rates = [learning_rate(config, step) for step in range(14)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[9] == pytest.approx(0.5)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    constant = LoraConfig("d", "b", "o", learning_rate=0.5, steps=14)
    assert {learning_rate(constant, step) for step in range(14)} == {0.5}
