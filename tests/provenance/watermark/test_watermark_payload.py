"""The payload's 36 bits."""

import pytest

from synthderm.core import InputError
from synthderm.provenance.watermark import Payload
from synthderm.provenance.watermark.payload import GENERATORS, UNLISTED


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("run", [0, 0x12AB34, 2**24 - 1])
def test_symbols_say_the_payload_again(generator, run):
    payload = Payload(version=15, generator=generator, run=run)
    assert Payload.from_symbols(payload.to_symbols()) == payload


def test_the_published_numbers_of_the_generators_stay():
    assert [
        GENERATORS.index(name) for name in ("other", "simulator", "flow", "flux", "sd3", "sd", "translator", "tone")
    ] == [*range(8)]
    assert Payload(1, "simulator", 0xABCDEF).to_symbols() == (0x101, 0xABC, 0xDEF)


def test_a_number_beyond_the_table_is_read_as_unlisted_and_cannot_be_written():
    payload = Payload.from_symbols((0x1FF, 0, 5))
    assert (payload.generator, payload.run) == (UNLISTED, 5)
    with pytest.raises(InputError, match="unlisted"):
        payload.to_symbols()


def test_a_run_is_the_first_six_digits_of_its_digest():
    assert Payload.of_run("flow", "0a1b2c3d4e").run == 0x0A1B2C


@pytest.mark.parametrize("fields", [{"run": 2**24}, {"run": -1}, {"version": 16}, {"generator": "flwo"}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(InputError):
        Payload(**fields)
