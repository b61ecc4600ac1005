"""The p-value against scipy, against simulation, and on images that were made to be difficult."""

import numpy as np
import pytest
from PIL import Image
from scipy import special
from watermark_images import drawn_skin

from synthderm.provenance.watermark import Key
from synthderm.provenance.watermark.coordinates import HIGHEST, ORIENTATIONS, PAYLOAD, PRESENCE, SIDE, cosines
from synthderm.provenance.watermark.lattice import log10_weight, on_lattice
from synthderm.provenance.watermark.pattern import Pattern
from synthderm.provenance.watermark.statistic import Window, log10_tail, presence_features, presence_log10_p
from synthderm.provenance.watermark.view import normalised, whitened


def exact_tail(t, n):
    """P(first coordinate of a uniform point on the sphere >= t), Cai, Fan & Jiang 2013."""
    half = special.betainc((n - 1) / 2, 0.5, 1 - t * t) / 2
    return half if t >= 0 else 1 - half


@pytest.mark.parametrize("n", [10, 133, 322, 966, 5505])
def test_the_tail_is_an_upper_bound_and_a_close_one(n):
    for z in (-1, 0, 0.01, 0.5, 1, 2, 3, 5, 7):
        t = z / np.sqrt(n)
        if t >= 1:
            continue
        bound, exact = 10 ** log10_tail(t, n), exact_tail(t, n)
        assert bound >= exact
        if z >= 5:
            assert bound < exact * (1 + 1.2 / z**2)


def test_the_tail_stays_finite_at_the_ends():
    assert log10_tail(0.0, 100) == log10_tail(-1.0, 100) == 0
    assert np.isfinite(log10_tail(1.0, 5505))
    assert log10_tail(0.9, 322) < log10_tail(0.5, 322) < log10_tail(0.2, 322)


@pytest.mark.parametrize("kind", ["skin", "one wave", "gradient"])
def test_alarms_of_random_keys_are_no_more_than_stated_on_any_fixed_image(kind):
    y, x = np.indices((96, 96))
    pixels = {
        "skin": np.asarray(drawn_skin(3)),
        "one wave": np.repeat((128 + 90 * np.cos(np.pi * 20 * (x + 0.5) / 96))[..., None], 3, 2).astype(np.uint8),
        "gradient": np.stack([x * 2, y * 2, x + y], -1).astype(np.uint8),
    }[kind]
    features = presence_features(whitened(normalised(Image.fromarray(pixels))))
    rng = np.random.default_rng(0)
    p = np.array([presence_log10_p(features, _RandomPattern(rng)) for _ in range(4000)])
    for level, allowed in ((1, 450), (2, 62), (3, 14)):  # nominal 400, 40, 4; above by 3.5 deviations and more
        assert (p <= -level).sum() <= allowed


class _RandomPattern:
    def __init__(self, rng):
        self.presence = rng.standard_normal((3, len(PRESENCE)))


def test_presence_features_are_the_same_in_all_eight_orientations_and_most_sizes():
    image = drawn_skin(1, SIDE)
    expected = presence_features(whitened(normalised(image)))
    for turn in [None, *Image.Transpose]:
        turned = image if turn is None else image.transpose(turn)
        features = presence_features(whitened(normalised(turned)))
        assert np.corrcoef(features.ravel(), expected.ravel())[0, 1] > 0.9999
    wide = presence_features(whitened(normalised(image.resize((400, 220), Image.Resampling.BICUBIC))))
    assert np.corrcoef(wide[0], expected[0])[0, 1] > 0.97


def test_a_flat_image_has_no_features_and_p_is_one():
    features = presence_features(whitened(normalised(Image.new("RGB", (64, 64), (120, 90, 80)))))
    assert presence_log10_p(features, Pattern(Key.public())) == 0


def test_the_waves_are_orthonormal_and_the_eight_orientations_are_those_of_the_image():
    waves = cosines(SIDE)
    assert np.allclose(waves @ waves.T, np.eye(HIGHEST + 1))
    frame = np.random.default_rng(0).standard_normal((SIDE, SIDE))

    def coefficients(pixels):
        return (waves @ pixels @ waves.T)[PAYLOAD.k, PAYLOAD.l]

    looks = [coefficients(f) for f in (frame, frame[::-1], frame[:, ::-1], frame[::-1, ::-1])]
    looks += [coefficients(f.T) for f in (frame, frame[::-1], frame[:, ::-1], frame[::-1, ::-1])]
    for look in looks:
        assert sum(np.allclose(look, coefficients(frame)[order] * sign) for order, sign in ORIENTATIONS) == 1


def _distinct(windows, name):
    return {round(getattr(window, name), 6) for window in windows}


def test_the_weights_of_the_crops_sum_to_one():
    """Snapping can return so many places for each size; the two axes are alike and independent."""
    total = 0.0
    for size in _distinct([on_lattice(Window(s, 1)) for s in np.linspace(0.2, 1, 400)], "height"):
        places = _distinct([on_lattice(Window(size, 1, top)) for top in np.linspace(0, 1, 330)], "top")
        total += len(places) * 10 ** (log10_weight(Window(size, size)) / 2)
    assert 0.99 < total <= 1 + 1e-9


def test_the_weights_of_the_turns_sum_to_one():
    angles = _distinct([on_lattice(Window(angle_deg=a)) for a in np.linspace(-30, 30, 2000)], "angle_deg") - {0.0}
    sizes = _distinct([on_lattice(Window(s, 1, 0, 0, 3)) for s in np.linspace(0, 2, 2000)], "height")
    places = _distinct([on_lattice(Window(1, 1, t, 0, 3)) for t in np.linspace(-1, 1, 2000)], "top")
    total = len(angles) * len(sizes) ** 2 * len(places) ** 2 * 10 ** log10_weight(Window(angle_deg=3))
    assert 0.95 < total <= 1 + 1e-9
