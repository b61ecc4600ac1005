"""Reading the payload: every word in every orientation, by Fourier transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .coordinates import ORIENTATIONS, PAYLOAD, PRESENCE, Waves
from .pattern import SEQUENCE, SYMBOL_VALUES, Pattern
from .payload import SYMBOLS, Payload
from .statistic import FULL, Window, cosine, cosines_of, evened, log10_tail

_PARTS = 4  # of the band, in which the worth of a wave is measured


@dataclass(frozen=True)
class Message:
    """The most likely word.

    Attributes:
        symbols: the word.
        orientation: index into :data:`~.coordinates.ORIENTATIONS` in which it was read.
        log10_p: log10 of the p-value of "no payload of this key is in the image": for a random key, the probability
            that one of the 2**36 words scores as high in one of the eight orientations is below 10**log10_p.
        confidence: probability that every symbol is right, given that a payload is there and Gaussian noise (the
            softmax of the scores). A model, not a bound.
    """

    symbols: tuple[int, ...]
    orientation: int
    log10_p: float
    confidence: float

    @property
    def payload(self) -> Payload:
        """What the word says."""
        return Payload.from_symbols(self.symbols)


def payload_features(frame: np.ndarray, window: Window = FULL) -> np.ndarray:
    """(3, waves): the evened coefficients of the waves that carry the payload, of a whitened frame."""
    square = cosines_of(window.top, window.height) @ frame @ cosines_of(window.left, window.width).T
    return evened(square[:, PAYLOAD.k, PAYLOAD.l].astype(np.float64), PAYLOAD)


def reading_weights(presence: np.ndarray, pattern: Pattern) -> np.ndarray:
    """(3, payload waves): what each is worth, from how well the presence is read in its channel and part of the band.

    The matched filter's t / (1 - t^2), for the presence cosine t of a quarter of the band. The presence direction is
    drawn independently of the payload's sequences, so weights taken from it leave the payload's p-value valid.
    """
    weights = np.full((3, _PARTS), 1e-3)
    for channel in range(3):
        for part in range(_PARTS):
            here = _part(PRESENCE) == part
            t = max(0.0, cosine(presence[channel, here], pattern.presence[channel, here]))
            weights[channel, part] += t / (1.03 - t * t)
    return (weights / weights.max())[:, _part(PAYLOAD)]


def _part(waves: Waves) -> np.ndarray:
    return waves.ring * _PARTS // (PAYLOAD.ring.max() + 1)


def read_message(frame: np.ndarray, presence: np.ndarray, pattern: Pattern, window: Window = FULL) -> Message:
    """The most likely word of a whitened frame.

    Args:
        frame: (3, SIDE, SIDE).
        presence: features of the same frame, for the weights.
        pattern: of the key.
        window: where the frame lies in the original.
    """
    features = payload_features(frame, window) * reading_weights(presence, pattern)
    turned = np.stack([(features[:, order] * sign).ravel() for order, sign in ORIENTATIONS])
    scores = _scores(turned, pattern)
    best = int(scores.max(2).sum(1).argmax())
    symbols = tuple(int(s) for s in scores[best].argmax(1))
    t = cosine(turned[best], pattern.code_word(symbols).ravel())
    words = SYMBOLS * math.log10(SYMBOL_VALUES) + math.log10(len(ORIENTATIONS))
    log10_p = min(0.0, log10_tail(t, turned.shape[1]) + words)
    return Message(symbols, best, log10_p, _confidence(scores[best], turned[best], t))


def _scores(turned: np.ndarray, pattern: Pattern) -> np.ndarray:
    """(orientations, symbols, values): inner products with every rotation of the sequences (correlation theorem)."""
    spectra = np.fft.rfft(turned.astype(np.float32), SEQUENCE)[:, None] * pattern.spectra
    return np.fft.irfft(spectra, SEQUENCE)[..., :SYMBOL_VALUES]


def _confidence(scores: np.ndarray, features: np.ndarray, t: float) -> float:
    """Product of the symbols' posterior probabilities, for features = gain * word + white noise and a flat prior.

    The features have energy |f|^2 of which the share t^2 is the word's, so gain = |f| t / sqrt(m) for a word of energy
    m, and the noise has the variance |f|^2 (1 - t^2) / m.
    """
    m, length = features.size, float(np.linalg.norm(features))
    if length == 0 or t <= 0:
        return 0.0
    logit = scores * (t * math.sqrt(m / SYMBOLS) / (length * max(1 - t * t, 1e-6)))
    logit -= logit.max(1, keepdims=True)
    return float(np.prod(1 / np.exp(logit).sum(1)))
