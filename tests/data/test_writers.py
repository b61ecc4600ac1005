import errno
import io
import os
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import torch
from made_up import MASKS, made_up_sample
from PIL import Image
from safetensors.torch import load_file

from synthderm.core import InputError
from synthderm.data import FolderWriter, check_space, sha256, write_atomic
from synthderm.data import files as files_module
from synthderm.data.files import clean_work, open_atomic
from synthderm.data.writers import encode_image, encode_mask, encode_png

ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image), image.mode


def test_png_files_hold_the_very_pixels(tmp_path):
    sample = made_up_sample(3)
    row = FolderWriter(tmp_path, masks=MASKS).write(sample, "SYN_a_000003")
    image, mode = pixels(tmp_path / row["file_name"])
    assert mode == "RGB"
    np.testing.assert_array_equal(image, sample.image.permute(1, 2, 0))
    for name, column in (("lesion", "mask_file_name"), ("globules", "attribute_globules_file_name")):
        mask, mode = pixels(tmp_path / row[column])
        assert mode == "L"
        np.testing.assert_array_equal(mask, sample.masks[name].numpy() * np.uint8(255))


def test_names_follow_isic_and_the_row_describes_the_file(tmp_path):
    row = FolderWriter(tmp_path, masks=MASKS).write(made_up_sample(3, size=48), "SYN_a_000003")
    assert row == {
        "file_name": "images/SYN_a_000003.png",
        "mask_file_name": "masks/SYN_a_000003_segmentation.png",
        "attribute_hair_file_name": "masks/SYN_a_000003_attribute_hair.png",
        "attribute_globules_file_name": "masks/SYN_a_000003_attribute_globules.png",
        "sha256": sha256((tmp_path / "images/SYN_a_000003.png").read_bytes()),
        "height": 48,
        "width": 48,
    }
    assert row["sha256"] == sha256(tmp_path / row["file_name"])


def test_an_empty_mask_is_a_file_too(tmp_path):
    sample = made_up_sample(3)
    assert not sample.masks["hair"].any()
    row = FolderWriter(tmp_path, masks=MASKS).write(sample, "a")
    assert not pixels(tmp_path / row["attribute_hair_file_name"])[0].any()


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_same_sample_same_bytes(tmp_path, image_format):
    contents = []
    for folder in ("one", "two"):
        root = tmp_path / folder
        row = FolderWriter(root, image_format=image_format, masks=MASKS, maps=True).write(made_up_sample(4), "a")
        contents.append(
            {name: (root / path).read_bytes() for name, path in row.items() if "path" in name or "file" in name}
        )
        time.sleep(1.1 if folder == "one" and image_format == "webp" else 0)  # a time stamp would show
    assert contents[0] == contents[1]


@pytest.mark.parametrize(("image_format", "error"), [("jpg", 6.0), ("webp", 8.0)])
def test_lossy_formats_are_close_in_every_channel(image_format, error):
    sample = made_up_sample(5)
    data = encode_image(sample.image, image_format)
    back = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
    difference = np.abs(back - sample.image.permute(1, 2, 0).numpy())
    assert difference.mean(axis=(0, 1)).max() < error / 2
    assert len(data) < len(encode_image(sample.image, "png"))


def test_maps_are_float16(tmp_path):
    sample = made_up_sample(2)
    row = FolderWriter(tmp_path, maps=True).write(sample, "a")
    maps = load_file(tmp_path / row["maps_path"])
    assert {name: (values.dtype, values.shape) for name, values in maps.items()} == {
        "melanin": (torch.float16, (64, 64)),
        "normal": (torch.float16, (3, 64, 64)),
    }
    torch.testing.assert_close(maps["normal"].float(), sample.maps["normal"], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (64, 33), (1, 9)])
def test_png_encoder_against_pillow(shape, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(values))
    np.testing.assert_array_equal(pixels(path)[0].reshape(shape), values)
    with Image.open(path) as image:
        image.verify()  # checks every CRC
    damaged = bytearray(encode_png(values))
    damaged[40] ^= 1
    path.write_bytes(damaged)
    with pytest.raises((OSError, SyntaxError, zlib.error)), Image.open(path) as image:
        image.verify()


def test_mask_file_has_two_values():
    mask = np.asarray(Image.open(io.BytesIO(encode_mask(made_up_sample(1).masks["lesion"]))))
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize("name", ["SYN_test_000001", "val", "a_train", "eval-3", "dev_1"])
def test_names_that_loaders_take_for_splits_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="split"):
        FolderWriter(tmp_path).write(made_up_sample(0), name)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "a.b"])
def test_names_that_are_no_file_names_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="letters, digits"):
        FolderWriter(tmp_path).write(made_up_sample(0), name)
    assert not list(tmp_path.rglob("*.png"))


def test_split_words_inside_other_words_are_fine(tmp_path):
    assert FolderWriter(tmp_path).write(made_up_sample(0), "SYN_latest_trainee_0")["file_name"]


def test_bad_options_say_what_is_possible(tmp_path):
    with pytest.raises(InputError, match="png"):
        FolderWriter(tmp_path, image_format="pgn")
    with pytest.raises(InputError, match="quality must be between 1 and 100"):
        FolderWriter(tmp_path, quality=0)
    with pytest.raises(InputError, match="did you mean 'globules'"):
        FolderWriter(tmp_path, masks=("globule",)).write(made_up_sample(0), "a")


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out"):
        FolderWriter(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line_that_names_it(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        FolderWriter(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_read_only_file_system_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files_module.os, "replace", refuse)
    with pytest.raises(InputError, match=r"images/a\.txt: Read-only file system") as error:
        write_atomic(tmp_path / "images/a.txt", b"x", root=tmp_path)
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_the_old_file_and_names_the_free_space(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a.txt", b"old", root=tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files_module.os, "fsync", full)
    with pytest.raises(InputError, match=r"a\.txt: the disk is full \(\d+\.\d MB free\)"):
        write_atomic(tmp_path / "a.txt", b"new", root=tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert not list((tmp_path / ".synthderm/work").iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_device(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_temporary", lambda path, root: tmp_path / "part")
    (tmp_path / "part").symlink_to("/dev/full")
    with pytest.raises(InputError, match="the disk is full"):
        write_atomic(tmp_path / "a.txt", b"x" * 100)
    assert not (tmp_path / "a.txt").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from synthderm.data import files
files.os.replace = lambda part, path: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomic(Path(sys.argv[1]) / "images" / "a.png", b"half an image", root=sys.argv[1])
"""


def test_a_process_killed_before_the_rename_leaves_nothing_under_the_name(tmp_path):
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert process.returncode == -9
    assert not list((tmp_path / "images").iterdir())
    left = list((tmp_path / ".synthderm/work").iterdir())
    assert [path.suffix for path in left] == [".part"]
    assert clean_work(tmp_path) == 1
    assert not left[0].exists()


def test_cleaning_spares_the_unfinished_files_of_the_living(tmp_path):
    with open_atomic(tmp_path / "a.txt", root=tmp_path) as file:
        file.write(b"still at it")
        other = tmp_path / ".synthderm/work/00000000-1-0.part"  # another machine's, from just now
        other.write_bytes(b"")
        assert clean_work(tmp_path) == 0
    assert (tmp_path / "a.txt").read_bytes() == b"still at it"
    os.utime(other, (0, 0))
    assert clean_work(tmp_path) == 1


def test_an_error_inside_the_block_leaves_nothing(tmp_path):
    def stop_half_way():
        with open_atomic(tmp_path / "a.txt") as file:
            file.write(b"x")
            raise InputError("stop")

    with pytest.raises(InputError):
        stop_half_way()
    assert not list(tmp_path.iterdir())


def test_space_is_checked_before_the_first_image(tmp_path):
    assert check_space(tmp_path / "not/yet/there", 10, 64) < 1e6
    with pytest.raises(InputError, match=r"1000000000000 images of 256 px .* has \d+ MB"):
        check_space(tmp_path, 10**12, 256)


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_the_space_estimate_is_an_upper_bound(tmp_path, image_format):
    writer = FolderWriter(tmp_path, image_format=image_format, masks=MASKS, maps=True)
    for seed in range(4):
        writer.write(made_up_sample(seed, size=128), f"a{seed}")
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    estimate = check_space(tmp_path, 4, 128, image_format, masks=len(MASKS), maps=True)
    assert used < estimate < 10 * used
