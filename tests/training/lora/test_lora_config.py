import pytest

from synthderm.core import InputError
from synthderm.training.lora.config import LoraConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixed_precision": "bf61"}, "did you mean 'bf16'"),
        ({"optimizer": "sgd"}, "unknown optimizer"),
        ({"augmentation": "flp"}, "did you mean 'flip'"),
        ({"rank": 0}, "rank must be between 1"),
        ({"steps": 0}, "steps must be between 1"),
        ({"learning_rate": 2.0}, "learning_rate must be"),
        ({"condition_dropout": 1.0}, "condition_dropout must be"),
        ({"patience": 3, "validate_every": 0}, "patience needs a held-out loss"),
        ({"resolution": 8}, "resolution must be between 16"),
    ],
)
def test_options_that_cannot_be_used(change, message):
    with pytest.raises(InputError, match=message):
        LoraConfig("data", "base", "out", **change)


def test_the_identity_holds_what_the_weights_depend_on():
    plain = LoraConfig("data", "base", "out", steps=10)
    same = [{"output": "elsewhere"}, {"steps": 20}, {"patience": 2}, {"samples": 3}, {"resume": True}]
    other = [{"seed": 1}, {"rank": 8}, {"learning_rate": 0.1}, {"validate_every": 0}, {"batch_size": 1}, {"ema": 0.0}]
    for change in same:
        assert LoraConfig(**{"data": "data", "base": "base", "output": "out", "steps": 10, **change}).digest() == (
            plain.digest()
        )
    for change in other:
        assert LoraConfig(**{"data": "data", "base": "base", "output": "out", "steps": 10, **change}).digest() != (
            plain.digest()
        )
    falling = [LoraConfig("data", "base", "out", steps=n, lr_schedule="cosine").digest() for n in (10, 20)]
    assert falling[0] != falling[1]


def test_defaults_fill_what_is_not_given():
    config = LoraConfig("data", "base", "out", rank=8, learning_rate=0.5)
    filled = config.filled({"learning_rate": 0.1, "resolution": 64, "family": "sd"})
    assert (filled.learning_rate, filled.resolution, filled.family, filled.alpha) == (0.5, 64, "sd", 8.0)
