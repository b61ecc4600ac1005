"""Keys: where they come from, that they stay secret, and that what they draw is normal and fixed for ever."""

import os
import stat

import numpy as np
import pytest
from scipy import stats

from synthderm.core import InputError
from synthderm.provenance.watermark import Key
from synthderm.provenance.watermark.keys import ENVIRONMENT_VARIABLE

SECRET = bytes(range(32))


def test_a_saved_key_is_loaded_again_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "my.key"
    Key(SECRET).save(path)
    assert Key.load(path) == Key(SECRET)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "my.key"
    Key(SECRET).save(path)
    with pytest.raises(InputError, match="exists already"):
        Key.random().save(path)
    assert Key.load(path) == Key(SECRET)


def test_the_environment_variable_holds_digits_or_a_file_and_nothing_means_public(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    assert Key.find().is_public
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, SECRET.hex())
    assert Key.find() == Key(SECRET)
    Key(SECRET).save(tmp_path / "k")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "k"))
    assert Key.find() == Key(SECRET)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(InputError, match="cannot be read"):
        Key.find()


def test_what_is_shown_of_a_key_does_not_hold_its_secret():
    key = Key(SECRET)
    assert SECRET.hex() not in repr(key)
    assert len(key.id) == 8
    assert key.id not in SECRET.hex()
    assert key.id != Key.random().id


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_a_key_of_another_length_or_alphabet_is_refused_without_repeating_it(text):
    with pytest.raises(InputError, match="expected a watermark key") as error:
        Key.from_hex(text)
    assert not text or text not in str(error.value)


def test_the_numbers_drawn_are_standard_normal_and_differ_by_key_and_purpose():
    numbers = Key(SECRET).gaussians("a", 20001)
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    for others in (Key(SECRET).gaussians("b", 20001), Key.public().gaussians("a", 20001)):
        assert abs(np.corrcoef(numbers, others)[0, 1]) < 0.04


def test_the_numbers_drawn_never_change():
    assert Key(SECRET).gaussians("presence", 3).tolist() == pytest.approx(REFERENCE, abs=2**-19)


REFERENCE = [1.226262092590332, -0.057521820068359375, 0.7186765670776367]
