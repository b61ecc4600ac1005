"""The command line: what it prints where, its exit status, and how its errors look."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthderm.core.processes import environment

FAKE = ("--generator", "fakes:FakeGenerator", "--size", "64", "--workers", "0")


def command(*args):
    return [sys.executable, "-c", "from synthderm.cli import main; main()", *map(str, args)]


def run(*args, cwd=None, **more):
    """A real process: (status, stdout, stderr)."""
    env = {**environment(), "COLUMNS": "200", **more}
    env.pop("SYNTHDERM_TRACEBACK", None)
    done = subprocess.run(command(*args), env=env, cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """The same in this process, which is faster; it runs in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def inner(*args):
        from synthderm.cli import main

        monkeypatch.setattr(sys, "argv", ["synthderm", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return inner


@pytest.fixture
def real_folder(tmp_path):
    """A real set of class folders, with one file that is no image."""
    for name, count in (("melanoma", 2), ("nevus", 5)):
        folder = tmp_path / "real" / name
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = np.full((64, 64, 3), (224, 172, 105), np.uint8)
            pixels[20:40, 20 + i : 40] //= 2
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "real" / "nevus" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return tmp_path / "real"


def test_version_and_help(call):
    assert call("--version")[:2] == (0, "synthderm 0.1.0\n")
    status, out, _ = call()
    assert status == 0
    assert "generate" in out
    for name in ("generate", "plan", "info", "export", "recipes"):
        assert call(name, "--help")[0] == 0


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("generate", ()),
        ("plan", ()),
        ("info", ()),
        ("export", ()),
        ("recipes", ("ls",)),
        ("recipes", ("cp",)),
        ("recipes", ("show",)),
    ],
)
def test_every_command_shows_examples_that_parse(call, monkeypatch, name, inside):
    """Every example of a help text is a command line that its own command accepts."""
    import shlex

    import typer

    from synthderm.cli.app import app

    _, text, _ = call(name, *inside, "--help")
    examples = [line.strip() for line in text.splitlines() if line.startswith("    synthderm ")]
    assert examples
    root = typer.main.get_command(app)
    for example in examples:
        words = shlex.split(example)[1:]
        step, context = root, root.make_context("synthderm", words[:1], resilient_parsing=True)
        while hasattr(step, "commands"):
            step, words = step.commands[words[0]], words[1:]
        step.make_context("x", words, parent=context)


def test_generate_makes_a_folder_named_after_the_request(call, tmp_path):
    status, out, err = call("generate", "--class", "melanoma", "--fst", 5, "-n", 4, *FAKE)
    (folder,) = tmp_path.iterdir()
    assert status == 0
    assert folder.name.startswith("synthderm-mel-fst5-64px-n4-seed0")
    assert "made 4 images" in out
    assert "4 (100.0%)" in out
    assert err == ""
    assert len(list((folder / "images").iterdir())) == 4


def test_json_is_one_object_on_stdout(call):
    status, out, err = call("generate", "--class", "mel", "--ita", "-20", "-n", 3, "-o", "o", "--json", *FAKE)
    told = json.loads(out)
    assert (status, err) == (0, "")
    assert (told["output"], told["made"], told["complete"]) == ("o", 3, True)
    assert told["tone"][0]["mean_deg"] == pytest.approx(-20, abs=1)


def test_flags_reach_the_recipe(call, tmp_path):
    (tmp_path / "r.yaml").write_text("class: nv\nfst: [1, 2]\nnum_images: 2\n")
    status, out, _ = call(
        *("generate", "--recipe", "r.yaml", "-o", "o", "--seed", 7, "--masks", "hair", "--maps", "--format", "jpg"),
        *("--set", "lesion.radius=0.2", "--set", "lesion.spots=3", "--shard", "1/1", "--batch-size", 1, "--json"),
        *FAKE,
    )
    assert status == 0
    assert json.loads(out)["classes"] == {"nv": 2}
    files = sorted(p.suffix for p in (tmp_path / "o").glob("*s/SYN_*"))
    assert files == [".jpg"] * 2 + [".png"] * 4 + [".safetensors"] * 2
    record = (tmp_path / "o" / "recipe.resolved.yaml").read_text()
    assert "seed: 7" in record
    assert "lesion.radius: 0.2" in record


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("generate", "--class", "melanom"), "unknown class 'melanom'; did you mean 'melanoma'"),
        (("generate",), "which class?"),
        (("generate", "--class", "mel", "--set", "lesion.radius=7"), "lesion.radius must be between 0.1 and 0.4"),
        (("generate", "--class", "mel", "--vary", "lesion.radiu"), "did you mean 'lesion.radius'"),
        (("generate", "--class", "mel", "-n", "many"), "'-n' / '--num-images'"),
        (("generate", "--class", "mel", "--colour", "3"), "No such option"),
        (("generate", "--class", "mel", "--plan", "p.yaml"), "leave out class"),
        (("generate", "--plan", "p.yaml"), "p.yaml"),
        (("generate", "--recipe", "nothing.yaml"), "nothing.yaml: no such recipe file"),
        (("generate", "--class", "mel", "--size", "9999"), "size must be between 64 and 1024"),
        (("recipes", "show", "paired_tone"), "did you mean 'paired_tones'"),
        (("export", "nothing", "--to", "coco"), "nothing"),
        (("export", "nothing", "--to", "tiff"), "tiff"),
        (("plan", "nothing"), "nothing"),
        (("genrate",), "No such command"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_status_2(call, args, says):
    extra = FAKE if args[0] == "generate" and "--size" not in args else ()
    status, out, err = call(*args, *extra)
    assert (status, out) == (2, "")
    assert err.startswith("synthderm: error: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_real_process_prints_no_traceback_unless_asked(tmp_path):
    args = ("generate", "--class", "mel", "-n", "2", "-o", tmp_path / "file" / "o", *FAKE)
    (tmp_path / "file").write_text("")
    status, out, err = run(*args)
    assert (status, out) == (2, "")
    assert err.startswith("synthderm: error: ")
    assert "Traceback" not in err
    done = subprocess.run(
        command(*args), env={**environment(), "SYNTHDERM_TRACEBACK": "1"}, capture_output=True, text=True
    )
    assert "Traceback" in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to")
def test_an_unwritable_folder_is_named(call):
    status, _, err = call("generate", "--class", "mel", "-n", 2, "-o", "/proc/o", *FAKE)
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot write /proc/o" in err


def test_images_that_cannot_be_made_are_listed_and_the_status_is_1(call):
    flags = ("--class", "mel", "--fst", "all", "-n", 6, "-o", "o", "--size", 64, "--workers", 0)
    status, out, _ = call("generate", *flags, "--generator", "fakes:StuckGenerator")
    assert status == 1
    assert "made 5 images" in out
    assert out.count("NOT MADE: SYN_") == 1
    assert "redrawn: 20 times, tone off target" in out


def test_ctrl_c_says_how_to_go_on(tmp_path):
    args = ("generate", "--class", "mel", "-n", 500, "-o", tmp_path / "o", "--size", 64, "--workers", 1)
    process = subprocess.Popen(
        command(*args, "--generator", "fakes:SlowGenerator"),
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run in the background of a shell ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    journal = tmp_path / "o" / ".synthderm" / "journal-1-of-1.jsonl"
    while not (journal.is_file() and journal.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "synthderm: interrupted; run the same command again to continue\n"


def test_recipes_are_listed_shown_and_copied(call, tmp_path):
    told = json.loads(call("recipes", "ls", "--json")[1])["recipes"]
    assert all(recipe["description"] for recipe in told)
    name = told[0]["name"]
    assert name in call("recipes", "ls")[1]
    text = call("recipes", "show", name)[1]
    assert f"synthderm generate --recipe {name}" in text
    assert call("recipes", "cp", name)[:2] == (0, f"{name}.yaml\n")
    assert (tmp_path / f"{name}.yaml").read_text() == text
    assert "is there already" in call("recipes", "cp", name)[2]
    assert call("recipes", "cp", name, "--overwrite")[0] == 0


def test_plan_reads_a_real_set_and_generate_fills_it(call, real_folder, tmp_path):
    status, out, err = call("plan", real_folder, "--per-cell", 1, "--class", "mel,nv", "--fst", "3-5")
    assert status == 0
    assert "broken.png" in err
    assert "plan.yaml: 4 images" in out
    status, out, _ = call("generate", "--plan", "plan.yaml", "-o", "o", "--json", *FAKE)
    assert json.loads(out)["classes"] == {"mel": 2, "nv": 2}
    assert "is there already" in call("plan", real_folder)[2]


def test_plan_json(call, real_folder):
    status, out, _ = call("plan", real_folder, "--per-cell", 3, "--class", "mel", "--fst", 3, "--json")
    told = json.loads(out)
    assert status == 0
    assert told["cells"] == [{"class": "mel", "fst": 3, "n": 1}]
    assert told["table"]["total"] == 7
    assert [item["file"] for item in told["read"]["left_out"]] == ["nevus/broken.png"]


@pytest.mark.parametrize("form", ["coco", "isic", "webdataset"])
def test_export(call, form):
    call("generate", "--class", "mel", "-n", 3, "-o", "o", *FAKE)
    status, out, _ = call("export", "o", "--to", form, "--json")
    assert status == 0
    assert all(Path(path).exists() for path in json.loads(out)["written"])


def test_info_tries_what_it_reports(call, monkeypatch):
    from synthderm.core import registry

    monkeypatch.setitem(registry._BUILT_IN, "gone", "no_such_module:Generator")
    status, out, _ = call("info", "--json")
    told = json.loads(out)
    extractors = {row["name"]: row["works"] for row in told["extractors"]}
    assert extractors["derm"]
    assert extractors["derm-open"]
    works = {row["name"]: row["works"] for row in told["generators"]}
    assert status == 0
    assert (works["simulator"], works["gone"]) == (True, False)
    assert {row["name"]: row["works"] for row in told["packages"]["required"]}["torch"]
    assert Path(told["places"]["recipes"], "paired_tones.yaml").is_file()
    assert "no_such_module" in call("info")[1]


def test_info_lists_every_parameter(call):
    from synthderm.simulator.parameters import SCENE_PARAMETERS

    told = json.loads(call("info", "--parameters", "--json")[1])["parameters"]
    assert {row["name"] for row in told} == set(SCENE_PARAMETERS)
    text = call("info", "--parameters")[1]
    assert all(name in text for name in SCENE_PARAMETERS)
