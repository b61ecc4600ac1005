from collections import Counter

import pytest
import torch

from synthderm.training.lora.config import LoraConfig
from synthderm.training.lora.draws import batch_at, generator
from synthderm.training.lora.encoding import turn
from synthderm.training.lora.optimisation import learning_rate

OPTIONS = dict(examples=10, batch_size=4, variants=8, condition_dropout=0.25, seed=3)


def test_every_example_comes_once_a_round():
    places = [i for number in range(5) for i in batch_at(number, **OPTIONS).indices]
    assert Counter(places[:10]) == Counter(range(10)) == Counter(places[10:])
    assert places[:10] != places[10:]


def test_a_batch_does_not_depend_on_those_before():
    alone = batch_at(7, **OPTIONS)
    _ = [batch_at(number, **OPTIONS) for number in range(7)]
    assert batch_at(7, **OPTIONS) == alone
    assert batch_at(7, **{**OPTIONS, "seed": 4}) != alone


def test_conditions_are_dropped_and_images_turned_as_often_as_asked():
    drawn = [batch_at(number, **OPTIONS) for number in range(500)]
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
