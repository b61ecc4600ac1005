"""Reading one image: first as it is, then, if asked, every crop and small turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from .keys import Key
from .message import Message, read_message
from .pattern import Pattern
from .payload import Payload
from .search import search_crops, search_turns
from .statistic import FULL, Window, presence_features, presence_log10_p
from .view import MIN_SIDE, Views, trend

Search = Literal["full", "fast"]
Verdict = Literal["synthetic", "not_found", "undecided"]

DEFAULT_FPR = 1e-6
SUSPICIOUS = 1e-3
"""p-values between the false-positive rate and this are evidence, but not enough: undecided."""

MIN_CONFIDENCE = 0.9
"""A payload that is less sure than this is not reported: a wrong run is worse than none."""

MIN_TEXTURED_SHARE = 0.05
"""Share of the frame that must differ from its surroundings by a grey step for a missing mark to mean anything."""

_SMALLEST_P = 1e-300
_WEIGHTS = {"direct": 0.5, "crop": 0.25, "turn": 0.25}  # of the full search; they sum to 1


@dataclass(frozen=True)
class Detection:
    """What was found in one image.

    Attributes:
        verdict: "synthetic" if ``p_value`` is at most the false-positive rate. "undecided" if not, and either the image
            cannot show a mark (its shorter side is below 32 px, or less than 5 % of its luma differs from its
            surroundings by one grey step: black, flat, blank; such an image is read, but not searched), or ``p_value``
            is at most 1e-3. Else "not_found"; with the fast search this says nothing of crops and small turns.
        p_value: for any image, an upper bound of the probability that a key drawn at random makes it look at least as
            marked, corrected for the readings and for every window that the search may try. In (0, 1].
        payload: what the mark says; None where no mark was found or the payload is not sure.
        payload_p_value: for any image without a payload and a random key, an upper bound of the probability that some
            word scores as high. In (0, 1].
        payload_confidence: modelled probability that the payload is right, if there is one. In [0, 1].
        how: "direct" (as it is, including any rescaling, flip and quarter turn) or "searched".
        geometry: the part of the original frame that the image shows; the whole if direct.
        key_id: of the key that was used.
    """

    verdict: Verdict
    p_value: float
    payload: Payload | None
    payload_p_value: float
    payload_confidence: float
    how: Literal["direct", "searched"]
    geometry: Window
    key_id: str


@dataclass(frozen=True)
class _Reading:
    """log10 of a corrected p-value, and the message that was read with it."""

    log10_p: float
    message: Message
    window: Window


def read_image(image: Image.Image, key: Key, fpr: float, search: Search) -> Detection:
    """Look for the mark of ``key`` in an RGB image.

    The direct reading is tried first; with ``search="full"`` the windows follow unless it has found the mark.
    """
    if min(image.size) < MIN_SIDE:
        return _nothing(key)
    views, pattern = Views(image), Pattern.of(key)
    is_blank = _is_blank(views)
    share = math.log10(_WEIGHTS["direct"]) if search == "full" else 0.0
    best = _direct(views, pattern, share)
    if search == "full" and best.log10_p > math.log10(fpr) and not is_blank:
        best = min(best, *_searched(views, pattern, fpr), key=lambda reading: reading.log10_p)
    return _detection(best, key, fpr, is_blank)


def _is_blank(views: Views) -> bool:
    luma = views.planes()[0]
    steps = abs(luma - trend(luma)) >= 1.0
    return float(steps.mean()) < MIN_TEXTURED_SHARE


def _direct(views: Views, pattern: Pattern, log10_share: float) -> _Reading:
    """Presence and payload, half the weight each."""
    frame = views.frame()
    features = presence_features(frame)
    message = read_message(frame, features, pattern)
    log10_p = min(presence_log10_p(features, pattern), message.log10_p) - math.log10(0.5)
    return _Reading(min(0.0, log10_p - log10_share), message, FULL)


def _searched(views: Views, pattern: Pattern, fpr: float) -> list[_Reading]:
    readings = []
    for family in ("turn", "crop"):
        enough = math.log10(fpr * _WEIGHTS[family])
        found = search_turns(views, pattern) if family == "turn" else search_crops(views, pattern, enough)
        features = presence_features(found.frame, found.window)
        message = read_message(found.frame, features, pattern, found.window)
        log10_p = min(0.0, found.log10_p - math.log10(_WEIGHTS[family]))
        readings.append(_Reading(log10_p, message, found.window))
        if found.log10_p <= enough:
            break
    return readings


def _detection(reading: _Reading, key: Key, fpr: float, is_blank: bool) -> Detection:
    p_value, message = max(10**reading.log10_p, _SMALLEST_P), reading.message
    verdict: Verdict = "undecided" if is_blank or p_value <= SUSPICIOUS else "not_found"
    if p_value <= fpr:
        verdict = "synthetic"
    is_sure = verdict == "synthetic" and message.confidence >= MIN_CONFIDENCE
    return Detection(
        verdict,
        p_value,
        message.payload if is_sure else None,
        max(10**message.log10_p, _SMALLEST_P),
        message.confidence,
        "direct" if reading.window == FULL else "searched",
        reading.window,
        key.id,
    )


def _nothing(key: Key) -> Detection:
    """For an image that is too small to be read."""
    return Detection("undecided", 1.0, None, 1.0, 0.0, "direct", FULL, key.id)
