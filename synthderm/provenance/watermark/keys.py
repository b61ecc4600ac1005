"""Keys: 32 secret bytes from which every random number of the mark is drawn."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synthderm.core import InputError

ENVIRONMENT_VARIABLE = "SYNTHDERM_WATERMARK_KEY"
PUBLIC_CANDIDATE = 102
"""Which of the numbered candidates is the published key: see :meth:`Key.public`."""

_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A watermark key. Who has it can find, write and remove the mark.

    Args:
        secret: 32 bytes. Never shown: ``repr`` and :attr:`id` leave it out.

    Raises:
        InputError: for another length.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _BYTES:
            raise InputError(
                f"expected a watermark key of {_BYTES} bytes (64 hexadecimal digits), got {len(self.secret)} bytes; "
                "make one with Key.random()"
            )

    @classmethod
    def candidate(cls, number: int) -> Key:
        """A key that anyone can work out: the SHA-256 of a published sentence with a number in it."""
        return cls(hashlib.sha256(f"synthderm public watermark key {number}".encode()).digest())

    @classmethod
    def public(cls) -> Key:
        """The published default key: with it anyone can check an image, and anyone can forge or remove the mark.

        It is candidate number :data:`PUBLIC_CANDIDATE`. The p-value holds for a key that was drawn at random,
        whatever the image; with one fixed key, images that look alike are wrong together, and some keys are worse
        than others. So this one was chosen by measurement, as the candidate whose false alarms on real skin images
        stay closest below the stated rates (``eval/watermark_null.py --choose``).
        """
        return cls.candidate(PUBLIC_CANDIDATE)

    @classmethod
    def random(cls) -> Key:
        """A new private key from the system's source of randomness."""
        return cls(secrets.token_bytes(_BYTES))

    @classmethod
    def from_hex(cls, text: str) -> Key:
        """The key of 64 hexadecimal digits; white space around them is ignored.

        Raises:
            InputError: for anything else. The message does not repeat the text.
        """
        try:
            return cls(bytes.fromhex(text.strip()))
        except ValueError as error:
            raise InputError("expected a watermark key of 64 hexadecimal digits, got something else") from error

    @classmethod
    def load(cls, path: str | Path) -> Key:
        """Read a key file.

        Raises:
            InputError: if the file cannot be read or holds no key.
        """
        try:
            text = Path(path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"expected a watermark key file, but {path} cannot be read as one: {error}") from error
        return cls.from_hex(text)

    def save(self, path: str | Path) -> None:
        """Write the key as 64 hexadecimal digits to a new file that only its owner may read (mode 0600).

        Raises:
            InputError: if the file exists (a key is never overwritten) or cannot be written.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise InputError(f"{path} exists already; a key is never overwritten, choose another name") from error
        except OSError as error:
            raise InputError(f"the key file {path} cannot be written: {error.strerror}") from error
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self.secret.hex() + "\n")

    @classmethod
    def find(cls) -> Key:
        """The key of the environment variable SYNTHDERM_WATERMARK_KEY (digits or a file), else the public one.

        Raises:
            InputError: if the variable is set but is neither.
        """
        value = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
        if not value:
            return cls.public()
        is_digits = len(value) == 2 * _BYTES and all(c in "0123456789abcdefABCDEF" for c in value)
        return cls.from_hex(value) if is_digits else cls.load(value)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the key and do not reveal it."""
        return hashlib.sha256(b"synthderm watermark key id" + self.secret).hexdigest()[:8]

    @property
    def is_public(self) -> bool:
        """Whether this is the published default."""
        return self == Key.public()

    def gaussians(self, purpose: str, n: int) -> np.ndarray:
        """``n`` independent standard normal numbers, the same on every machine and with every numpy.

        SHAKE-256 (FIPS 202) of key and purpose gives the bits, Box & Muller (1958) makes them normal; the result
        is rounded to 2**-20, which hides the last digit in which mathematical libraries differ.

        Returns:
            (n,) float64.
        """
        pairs = (n + 1) // 2
        stream = hashlib.shake_256(b"synthderm watermark " + purpose.encode() + b"\0" + self.secret).digest(16 * pairs)
        words = np.frombuffer(stream, "<u8").reshape(2, pairs) >> 11
        uniform = (words + 0.5) * 2.0**-53
        radius, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
        normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
        return np.rint(normal * 2.0**20) * 2.0**-20
