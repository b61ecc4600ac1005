"""Tones of real records: from columns, and from pixels whose tone is known because they were painted."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from synthderm.core import TONE_BANDS
from synthderm.data import Record, read_dataset
from synthderm.data.tone import PixelTone, colour_to_tone, pixel_tone, resolve_tone, stated_tone
from synthderm.functional.color import lab_to_linear, linear_to_srgb

# Mean colours of measured skin, ITA classes I to VI (ISSA: Lu et al. 2025): L*, a*, b*
SKIN = ((68.95, 6.92, 11.62), (65.43, 9.02, 14.67), (61.52, 10.08, 16.95), (56.79, 10.72, 18.76),
        (48.92, 11.03, 18.86), (35.84, 9.28, 12.10))  # fmt: skip


def rgb(lab):
    colour = linear_to_srgb(lab_to_linear(torch.tensor(lab, dtype=torch.float64)))
    return tuple(int(v) for v in (colour.clamp(0, 1) * 255).round())


def true_ita(lab):
    return math.degrees(math.atan((lab[0] - 50) / lab[2]))


def scene(lab, size=(300, 225), lesion=True, hair=False, frame=False, glare=False, noise=3.0, seed=0):
    """A picture of skin of one colour, with all that is not skin; and the mask of its lesion."""
    width, height = size
    image = Image.new("RGB", size, rgb(lab))
    draw = ImageDraw.Draw(image)
    mask = Image.new("1", size)
    if lesion:
        box = (width * 0.3, height * 0.3, width * 0.7, height * 0.7)
        draw.ellipse(box, fill=(60, 35, 30))
        ImageDraw.Draw(mask).ellipse(box, fill=1)
    rng = np.random.default_rng(seed)
    pixels = np.asarray(image).astype(float) + rng.normal(0, noise, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if hair:
        for x in rng.uniform(0, width, 25):
            draw.line((x, 0, x + rng.normal(0, 60), height), fill=(25, 18, 15), width=2)
    if glare:
        draw.rectangle((0, 0, width * 0.12, height), fill=(255, 255, 255))
    if frame:
        outside = Image.new("L", size, 255)
        ImageDraw.Draw(outside).ellipse((0, 0, width, height), fill=0)
        image.paste((2, 2, 3), mask=outside)
    return image, np.asarray(mask)


@pytest.mark.parametrize("lab", SKIN)
@pytest.mark.parametrize("with_mask", [True, False])
def test_plain_skin_is_measured_within_a_degree(lab, with_mask):
    image, mask = scene(lab)
    tone = pixel_tone(image, mask if with_mask else None)
    assert tone.ita_deg == pytest.approx(true_ita(lab), abs=1.0)
    assert not tone.from_lightness


@pytest.mark.parametrize("lab", SKIN)
@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize("what", ["hair", "frame", "glare"])
def test_hair_frame_and_glare_do_not_count_as_skin(lab, with_mask, what):
    image, mask = scene(lab, **{what: True})
    assert pixel_tone(image, mask if with_mask else None).ita_deg == pytest.approx(true_ita(lab), abs=2.0)


@pytest.mark.parametrize("lab", SKIN[:5])
def test_hair_over_half_of_the_skin(lab):
    image, mask = scene(lab, (96, 96))
    draw = ImageDraw.Draw(image)
    for x in range(0, 96, 11):
        draw.rectangle((x, 0, x + 2, 96), fill=(45, 35, 30))
        draw.rectangle((x + 6, 0, x + 8, 96), fill=(45, 35, 30))
    assert (np.asarray(image)[~mask][:, 0] == 45).mean() > 0.5
    assert pixel_tone(image, mask).ita_deg == pytest.approx(true_ita(lab), abs=4.0)


@pytest.mark.parametrize("lab", SKIN)
def test_paper_over_most_of_the_border(lab):
    image, _ = scene(lab)
    ImageDraw.Draw(image).rectangle((0, 0, 300, 150), fill=(255, 255, 255))
    assert pixel_tone(image).ita_deg == pytest.approx(true_ita(lab), abs=1.5)


@pytest.mark.parametrize("lab", SKIN)
def test_the_soft_edge_of_a_field_stop_is_not_skin(lab):
    """Light falls off from 0.86 of the radius to nothing at 0.94: the border is frame and falling light alone."""
    image, _ = scene(lab, (128, 128), lesion=False)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    light = ((0.94 - np.hypot(x, y)) / 0.08).clip(0, 1)[..., None]
    dimmed = Image.fromarray((np.asarray(image) * light).astype(np.uint8))
    assert pixel_tone(dimmed).ita_deg == pytest.approx(true_ita(lab), abs=1.5)


@pytest.mark.parametrize("lab", SKIN)
def test_all_at_once_and_turned_and_at_any_size(lab):
    for size in ((128, 128), (600, 450), (90, 160)):
        image, mask = scene(lab, size, hair=True, frame=True)
        assert pixel_tone(image, mask).ita_deg == pytest.approx(true_ita(lab), abs=3.0)
        turned = pixel_tone(image.rotate(90, expand=True), np.rot90(mask))
        assert turned.ita_deg == pytest.approx(true_ita(lab), abs=3.0)


def test_the_lesion_is_not_the_skin_even_where_it_fills_most_of_the_image():
    lab = SKIN[2]
    image, _ = scene(lab, lesion=False)
    box = (15, 12, 285, 213)
    mask = Image.new("1", image.size)
    ImageDraw.Draw(mask).rectangle(box, fill=1)
    ImageDraw.Draw(image).rectangle(box, fill=(60, 35, 30))
    assert pixel_tone(image, np.asarray(mask)).ita_deg == pytest.approx(true_ita(lab), abs=1.5)


def test_a_mask_of_everything_leaves_no_tone():
    image, mask = scene(SKIN[1])
    assert math.isnan(pixel_tone(image, np.ones_like(mask)).ita_deg)


@pytest.mark.parametrize("colour", [(128, 128, 128), (90, 120, 200), (60, 160, 80), (0, 0, 0), (255, 255, 255)])
def test_what_is_not_skin_has_no_tone(colour):
    assert math.isnan(pixel_tone(Image.new("RGB", (60, 60), colour)).ita_deg)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 200)])
def test_tiny_images_do_not_break_it(size):
    tone = pixel_tone(Image.new("RGB", size, rgb(SKIN[1])))
    assert math.isnan(tone.ita_deg) or tone.ita_deg == pytest.approx(true_ita(SKIN[1]), abs=1.5)


@pytest.mark.parametrize("lab", SKIN)
def test_a_pink_cast_leaves_the_lightness_to_decide(lab):
    """The same skin under a cast that takes all yellow away: the tone comes back from lightness, marked as such."""
    lightness, a, _ = lab
    tone = colour_to_tone(lightness, a + 15, -4.0)
    assert tone.from_lightness
    assert tone.ita_deg == pytest.approx(true_ita(lab), abs=0.2)
    assert tone.ita_deg in TONE_BANDS[SKIN.index(lab)]


def test_an_angle_that_nobody_has_counts_as_a_cast():
    assert colour_to_tone(75.0, 15.0, 4.0) == PixelTone(pytest.approx(65.1, abs=0.5), from_lightness=True)
    assert not colour_to_tone(65.0, 15.0, 12.0).from_lightness
    assert math.isnan(colour_to_tone(75.0, 1.0, 1.0).ita_deg)


def record(**fields):
    return Record(file="a", dataset="d", label="nv", diagnosis="nv", **fields)


@pytest.mark.parametrize(
    ("tone_from", "fields", "expected"),
    [
        ("auto", {"fitzpatrick": 5, "ita_deg": 50.0}, (5, "fitzpatrick column")),
        ("auto", {"ita_deg": 50.0}, (2, "ita column")),
        ("auto", {"ita_deg": 50.0, "ita_is_estimate": True}, None),
        ("ita", {"ita_deg": 50.0, "ita_is_estimate": True}, (2, "ita column")),
        ("ita", {"fitzpatrick": 5}, None),
        ("column", {"ita_deg": 50.0}, None),
        ("column", {"fitzpatrick": 5, "ita_deg": 50.0}, (5, "fitzpatrick column")),
        ("stated", {"fitzpatrick": 1}, (1, "fitzpatrick column")),
        ("pixels", {"fitzpatrick": 5, "ita_deg": 50.0}, None),
        ("auto", {"ita_deg": 102.7}, None),  # no angle of skin
        ("auto", {}, None),
    ],
)
def test_which_column_counts(tone_from, fields, expected):
    assert stated_tone(record(**fields), tone_from) == expected


def test_a_stated_pair_of_types_bounds_the_measured_one():
    pair = record(fitzpatrick_range=(3, 4))
    for ita, fst in ((60.0, 3), (35.0, 3), (20.0, 4), (-50.0, 4)):
        assert resolve_tone(pair, None, PixelTone(ita)).fst == fst
    blind = resolve_tone(pair, None, PixelTone(math.nan))
    assert (blind.fst, blind.tone_source) == (3, "lighter of the stated pair")
    assert resolve_tone(record(), None, PixelTone(math.nan)).fst is None
    assert resolve_tone(record(), None, PixelTone(20.0, True)).tone_source == "pixels, lightness alone"


@pytest.mark.real_data
def test_photographs_of_the_real_pack_agree_with_its_own_estimate(real_pack):
    """PAD-UFES-20 states an ITA of its own making; ours should be near it (the masks and regions differ)."""
    read = read_dataset(real_pack, check_images="none", tone_from="stated")
    photos = [r for r in read if r.dataset == "padufes20" and r.ita_deg is not None][::4]
    off = []
    for photo in photos:
        tone = pixel_tone(read.open_image(photo))
        if not math.isnan(tone.ita_deg) and not tone.from_lightness:
            off.append(tone.ita_deg - photo.ita_deg)
    assert len(off) > 100
    assert abs(np.median(off)) < 3
    assert np.median(np.abs(off)) < 5
