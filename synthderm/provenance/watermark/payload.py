"""What the mark says beside "I am here": format version, generator, run."""

from __future__ import annotations

from dataclasses import dataclass

from synthderm.core import InputError
from synthderm.core.checks import unknown

GENERATORS = ("other", "simulator", "flow", "flux", "sd3", "sd", "translator", "tone")
"""Published generator ids: the place in this table is the number that is embedded. Only ever append."""

UNLISTED = "unlisted"
"""Name given when a mark carries a number that this version's table does not have."""

SYMBOLS = 3
SYMBOL_BITS = 12
_VERSION_BITS, _GENERATOR_BITS, _RUN_BITS = 4, 8, 24


@dataclass(frozen=True)
class Payload:
    """36 bits: version (4), generator (8), run (24).

    Args:
        version: of the payload's format, 0..15.
        generator: a name of :data:`GENERATORS`.
        run: 24 bits of the run's digest, 0..2**24 - 1; 0 says that there is no run.

    Raises:
        InputError: for a value out of range or an unknown generator.
    """

    version: int = 1
    generator: str = "other"
    run: int = 0

    def __post_init__(self) -> None:
        if self.generator not in (*GENERATORS, UNLISTED):
            raise unknown("generator of a watermark", self.generator, GENERATORS)
        for name, bits in (("version", _VERSION_BITS), ("run", _RUN_BITS)):
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise InputError(f"expected {name} in 0..{(1 << bits) - 1}, got {value}; use fewer bits of the digest")

    @classmethod
    def of_run(cls, generator: str, digest: str) -> Payload:
        """The payload of a run, from the hexadecimal digest that its records carry (its first six digits)."""
        return cls(generator=generator, run=int(digest[:6], 16))

    def to_symbols(self) -> tuple[int, ...]:
        """Three numbers of 12 bits, most significant first.

        Raises:
            InputError: for the generator :data:`UNLISTED`, which has no number.
        """
        if self.generator == UNLISTED:
            raise InputError("a payload of an unlisted generator cannot be embedded; name one of the table")
        generator = GENERATORS.index(self.generator)
        word = (self.version << _GENERATOR_BITS | generator) << _RUN_BITS | self.run
        return tuple(word >> SYMBOL_BITS * i & (1 << SYMBOL_BITS) - 1 for i in reversed(range(SYMBOLS)))

    @classmethod
    def from_symbols(cls, symbols: tuple[int, ...]) -> Payload:
        """The inverse of :meth:`to_symbols`."""
        word = 0
        for symbol in symbols:
            word = word << SYMBOL_BITS | symbol
        number = word >> _RUN_BITS & (1 << _GENERATOR_BITS) - 1
        name = GENERATORS[number] if number < len(GENERATORS) else UNLISTED
        return cls(word >> _RUN_BITS + _GENERATOR_BITS, name, word & (1 << _RUN_BITS) - 1)
