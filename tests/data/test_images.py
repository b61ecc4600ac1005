"""Image files of every kind and of none."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from synthderm.core import InputError
from synthderm.data.images import check_header, open_image, open_mask, read_image


def gradient(size=(24, 16)):
    width, height = size
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], -1).astype(np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return path


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    """A tiny PNG that claims to be huge."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", ihdr) + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_come_back_exactly_and_without_notes(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    opened = read_image(save(tmp_path / f"a.{suffix}", Image.fromarray(gradient()), **options))
    assert opened.image.mode == "RGB"
    assert np.array_equal(np.asarray(opened.image), gradient())
    assert opened.notes == ()


def test_a_stream_is_read_like_a_path(tmp_path):
    data = save(tmp_path / "a.png", Image.fromarray(gradient())).read_bytes()
    assert np.array_equal(np.asarray(open_image(io.BytesIO(data), name="x.png")), gradient())


def test_a_wrong_suffix_is_read_and_noted(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(gradient()), format="PNG")
    opened = read_image(path)
    assert np.array_equal(np.asarray(opened.image), gradient())
    assert opened.notes == ("holds PNG under the suffix '.jpg'",)
    assert check_header(path, name=str(path)) == opened.notes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"just some text", "not an image"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),  # would start a program
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (b"\xff\xd8\xff\xe0", "not an image"),
        (os.urandom(300), "not an image"),
    ],
)
def test_what_is_no_image_is_named_in_one_line(tmp_path, content, says):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_truncated_files_are_errors_at_every_length(tmp_path, suffix, part):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=rf"a\.{suffix} (is truncated|has a damaged|is not an image)"):
        open_image(path)


def test_flipped_bytes_never_raise_anything_but_our_error(tmp_path):
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    outcomes = {"RGB": 0, "refused": 0}
    for suffix in ("png", "jpg", "webp", "gif", "tiff", "bmp"):
        clean = bytearray(save(tmp_path / f"a.{suffix}", noise).read_bytes())
        for _ in range(60):
            data = bytearray(clean)
            for at in rng.integers(0, min(len(data), 200), 4):
                data[at] = rng.integers(256)
            try:
                mode = open_image(io.BytesIO(bytes(data)), name=f"a.{suffix}").mode
            except InputError:
                mode = "refused"
            outcomes[mode] += 1
    assert min(outcomes.values()) > 20


@pytest.mark.parametrize("size", [(9000, 9000), (30000, 30000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_refused_on_the_header(tmp_path, size, recwarn):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(InputError, match=r"bomb\.png (is too large|has a damaged header)"):
        open_image(path)
    assert not recwarn.list


def test_the_pixel_limit_is_the_callers(tmp_path):
    path = save(tmp_path / "a.png", Image.new("RGB", (100, 50)))
    assert open_image(path, max_pixels=5000).size == (100, 50)
    with pytest.raises(InputError, match=r"100 x 50 px is more than the limit of 4,999 px"):
        open_image(path, max_pixels=4999)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_animations_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    path = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="3 frames or pages"):
        open_image(path)


def test_grey_becomes_three_equal_channels(tmp_path):
    opened = read_image(save(tmp_path / "a.png", Image.fromarray(gradient()[..., 0])))
    assert np.array_equal(np.asarray(opened.image), np.repeat(gradient()[..., :1], 3, -1))
    assert opened.notes == ("greyscale, repeated in three channels",)


def test_sixteen_bit_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    opened = read_image(save(tmp_path / "a.png", Image.fromarray(values)))
    assert np.asarray(opened.image)[0, :, 0].tolist() == [0, 1, 128, 255]
    assert "16 bit, divided by 257" in opened.notes


def test_floating_point_is_refused(tmp_path):
    path = save(tmp_path / "a.tiff", Image.fromarray(np.zeros((4, 4), np.float32)))
    with pytest.raises(InputError, match="without a known range"):
        open_image(path)


def test_transparent_pixels_are_laid_on_white(tmp_path):
    rgba = np.dstack([gradient(), np.full((16, 24), 255, np.uint8)])
    opaque = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert np.array_equal(np.asarray(opaque.image), gradient())
    assert opaque.notes == ()
    rgba[:8, :, 3] = 0
    opened = read_image(save(tmp_path / "b.png", Image.fromarray(rgba)))
    assert (np.asarray(opened.image)[:8] == 255).all()
    assert np.array_equal(np.asarray(opened.image)[8:], gradient()[8:])
    assert opened.notes == ("transparent in places, laid on white",)


def test_palettes_keep_their_colours(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 30, 60])
    assert np.asarray(open_image(save(tmp_path / "a.png", image)))[0, 0].tolist() == [200, 30, 60]


def test_cmyk_is_inverted_and_noted(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    opened = read_image(save(tmp_path / "a.tiff", image))
    assert np.asarray(opened.image)[0, 0].tolist() == [255, 0, 0]
    assert opened.notes == ("CMYK without a usable profile, plainly inverted",)


def test_a_colour_profile_is_turned_into_srgb(tmp_path):
    """Lab coordinates are a profile whose conversion is known: a* = b* = 0 is grey."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = read_image(save(tmp_path / "a.png", Image.fromarray(gradient()), icc_profile=srgb))
    assert np.array_equal(np.asarray(plain.image), gradient())
    assert plain.notes == ()
    broken = read_image(save(tmp_path / "b.png", Image.fromarray(gradient()), icc_profile=b"x" * 200))
    assert np.array_equal(np.asarray(broken.image), gradient())
    assert "colour profile cannot be used" in broken.notes[0]


def test_the_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    opened = read_image(save(tmp_path / "a.png", Image.fromarray(gradient()), exif=exif))
    assert np.array_equal(np.asarray(opened.image), np.rot90(gradient(), -1))
    assert opened.notes == ("turned upright as its EXIF orientation says",)


def test_missing_files_folders_and_pipes_are_errors(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        open_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="no regular file"):
        open_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="no regular file"):
        open_image(tmp_path / "pipe.png")


def test_masks_are_true_from_half_on_whatever_their_coding(tmp_path):
    expected = np.zeros((16, 24), bool)
    expected[4:9, 3:20] = True
    for name, values in (("255", expected * 255), ("1", expected * 1)):
        path = save(tmp_path / f"{name}.png", Image.fromarray(values.astype(np.uint8)))
        assert np.array_equal(open_mask(path, (24, 16)), expected)
    path = save(tmp_path / "bit.png", Image.fromarray(expected))
    assert np.array_equal(open_mask(path, (24, 16)), expected)


def test_masks_of_another_size_are_fitted_but_not_of_another_shape(tmp_path):
    mask = np.zeros((16, 24), np.uint8)
    mask[:, 12:] = 255
    path = save(tmp_path / "m.png", Image.fromarray(mask))
    large = open_mask(path, (48, 32))
    assert large.shape == (32, 48)
    assert large[:, 24:].all()
    assert not large[:, :24].any()
    with pytest.raises(InputError, match=r"24 x 16 px, which is not the shape of its image \(16 x 24 px\)"):
        open_mask(path, (16, 24))
    clear = Image.fromarray(np.zeros((16, 24, 4), np.uint8))
    with pytest.raises(InputError, match="transparent"):
        open_mask(save(tmp_path / "t.png", clear), (24, 16))
