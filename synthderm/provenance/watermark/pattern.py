"""The pattern that a key and a payload make."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .coordinates import AMPLITUDE, HIGHEST, PAYLOAD, PRESENCE, cosines
from .keys import Key
from .payload import SYMBOL_BITS, SYMBOLS

RGB_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Luma and the two colour differences of JPEG (JFIF 1.02; ITU-R BT.601)."""

YCC_TO_RGB = np.linalg.inv(RGB_TO_YCC)
CHANNEL_SHARE = np.array([0.76, 0.12, 0.12])  # of the energy, in RGB, that goes to Y, Cb and Cr
PRESENCE_SHARE = 0.6  # of each channel's energy; the rest carries the payload
SMALL = 96  # px; images with a shorter side have fewer pixels to spread the mark over, so that JPEG hurts it more
SMALL_CHANNEL_SHARE = np.array([0.82, 0.09, 0.09])
SMALL_PRESENCE_SHARE = 0.75
SYMBOL_VALUES = 1 << SYMBOL_BITS
SEQUENCE = 6000
"""Length of a symbol's sequence: the waves of three channels and a few more, a product of small primes."""


class Pattern:
    """The directions that a key draws in the space of wave coefficients.

    Attributes:
        presence: (3, waves) standard normal, for Y, Cb, Cr.
        sequences: (3 symbols, SEQUENCE) standard normal. Symbol number s of value v is embedded as its sequence rotated
            by v places (a code of cyclic shifts: all values are read by one Fourier transform).
    """

    def __init__(self, key: Key) -> None:
        n = len(PRESENCE)
        self.presence = key.gaussians("presence", 3 * n).reshape(3, n)
        self.sequences = key.gaussians("payload", SYMBOLS * SEQUENCE).reshape(SYMBOLS, SEQUENCE)
        self.spectra = np.fft.rfft(self.sequences).conj().astype(np.complex64)

    @classmethod
    def of(cls, key: Key) -> Pattern:
        """The pattern of ``key``; the last few are kept."""
        return _pattern(key)

    def code_word(self, symbols: tuple[int, ...]) -> np.ndarray:
        """Sum of the rotated sequences, (3, waves): standard normal whatever the symbols."""
        rolled = [np.roll(sequence, symbol) for sequence, symbol in zip(self.sequences, symbols, strict=True)]
        return np.sum(rolled, axis=0)[: 3 * len(PAYLOAD)].reshape(3, -1) / np.sqrt(SYMBOLS)

    def coefficients(self, symbols: tuple[int, ...] | None, presence_share: float) -> np.ndarray:
        """(3, HIGHEST + 1, HIGHEST + 1) coefficients of the waves, of unit energy in each of Y, Cb, Cr.

        Without symbols, of the presence alone.
        """
        square = np.zeros((3, HIGHEST + 1, HIGHEST + 1))
        half = np.where(PRESENCE.k == PRESENCE.l, 0.5, np.sqrt(0.5))
        presence = half * self.presence * np.sqrt(presence_share / len(PRESENCE))
        square[:, PRESENCE.k, PRESENCE.l] = presence
        square += square.transpose(0, 2, 1)
        if symbols is not None:
            square[:, PAYLOAD.k, PAYLOAD.l] = self.code_word(symbols) * np.sqrt((1 - presence_share) / len(PAYLOAD))
        square[0] *= AMPLITUDE
        return square

    def image(self, height: int, width: int, symbols: tuple[int, ...] | None) -> np.ndarray:
        """The pattern in sRGB steps, scaled to a root mean square of about 1.

        Rounded to 2**-10: sums of floating-point products may differ in the last digit between machines and numbers
        of threads, their rounded values do not.

        Returns:
            (3, height, width) float32.
        """
        is_small = min(height, width) < SMALL
        share = SMALL_CHANNEL_SHARE if is_small else CHANNEL_SHARE
        coefficients = self.coefficients(symbols, SMALL_PRESENCE_SHARE if is_small else PRESENCE_SHARE)
        weights = np.sqrt(share * height * width / (YCC_TO_RGB**2).mean(0))
        ycc = cosines(height).T @ (coefficients * weights[:, None, None]) @ cosines(width)
        rgb = np.tensordot(YCC_TO_RGB, ycc, 1)
        return (np.rint(rgb * 1024) / 1024).astype(np.float32)


@lru_cache(maxsize=8)
def _pattern(key: Key) -> Pattern:
    return Pattern(key)


@lru_cache(maxsize=8)
def pattern_image(key: Key, height: int, width: int, symbols: tuple[int, ...] | None) -> np.ndarray:
    """:meth:`Pattern.image` of a key, kept for the next image of the same size and payload."""
    return Pattern.of(key).image(height, width, symbols)
