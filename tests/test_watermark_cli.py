"""``synthderm watermark``: exit statuses, one JSON object, keys."""

import json
import stat
import sys

import pytest
from PIL import Image

from synthderm.core import load_generator
from synthderm.core.condition import Condition
from synthderm.provenance.watermark import Key, Payload, Watermark


@pytest.fixture(scope="module")
def skin():
    sample = next(load_generator("simulator", size=128).sample([5], Condition("nv", fst=3)))
    return Image.fromarray(sample.image.permute(1, 2, 0).numpy())


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """The command line in this process, in an empty folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNTHDERM_WATERMARK_KEY", raising=False)

    def inner(*args):
        from synthderm.cli import main

        monkeypatch.setattr(sys, "argv", ["synthderm", "watermark", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    return inner


def test_a_marked_image_is_found_and_ends_with_status_3(call, skin, tmp_path):
    marked = Watermark(Key.public()).embed(skin, Payload(generator="simulator", run=0x12AB34))
    (tmp_path / "set").mkdir()
    marked.save(tmp_path / "set" / "a.png")
    skin.save(tmp_path / "set" / "b.png")
    (tmp_path / "set" / "notes.txt").write_text("no image")
    status, out, err = call("check", "set", "--search", "fast")
    assert (status, err) == (3, "")
    lines = out.splitlines()
    assert lines[0].startswith("synthetic  p ")
    assert lines[0].endswith("set/a.png  simulator, run 12ab34")
    assert not any("b.png" in line for line in lines)
    assert any("notes.txt" in line for line in lines)
    assert any("b.png" in line for line in call("check", "set", "--search", "fast", "--all")[1].splitlines())


def test_json_is_one_object(call, skin, tmp_path):
    skin.save(tmp_path / "b.png")
    status, out, _ = call("check", "b.png", "gone.png", "--search", "fast", "--json")
    told = json.loads(out)
    assert status == 2
    assert [file["verdict"] for file in told["files"]] == ["not_found", "error"]
    assert set(told["files"][0]) == {"path", "verdict", "p_value", "payload", "metadata"}
    assert (told["summary"]["files"], told["summary"]["error"]) == (2, 1)


def test_nothing_found_is_status_0(call, skin, tmp_path):
    skin.save(tmp_path / "b.png")
    assert call("check", "b.png", "--search", "fast")[0] == 0


def test_a_private_key_is_made_once_and_finds_its_own_mark_alone(call, skin, tmp_path):
    status, out, _ = call("key", "new", "lab.key")
    assert (status, stat.S_IMODE((tmp_path / "lab.key").stat().st_mode)) == (0, 0o600)
    private = Key.load(tmp_path / "lab.key")
    assert private.id in out
    assert private.secret.hex() not in out
    Watermark(private).embed(skin).save(tmp_path / "a.png")
    assert call("check", "a.png", "--search", "fast")[0] == 0
    assert call("check", "a.png", "--search", "fast", "--key", "lab.key")[0] == 3
    status, _, err = call("key", "new", "lab.key")
    assert status == 2
    assert "exists already" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--fpr", 2), "fpr must be between 0 and 1"),
        (("--search", "slow"), "unknown search"),
        (("--key", "x"), "cannot be read"),
    ],
)
def test_bad_options_are_one_line(call, skin, tmp_path, args, says):
    skin.save(tmp_path / "b.png")
    status, _, err = call("check", "b.png", *args)
    assert status == 2
    assert says in err
    assert err.count("\n") == 1
