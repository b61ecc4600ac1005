"""``synthderm train lora`` from the command line."""

import json
import os
import subprocess
import sys

import pytest

from synthderm.cli import main

OPTIONS = "-r 2 --alpha 4 --batch-size 2 --resolution 64 --samples 0 --lr 1e-2 --cpu --mixed-precision no".split()


@pytest.fixture
def made(bases, data):
    """(folder of a tiny base, folder of drawn images)."""
    return bases("sd"), data


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["synthderm", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def train(monkeypatch, capsys, made, output, *more):
    base, images = made
    arguments = ["train", "lora", "--data", images, "--base", base, "-o", output, *OPTIONS, *more]
    return call(monkeypatch, capsys, *arguments)


def test_a_run_is_made_shown_and_continued(monkeypatch, capsys, made, tmp_path):
    status, out, err = train(monkeypatch, capsys, made, tmp_path, "--steps", 2, "--validate-every", 1)
    assert status == 0
    assert "held-out loss" in out
    assert "trained on 7 images: nv " in out
    assert "licence of the adapter, from its images: LicenseRef-unknown" in out
    assert f"wrote {tmp_path}: adapter, card" in out
    assert "learns nothing of these classes" in err
    more = ("--steps", 3, "--validate-every", 1, "--resume", "--json")
    status, out, err = train(monkeypatch, capsys, made, tmp_path, *more)
    assert "continuing after step 2 of 3" in err
    assert json.loads(out)["steps"] == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--resume",), "nothing to resume"),
        (("--optimizer", "adam"), "unknown optimizer 'adam'; did you mean 'adamw'"),
        (("--patience", 2, "--validate-every", 0), "patience needs a held-out loss"),
        (("--mixed-precision", "fp16"), "fp16 needs a GPU"),
        (("--captions", "nowhere.jsonl"), "cannot read the captions nowhere.jsonl"),
        (("--start-from", "nowhere"), "there is no adapter 'nowhere'"),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, made, tmp_path, more, message):
    status, _, err = train(monkeypatch, capsys, made, tmp_path, *more)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("synthderm: error: ")
    assert message in last


def test_a_base_that_is_not_there_lists_where_it_was_looked_for(monkeypatch, capsys, made, tmp_path):
    status, _, err = train(monkeypatch, capsys, (tmp_path / "nowhere", made[1]), tmp_path / "out")
    assert status == 2
    assert "looked in" in err


def test_help_has_examples(monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "train", "lora", "--help")
    assert status == 0
    assert "synthderm train lora --data my_lesions/ --base compact -o adapter" in out


@pytest.mark.slow
def test_two_processes_train_one_adapter(made, tmp_path):
    base, images = made
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29653"]
    run = "from synthderm.cli import main; main()"
    script = tmp_path / "run.py"
    script.write_text(run)
    command += [str(script), "train", "lora", "--data", str(images), "--base", str(base), "-o", str(tmp_path / "out")]
    command += [option for option in OPTIONS if option != "--cpu"] + ["--steps", "2", "--validate-every", "2", "--json"]
    surroundings = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout[done.stdout.index("{") :])
    assert result["steps"] == 2
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 2]
    assert done.stderr.count("learns nothing of these classes") == 1
