"""The whole protocol on drawn sets: runs that can be stopped, worker processes, the result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from gain_sets import make_sets
from PIL import Image

from synthderm.core import InputError, SynthdermError
from synthderm.evaluation.gain import GainConfig, gain
from synthderm.evaluation.gain import pool as pool_module
from synthderm.evaluation.gain import protocol as protocol_module
from synthderm.evaluation.gain.plan import Run
from synthderm.evaluation.result import read_result

OPTIONS = {
    "size": 16, "steps": 8, "batch_size": 16, "learning_rate": 0.05, "classifier": "gain_sets:Thumbnail",
    "n_real": (50,), "resamples": 100, "seeds": 2, "force": True, "arms": ("real", "real+replay", "real+synthetic"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"), masks=True)


def run(sets, output, *, workers=0, overwrite=False, log=None, progress=None, **options):
    config = GainConfig(**{**OPTIONS, **options})
    told = {"workers": workers, "overwrite": overwrite, "log": log, "progress": progress}
    return gain(sets[0], sets[1], sets[0], output, config, train_split="train", test_split="val", **told)


@pytest.fixture(scope="module")
def reference(sets, tmp_path_factory):
    output = tmp_path_factory.mktemp("reference")
    return output, run(sets, output)


def without_seconds(result):
    """The figures, without how long runs took."""
    runs = [{key: value for key, value in each.items() if key != "seconds"} for each in result["figures"]["runs"]]
    return json.dumps(result["figures"] | {"runs": runs})


def test_the_result_is_written_with_all_that_it_rests_on(reference):
    output, result = reference
    assert read_result(output, "gain") == result
    assert {"real-train", "synthetic", "real-test"} == set(result["context"]["sets"])
    assert result["context"]["options"]["steps"] == 8
    assert result["context"]["environment"]["packages"]["torch"]
    assert "8 steps of 16 images at 16 px" in result["protocol"]
    assert "without a replay arm nothing is called a gain" in result["protocol"]
    assert {row["arm"] for row in result["figures"]["arms"]} == {"real", "real+replay@1", "real+synthetic@1"}
    assert len(result["figures"]["runs"]) == 6
    assert all(0 <= each["validation"] <= 1 for each in result["figures"]["runs"])


def test_predictions_of_every_run_are_kept(reference):
    output, result = reference
    with np.load(output / "runs/test.npz") as test:
        assert list(test["classes"]) == ["nv", "mel", "bcc"]
        labels, groups = test["labels"], test["groups"]
    assert len(labels) == len(groups) == 64
    for each in result["figures"]["runs"]:
        with np.load(output / each["file"]) as file:
            preds = file["preds"]
        assert (preds.dtype, preds.shape) == (np.float32, (64, 3))
        assert np.allclose(preds.sum(1), 1, atol=1e-5)
    row = next(a for a in result["figures"]["arms"] if a["arm"] == "real")
    names = [e["file"] for e in result["figures"]["runs"] if e["arm"] == "real"]
    right = np.mean([(np.load(output / name)["preds"].argmax(1) == labels).mean() for name in names])
    assert row["scores"]["accuracy"]["value"] == pytest.approx(right)


def test_training_learns_the_discs(sets, tmp_path):
    result = run(sets, tmp_path, steps=60, arms=("real",))
    assert result["figures"]["arms"][0]["scores"]["macro_auroc"]["value"] > 0.7


def test_two_workers_give_the_same_figures_to_the_last_byte(reference, sets, tmp_path):
    result = run(sets, tmp_path, workers=2)
    assert without_seconds(result) == without_seconds(reference[1])
    assert not (tmp_path / ".synthderm" / "material").exists()


def test_a_finished_experiment_trains_nothing_again(reference, sets, monkeypatch):
    output, result = reference
    monkeypatch.setattr(pool_module, "execute", None)
    assert run(sets, output) == result


def test_only_what_is_missing_is_trained(reference, sets, tmp_path):
    whole = run(sets, tmp_path)
    for name in ("n50_real_seed1.json", "n50_real+synthetic@1_seed0.json"):
        (tmp_path / "runs" / name).unlink()
    lines, counts = [], []
    again = run(sets, tmp_path, log=lines.append, progress=lambda *done: counts.append(done))
    assert [line.split()[1].rstrip(":") for line in lines] == ["n50_real+synthetic@1_seed0", "n50_real_seed1"]
    assert counts == [(4, 6), (5, 6), (6, 6)]
    assert without_seconds(again) == without_seconds(whole) == without_seconds(reference[1])


def test_a_run_made_from_wrong_images_is_made_again(sets, tmp_path):
    """Runs of another version that drew other images are not mixed with those of this one."""
    run(sets, tmp_path, arms=("real",))
    path = tmp_path / "runs" / "n50_real_seed1.json"
    path.write_text(path.read_text().replace('"images": "', '"images": "0'))
    lines = []
    run(sets, tmp_path, arms=("real",), log=lines.append)
    assert [line.split()[1] for line in lines] == ["n50_real_seed1:"]


def test_more_seeds_and_ratios_may_be_asked_for_later(sets, tmp_path):
    first = run(sets, tmp_path)
    lines = []
    more = run(sets, tmp_path, seeds=3, ratios=(0.5, 1.0), log=lines.append)
    assert len(lines) == 3 * 5 - 6
    arm = next(a for a in more["figures"]["arms"] if a["arm"] == "real+synthetic@1")
    assert arm["n_seeds"] == 3
    assert [e["images"] for e in more["figures"]["runs"] if e["seed"] < 2 and e["ratio"] != 0.5] == [
        e["images"] for e in first["figures"]["runs"]
    ]


def test_runs_without_synthetic_images_are_taken_over_from_another_experiment(
    reference, sets, tmp_path, tmp_path_factory
):
    first, whole = reference
    others = make_sets(tmp_path_factory.mktemp("others"), masks=True)[1]
    changed = sorted(others.rglob("*.png"))[0]
    Image.new("RGB", (16, 16), (90, 60, 40)).save(changed)
    lines = []
    again = gain(
        sets[0], others, sets[0], tmp_path, GainConfig(**OPTIONS), train_split="train", test_split="val",
        reuse=first, log=lines.append,
    )  # fmt: skip
    assert lines[0] == f"4 runs are taken over from {first}"
    assert len(lines) == 3
    pairs = [
        (r["seconds"], s["seconds"]) for r, s in zip(again["figures"]["runs"], whole["figures"]["runs"], strict=True)
    ]
    assert sum(a == b for a, b in pairs) >= 4
    with pytest.raises(InputError, match=r"of another experiment \(steps: 8 there, 9 asked for\)"):
        gain(
            sets[0], others, sets[0], tmp_path / "b", GainConfig(**{**OPTIONS, "steps": 9}), train_split="train",
            test_split="val", reuse=first,
        )  # fmt: skip
    with pytest.raises(InputError, match="expected the output of an earlier gain"):
        gain(
            sets[0], others, sets[0], tmp_path / "c", GainConfig(**OPTIONS), train_split="train", test_split="val",
            reuse=tmp_path / "nowhere",
        )  # fmt: skip


def test_another_configuration_in_the_folder_is_refused(reference, sets, tmp_path):
    run(sets, tmp_path, arms=("real",))
    with pytest.raises(InputError, match=r"others \(steps: 8 there, 7 asked for\); choose another --output"):
        run(sets, tmp_path, arms=("real",), steps=7)
    result = run(sets, tmp_path, arms=("real",), steps=7, overwrite=True)
    assert {each["steps"] for each in result["figures"]["runs"]} == {7}


def test_other_images_in_the_folder_are_refused(sets, tmp_path):
    run(sets, tmp_path / "out", arms=("real",))
    other = make_sets(tmp_path / "other", n_synthetic=63)
    with pytest.raises(InputError, match=r"sets: .* there, .* asked for"):
        run((sets[0], other[1]), tmp_path / "out", arms=("real",))


def test_two_processes_do_not_share_a_folder(reference, sets):
    with (
        FileLock(reference[0] / ".synthderm" / "gain.lock"),
        pytest.raises(InputError, match="another process is"),
    ):
        run(sets, reference[0])


def test_stronger_augmentation_alone_changes_the_heavy_arm(sets, tmp_path):
    result = run(sets, tmp_path, arms=("real", "real+heavy-aug"), seeds=1)
    plain, heavy = result["figures"]["runs"]
    assert plain["images"] == heavy["images"]
    first, second = (np.load(tmp_path / each["file"])["preds"] for each in (plain, heavy))
    assert not np.allclose(first, second)


def test_equal_pools_give_equal_predictions(sets, tmp_path, monkeypatch):
    """Arms differ in their images and nothing else: the same images under two names are the same run."""
    whole = protocol_module.prepare

    def prepared(*args, **more):
        made = whole(*args, **more)
        runs = {run.arm.kind: run for run in made.runs}
        replay = runs["real+replay"].to_message()
        twin = Run.from_message({**replay, "arm": list(runs["real+synthetic"].to_message()["arm"])})
        object.__setattr__(made, "runs", (runs["real"], runs["real+replay"], twin))
        return made

    monkeypatch.setattr(protocol_module, "prepare", prepared)
    result = run(sets, tmp_path, seeds=1)
    row = next(r for r in result["figures"]["differences"] if r["against"] == "real+replay@1")
    assert (row["difference"]["value"], row["difference"]["interval"]) == (0.0, [0.0, 0.0])
    assert row["verdict"] == "no difference shown"


def test_segmentation_has_the_same_arms(sets, tmp_path):
    result = run(sets, tmp_path, task="segmentation", classifier="gain_sets:Blob", validation=0.2)
    figures = result["figures"]
    assert {row["arm"] for row in figures["arms"]} == {"real", "real+replay@1", "real+synthetic@1"}
    values = [np.load(tmp_path / e["file"])["preds"] for e in figures["runs"] if e["arm"] == "real"]
    found = next(row for row in figures["arms"] if row["arm"] == "real")["scores"]["dice"]
    assert found["value"] == pytest.approx(np.mean(values), abs=1e-6)
    assert 0.5 < found["value"] <= 1
    assert all(e["validation"] > 0.5 for e in figures["runs"])
    assert "after the last step" in result["protocol"]


def test_an_error_in_a_worker_is_one_line(sets, tmp_path):
    with pytest.raises(SynthdermError, match="somewhere: No space left on device"):
        run(sets, tmp_path, classifier="gain_sets:Broken", workers=1)
    assert not list((tmp_path / "runs").glob("*_seed*"))


def test_a_killed_experiment_is_finished_by_the_same_call(sets, tmp_path, reference):
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in OPTIONS.items()}
    code = (
        "from synthderm.evaluation.gain import gain, GainConfig; "
        f"gain({str(sets[0])!r}, {str(sets[1])!r}, {str(sets[0])!r}, {str(tmp_path)!r}, "
        f"GainConfig(**{options!r}), train_split='train', test_split='val')"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    end = time.monotonic() + 300
    while not list((tmp_path / "runs").glob("*_seed*.json")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert without_seconds(run(sets, tmp_path)) == without_seconds(reference[1])


def test_a_config_and_options_exclude_each_other(sets, tmp_path):
    with pytest.raises(InputError, match="either a config or options"):
        gain(*sets, sets[0], tmp_path, GainConfig(), steps=5)
