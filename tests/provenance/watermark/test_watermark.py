"""The mark as a user sees it: written to the decibel, read after what pipelines do, silent where there is none."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from watermark_images import drawn_skin, psnr_db

from synthderm.core import InputError
from synthderm.provenance.watermark import Key, Payload, Watermark

KEY = Key(bytes(range(32)))
PAYLOAD = Payload(generator="flow", run=0x12AB34)


def marked(seed=0, side=128, psnr=42.0):
    return Watermark(KEY, psnr).embed(drawn_skin(seed, side), PAYLOAD)


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("psnr", [38.0, 42.0, 48.0])
@pytest.mark.parametrize("side", [64, 200])
def test_the_change_is_as_strong_as_asked_after_rounding(psnr, side):
    change = psnr_db(drawn_skin(2, side), marked(2, side, psnr))
    assert psnr <= change < psnr + 0.02


DIRECT = {
    "as written": lambda image: image,
    "JPEG 75": lambda image: jpeg(image, 75),
    "to 224": lambda image: image.resize((224, 224), Image.Resampling.BILINEAR),
    "another aspect": lambda image: image.resize((90, 190), Image.Resampling.BILINEAR),
    "flip": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "grey": lambda image: image.convert("L"),
    "darker": lambda image: image.point(lambda v: round(0.7 * v)),
}


@pytest.mark.parametrize("name", DIRECT)
def test_mark_and_payload_are_read_directly_after(name):
    found = Watermark(KEY).detect(DIRECT[name](marked()), search="fast")[0]
    assert found.verdict == "synthetic"
    assert found.p_value < 1e-9
    assert found.payload == PAYLOAD
    assert found.payload_confidence > 0.99
    assert (found.how, found.key_id) == ("direct", KEY.id)


SEARCHED = {
    "quarter of the area": (lambda image: image.crop((30, 50, 94, 114)), (0.5, 0.5, 50 / 128, 30 / 128)),
    "training crop": (
        lambda image: image.crop((20, 10, 80, 88)).resize((224, 224)).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        (78 / 128, 60 / 128, 10 / 128, 1 - 80 / 128),
    ),
    "turn": (lambda image: image.rotate(5, Image.Resampling.BILINEAR), (1, 1, 0, 0)),
    "turn, enlarged": (lambda image: image.rotate(-4, Image.Resampling.BILINEAR, expand=True), None),
}


@pytest.mark.parametrize("name", SEARCHED)
def test_crops_and_turns_are_found_by_the_search_alone_and_where_they_were(name):
    change, window = SEARCHED[name]
    image = change(marked())
    assert Watermark(KEY).detect(image, search="fast")[0].verdict != "synthetic"
    found = Watermark(KEY).detect(image)[0]
    assert (found.verdict, found.how, found.payload) == ("synthetic", "searched", PAYLOAD)
    if window is not None:
        got = found.geometry
        assert (got.height, got.width, got.top, got.left) == pytest.approx(window, abs=0.02)


def test_no_mark_is_found_without_one_or_with_another_key():
    watermark = Watermark(KEY)
    assert watermark.detect(drawn_skin(7))[0].verdict == "not_found"
    found = Watermark(Key(bytes(32))).detect(marked(7), search="fast")[0]
    assert (found.verdict, found.payload) == ("not_found", None)
    assert found.p_value > 1e-3


BLANK = {
    "black": Image.new("RGB", (128, 128)),
    "flat": Image.new("RGB", (300, 40), (200, 150, 130)),
    "one pixel": Image.new("RGB", (1, 1), (9, 9, 9)),
    "thin": Image.new("RGB", (31, 5000), (9, 99, 9)),
    "tiny": drawn_skin(0).resize((31, 31)),
}


@pytest.mark.parametrize("name", BLANK)
@pytest.mark.parametrize("search", ["fast", "full"])
def test_images_that_cannot_hold_a_mark_are_undecided(name, search):
    found = Watermark(KEY).detect(BLANK[name], search=search)[0]
    assert (found.verdict, found.p_value, found.payload, found.payload_p_value) == ("undecided", 1.0, None, 1.0)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (205, 160, 140)])
@pytest.mark.parametrize("psnr", [42, 50])
def test_a_marked_image_is_found_even_if_the_original_was_flat(colour, psnr):
    image = Watermark(KEY, psnr).embed(Image.new("RGB", (96, 96), colour), PAYLOAD)
    found = Watermark(KEY).detect(image, search="fast")[0]
    assert (found.verdict, found.payload) == ("synthetic", PAYLOAD)


def test_a_small_p_value_above_the_rate_is_undecided():
    image = marked()
    p = Watermark(KEY).detect(jpeg(image, 40), search="fast")[0].p_value
    assert Watermark(KEY).detect(jpeg(image, 40), fpr=p / 2, search="fast")[0].verdict == "undecided"


def test_bytes_do_not_depend_on_batch_order_threads_or_kind():
    images = torch.stack([torch.from_numpy(np.array(drawn_skin(i, 72))).permute(2, 0, 1) for i in range(3)])
    watermark = Watermark(KEY)
    batch = watermark.embed(images, PAYLOAD)
    assert batch.dtype == torch.uint8
    assert batch.shape == images.shape
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        single = torch.stack([watermark.embed(image, PAYLOAD) for image in images.flip(0)]).flip(0)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(batch, single)
    pillow = watermark.embed(drawn_skin(1, 72), PAYLOAD)
    assert np.array_equal(np.asarray(pillow), batch[1].permute(1, 2, 0).numpy())


def test_what_was_given_is_not_changed():
    image = torch.from_numpy(np.array(drawn_skin(0))).permute(2, 0, 1).contiguous()
    before = image.clone()
    Watermark(KEY).embed(image)
    Watermark(KEY).remove(image)
    assert torch.equal(image, before)


def test_the_mark_of_these_bytes_never_changes():
    """A new release must find old marks: the pattern of a fixed key and payload, at six pixels."""
    change = np.asarray(marked(0, 64), int) - np.asarray(drawn_skin(0, 64), int)
    assert change[10:12, 20:23].ravel().tolist() == REFERENCE


REFERENCE = [1, 1, -1, 0, -2, 0, 1, -1, 2, 2, 0, -1, 2, -1, 3, 1, 0, 2]


def test_removal_leaves_nothing_to_read_and_is_close_to_the_original():
    original, image = drawn_skin(4), marked(4)
    cleaned = Watermark(KEY).remove(image)
    found = Watermark(KEY).detect(cleaned, search="fast")[0]
    assert found.verdict == "not_found"
    assert found.p_value > 0.01
    assert psnr_db(original, cleaned) > psnr_db(original, image) + 10


def test_removal_after_jpeg_leaves_no_presence():
    cleaned = Watermark(KEY).remove(jpeg(marked(4), 75))
    assert Watermark(KEY).detect(cleaned, search="fast")[0].verdict == "not_found"


def test_removal_finds_the_strength_and_leaves_unmarked_images_alone():
    strong = Watermark(KEY, psnr_db=38).embed(drawn_skin(5), PAYLOAD)
    assert psnr_db(drawn_skin(5), Watermark(KEY).remove(strong)) > 48
    assert np.array_equal(np.asarray(Watermark(KEY).remove(drawn_skin(5))), np.asarray(drawn_skin(5)))


def test_two_marks_are_both_found():
    other = Key(b"x" * 32)
    both = Watermark(other).embed(marked(), Payload(generator="sd"))
    assert Watermark(KEY).detect(both, search="fast")[0].payload == PAYLOAD
    assert Watermark(other).detect(both, search="fast")[0].payload == Payload(generator="sd")


def test_real_images_are_read_after_jpeg_and_not_found_unmarked(ci_fixture):
    for path in sorted((ci_fixture / "images").iterdir())[::18]:
        image = Image.open(path).convert("RGB")
        watermark = Watermark(Key.public())
        assert watermark.detect(image, search="fast")[0].verdict == "not_found"
        assert watermark.detect(jpeg(watermark.embed(image), 75), search="fast")[0].verdict == "synthetic"


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3, 64, 64),
        torch.zeros(1, 64, 64, dtype=torch.uint8),
        torch.zeros(2, 2, 3, 64, 64, dtype=torch.uint8),
        np.zeros((64, 64, 3), np.uint8),
        Image.new("I;16", (64, 64)),
    ],
)
def test_other_kinds_of_images_are_refused(images):
    with pytest.raises(InputError, match="expected"):
        Watermark(KEY).detect(images)
    with pytest.raises(InputError, match="expected"):
        Watermark(KEY).embed(images)


def test_embedding_refuses_what_it_cannot_mark():
    with pytest.raises(InputError, match="at least 32 px"):
        Watermark(KEY).embed(Image.new("RGB", (31, 100)))
    with pytest.raises(InputError, match="convert"):
        Watermark(KEY).embed(Image.new("L", (64, 64)))
    with pytest.raises(InputError, match="psnr_db"):
        Watermark(KEY, psnr_db=10)
    with pytest.raises(InputError, match="search"):
        Watermark(KEY).detect(drawn_skin(0), search="slow")


def test_an_empty_batch_stays_one():
    empty = torch.zeros(0, 3, 64, 64, dtype=torch.uint8)
    assert Watermark(KEY).embed(empty).shape == empty.shape
    assert Watermark(KEY).detect(empty) == []
