"""The check of files: whatever lies there is reported, in order, and nothing stops it."""

import gzip
import io
import json
import os
import signal
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from synthderm.core import InputError
from synthderm.core.images import read_image
from synthderm.provenance.check import Check, FileResult, check, json_pieces
from synthderm.provenance.check import run as run_module
from synthderm.provenance.check import sources as sources_module
from synthderm.provenance.check.inspection import Inspector, Settings
from synthderm.provenance.check.sources import Item, Listing
from synthderm.provenance.tags import ALGORITHMIC, TRAINED, Tags, save_arguments
from synthderm.provenance.watermark import Detection, Key, Payload, Watermark
from synthderm.provenance.watermark.statistic import Window

MARKED, PLAIN, DEADLY, BROKEN = (255, 0, 0), (0, 200, 0), (1, 2, 3), (4, 5, 6)
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (8, 6), colour) for colour in ("black", "blue")]}
TAGS = Tags("flow", "1", TRAINED, watermark="abcdef01")
KEYS = ("path", "verdict", "p_value", "payload", "metadata")


class CornerDetector:
    """Stands for the watermark where a test is not about it: the colour of the first pixel says what is found."""

    def __init__(self, key):
        self.key = key

    def detect(self, image, fpr, search):
        corner = image.getpixel((0, 0))
        if corner == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        if corner == BROKEN:
            raise RuntimeError("cannot\nwork")
        found = corner == MARKED and self.key == Key.public()
        payload = Payload(generator="flow", run=7) if found else None
        how = ("direct", Window(), self.key.id)
        return [Detection("synthetic" if found else "not_found", 1e-9 if found else 0.4, payload, 1e-5, 0.999, *how)]


def settings():
    return Settings((Key.public(),), fpr=1e-6, search="fast", detector=CornerDetector)


def encoded(colour=PLAIN, size=(8, 6), image_format="PNG", mode="RGB", **arguments):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, format=image_format, **arguments)
    return buffer.getvalue()


def run(*paths, workers=1):
    return Check(paths, settings(), workers)


def only(path):
    (result,) = run(path)
    return result


def written(path, data):
    path.write_bytes(data)
    return path


def huge_png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def tar_of(members, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_found_mark_and_its_json(tmp_path):
    path = written(tmp_path / "a.png", encoded(MARKED, **save_arguments(TAGS, "png")))
    result = only(path)
    text = json.loads(json.dumps(result.to_dict()))
    assert tuple(text) == KEYS
    assert (text["path"], text["verdict"], text["p_value"]) == (str(path), "synthetic", 1e-9)
    assert text["payload"] == {"version": 1, "generator": "flow", "run": 7, "confidence": 0.999, "p_value": 1e-5}
    assert text["metadata"]["carriers"] == ["png_text", "xmp", "exif"]
    assert text["metadata"]["tags"]["watermark"] == "abcdef01"
    assert text["metadata"]["watermark"]["key_id"] == Key.public().id


def test_metadata_counts_where_the_mark_is_lost(tmp_path):
    written(tmp_path / "a.jpg", encoded(image_format="JPEG", **save_arguments(TAGS, "jpg")))
    done = run(tmp_path)
    (result,) = done
    assert result.verdict == "not_found"
    assert result.says_synthetic
    assert (done.summary.synthetic, done.summary.synthetic_by_metadata, done.summary.exit_code) == (0, 1, 3)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("empty.png", b"", "is empty"),
        ("text.png", b"no image at all, but words", "not an image that can be read"),
        ("page.jpg", b"<!DOCTYPE html><html>", "web page"),
        ("cut.png", encoded(size=(64, 64))[:90], "truncated or damaged"),
        ("cut.jpg", encoded(size=(64, 64), image_format="JPEG")[:400], "damaged"),
        ("head.webp", b"RIFF\x10\0\0\0WEBPVP8 ", ""),
        ("large.png", huge_png(10_000, 10_000), "10,000 x 10,000 px is more than the limit of 80,000,000 px"),
        ("bomb.png", huge_png(2**31 - 1, 2**31 - 1), ""),
        ("float.tif", encoded(image_format="TIFF", mode="F"), "floating-point"),
        ("broken.png", encoded(BROKEN), "RuntimeError: cannot work"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_cannot_be_checked_says_why(tmp_path, name, data, error):
    written(tmp_path / name, data)
    written(tmp_path / "z.png", encoded(MARKED))
    done = run(tmp_path)
    bad, good = done
    assert (bad.verdict, bad.p_value, bad.is_image) == ("error", None, True)
    assert error in bad.error
    assert bad.error
    assert "\n" not in bad.error
    assert good.verdict == "synthetic"
    assert done.summary.exit_code == 3


@pytest.mark.parametrize(
    ("name", "data", "note"),
    [
        ("moving.gif", encoded(image_format="GIF", **FRAMES), "first of 3"),
        ("moving.webp", encoded(image_format="WEBP", **FRAMES), "first of 3"),
        ("pages.tif", encoded(image_format="TIFF", **FRAMES), "first of 3"),
        ("cmyk.jpg", encoded(image_format="JPEG", mode="CMYK"), "CMYK"),
        ("sixteen.png", encoded(mode="I;16"), "16 bit"),
        ("grey.png", encoded(mode="L"), "greyscale"),
        ("jpeg.png", encoded(image_format="JPEG"), "holds JPEG under the suffix '.png'"),
        ("nameless", encoded(image_format="WEBP"), "no suffix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_images_are_checked_and_noted(tmp_path, name, data, note):
    result = only(written(tmp_path / name, data))
    assert (result.verdict, result.error) == ("not_found", "")
    assert any(note in text for text in result.notes), result.notes


def test_the_first_frame_only_where_it_is_asked_for(tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("blue", "black")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path, first_frame=True).image.getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(InputError, match="2 frames"):
        read_image(path)


def test_one_pixel_and_blank_images_are_undecided_with_the_real_mark(tmp_path):
    written(tmp_path / "black.png", encoded((0, 0, 0), (64, 64)))
    written(tmp_path / "one.png", encoded(size=(1, 1)))
    assert [result.verdict for result in check(tmp_path, Key.public(), search="fast")] == ["undecided"] * 2


def test_missing_files_pipes_and_broken_links(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    results = list(run(tmp_path / "gone", tmp_path))
    assert [result.error for result in results] == [
        "does not exist",
        "cannot be read: No such file or directory",
        "is no regular file (a folder, pipe or device)",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission(tmp_path):
    path = written(tmp_path / "a.png", encoded())
    path.chmod(0)
    assert "Permission denied" in only(path).error


def test_ten_thousand_files_that_are_no_images(tmp_path):
    for i in range(10_000):
        (tmp_path / f"{i:05}.txt").touch()
    written(tmp_path / "z.png", encoded())
    done = run(tmp_path)
    assert [result.path for result in islice(done, 2)] == [str(tmp_path / f"0000{i}.txt") for i in range(2)]
    assert sum(result.verdict == "error" for result in done) == 9_998
    assert (done.summary.files, done.summary.not_images, done.summary.exit_code) == (10_001, 10_000, 0)


def test_exit_codes(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(empty)
    assert (list(done), done.summary.exit_code) == ([], 2)
    written(tmp_path / "notes.txt", b"words")
    written(tmp_path / "a.png", encoded())
    for data, code in ((encoded(), 0), (b"", 2), (encoded(MARKED), 3)):
        written(tmp_path / "b.png", data)
        done = run(tmp_path)
        list(done)
        assert done.summary.exit_code == code


def test_folders_are_walked_in_order_and_loops_end(tmp_path):
    for name in ("b/2.png", "b/1.png", "a.png", "c/d/e.png", ".hidden/x.png", ".y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / name, encoded())
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    done = run(tmp_path)
    names = [os.path.relpath(result.path, tmp_path) for result in done]
    assert names == ["a.png", "b/1.png", "b/2.png", "c/d/e.png"]
    assert done.summary.hidden == 2


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_archives_are_read_in_their_order(tmp_path, suffix):
    members = {
        "000001.image.png": encoded(MARKED),
        "000000.image.jpg": encoded(image_format="JPEG"),
        "__MACOSX/._x.png": b"junk",
        "000000.json": b"{}",
        "inner.zip": b"PK",
        "../../out.png": encoded(),
    }
    modes = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
    data = zip_of(members) if suffix == ".zip" else tar_of(members, modes[suffix])
    path = written(tmp_path / f"shard{suffix}", data)
    done = run(tmp_path)
    results = list(done)
    assert [result.path.removeprefix(f"{path}:") for result in results] == [
        name for name in members if "MACOSX" not in name
    ]
    assert [result.verdict for result in results] == ["synthetic", "not_found", "error", "error", "not_found"]
    assert "archive inside an archive" in results[3].error
    assert done.summary.hidden == 1


def test_damaged_archives_keep_what_was_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    members = {"a.png": encoded(MARKED), "b.png": buffer.getvalue(), "c.png": encoded()}
    written(tmp_path / "1.tar", tar_of(members)[:6000])
    written(tmp_path / "2.tar.gz", gzip.compress(tar_of(members))[:7000])
    written(tmp_path / "3.tar", b"")
    written(tmp_path / "4.zip", zip_of(members)[:5000])
    broken = bytearray(zip_of(members))
    broken[3000:3010] = bytes(10)
    written(tmp_path / "5.zip", bytes(broken))
    verdicts = {}
    for result in run(tmp_path):
        verdicts.setdefault(os.path.relpath(result.path, tmp_path)[:1], []).append((result.verdict, result.error[:11]))
    assert verdicts["1"] == [("synthetic", ""), ("error", "the archive")]
    assert verdicts["2"] == [("synthetic", ""), ("error", "the archive")]
    assert verdicts["3"] == verdicts["4"] == [("error", "the archive")]
    assert verdicts["5"] == [("synthetic", ""), ("error", "cannot be u"), ("not_found", "")]


def test_members_that_are_encrypted_too_large_or_links(tmp_path, monkeypatch):
    data = bytearray(zip_of({"a.png": encoded()}))
    data[data.index(b"PK\1\2") + 8] |= 1
    written(tmp_path / "1.zip", bytes(data))
    with tarfile.open(tmp_path / "2.tar", "w") as archive:
        link = tarfile.TarInfo("passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    monkeypatch.setattr(sources_module, "MAX_MEMBER", 1 << 20)
    written(tmp_path / "3.zip", zip_of({"bomb.png": bytes(2 << 20)}))
    errors = [result.error for result in run(tmp_path)]
    assert "encrypted" in errors[0]
    assert "is a link" in errors[1]
    assert "unpacks to 2,097,152 bytes" in errors[2]


def test_names_that_are_not_utf_8_can_be_written_as_json(tmp_path):
    try:
        written(tmp_path / os.fsdecode(b"\xff\x1b.png"), encoded())
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    text = "".join(json_pieces(run(tmp_path))).encode("utf-8")
    assert json.loads(text)["files"][0]["path"].endswith("\\xff\x1b.png")


def test_json_is_one_object_in_pieces(tmp_path):
    written(tmp_path / "a.png", encoded(MARKED))
    written(tmp_path / "b.txt", b"")
    text = json.loads("".join(json_pieces(run(tmp_path))))
    assert set(text) == {"files", "summary"}
    assert all(tuple(file) == KEYS for file in text["files"])
    assert text["files"][1]["metadata"]["error"] == "is empty (0 bytes)"
    expected = {"files": 2, "synthetic": 1, "error": 1, "not_images": 1, "fpr": 1e-6, "expected_false_alarms": 1e-6}
    assert text["summary"].items() >= expected.items()


def test_several_keys_share_the_rate(tmp_path):
    rates = []

    class Recorder(CornerDetector):
        def detect(self, image, fpr, search):
            rates.append(fpr)
            return super().detect(image, fpr, search)

    keys = (Key.random(), Key.public())
    inspector = Inspector(Settings(keys, 1e-6, "fast", detector=Recorder))
    result = inspector.inspect(Item("a.png", data=encoded(MARKED)))
    assert rates == [5e-7, 5e-7]
    assert (result.verdict, result.p_value) == ("synthetic", 2e-9)
    assert result.watermark["key_id"] == Key.public().id
    assert inspector.inspect(Item("b.png", data=encoded())).p_value == 0.8


def test_processes_keep_the_order_and_survive_deadly_files(tmp_path):
    for i in range(150):
        written(tmp_path / f"{i:03}.png", encoded(MARKED if i % 3 == 0 else PLAIN))
    written(tmp_path / "shard.tar", tar_of({"x.png": encoded(MARKED), "y.txt": b"a"}))
    expected = list(run(tmp_path))
    for i in (40, 149):
        written(tmp_path / f"{i:03}.png", encoded(DEADLY))
    done = run(tmp_path, workers=2)
    results = list(done)
    assert [i for i, result in enumerate(results) if result != expected[i]] == [40, 149]
    assert [results[i].error for i in (40, 149)] == ["ended the process that read it (signal 11)"] * 2
    assert (done.summary.files, done.summary.error, done.summary.not_images) == (152, 3, 1)


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sources_module, "MAX_SORTED", 50)
    written(tmp_path / "many.tar", tar_of({f"{i:06}.txt": b"" for i in range(6000)}))
    for i in range(6000):
        (tmp_path / f"{i:06}.txt").touch()
    listing = iter(Listing([tmp_path]))
    next(listing)
    tracemalloc.start()
    peaks = []
    for _ in range(3):
        tracemalloc.reset_peak()
        assert len([None for _ in islice(listing, 3500)]) == 3500
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert max(peaks) < 700_000, peaks


def test_the_real_mark_is_found_in_a_folder_and_a_shard(tmp_path):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    smooth = 150 + 40 * np.sin(x / 9) * np.cos(y / 7)
    picture = np.clip(smooth[..., None] + rng.normal(0, 6, (256, 256, 3)) + [20, -10, -30], 0, 255).astype(np.uint8)
    plain = Image.fromarray(picture)
    marked = Watermark(Key.public()).embed(plain, Payload(generator="simulator", run=0x123456))
    tags = Tags("simulator", "1", ALGORITHMIC, watermark=Key.public().id, run=0x123456)
    plain.save(tmp_path / "plain.png")
    buffer = io.BytesIO()
    marked.save(buffer, format="JPEG", quality=95, **save_arguments(tags, "jpg"))
    written(tmp_path / "shard.tar", tar_of({"0.image.jpg": buffer.getvalue()}))
    done = check([tmp_path], Key.public(), search="fast")
    unmarked, found = done
    assert unmarked.verdict != "synthetic"
    assert found.verdict == "synthetic"
    assert found.payload["generator"] == "simulator"
    assert found.payload["run"] == found.tags.tags.run == 0x123456
    other = list(check([tmp_path], Key(bytes(32)), search="fast"))
    assert [result.verdict for result in other].count("synthetic") == 0


def test_few_files_are_checked_here_and_many_elsewhere(tmp_path, monkeypatch):
    elsewhere = []
    monkeypatch.setattr(
        run_module, "check_in_processes", lambda items, *_: elsewhere.append(len(list(items))) or iter(())
    )
    written(tmp_path / "a.tar", tar_of({f"{i}.png": encoded() for i in range(32)}))
    assert len(list(run(tmp_path, workers=None))) == 32
    monkeypatch.setattr(run_module, "_FEW_BYTES", 1000)
    assert list(run(tmp_path, workers=None)) == []
    written(tmp_path / "b.txt", b"")
    monkeypatch.setattr(run_module, "_FEW_BYTES", 1 << 20)
    assert list(run(tmp_path, workers=None)) == []
    assert elsewhere == [32, 33]


def test_a_check_can_be_ended_early(tmp_path):
    for i in range(3):
        written(tmp_path / f"{i}.png", encoded(MARKED))
    done = run(tmp_path)
    next(done)
    done.close()
    assert list(done) == []
    assert done.summary.files == 1


def test_bad_settings(tmp_path):
    for arguments in ({"keys": []}, {"fpr": 0.0}, {"search": "slow"}, {"workers": 0}):
        with pytest.raises(InputError):
            check(tmp_path, **{"keys": Key.public(), **arguments})


def test_results_are_values():
    assert FileResult("a", "error", error="x") == FileResult("a", "error", error="x")
