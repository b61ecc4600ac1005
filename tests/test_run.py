"""Runs: the same bytes whatever happens on the way."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import synthderm.data.files as data_files
from synthderm.core import InputError, SynthdermError
from synthderm.core.processes import environment
from synthderm.core.tone import tone_band
from synthderm.data import to_coco
from synthderm.functional.color import skin_ita_deg
from synthderm.run import generate, rejections

DESCRIBED = ("metadata.jsonl", "rejected.jsonl", "recipe.resolved.yaml")
BASE = {"diagnosis": "mel", "fst": 5, "size": 64, "generator": "fakes:FakeGenerator", "workers": 0}


def make(output, **flags):
    return generate(output=output, **{**BASE, **flags})


def contents(root):
    """Digest of every file that the pictures and their description are made of."""
    root = Path(root)
    files = [*root.glob("images/*"), *root.glob("masks/*"), *root.glob("maps/*"), *(root / n for n in DESCRIBED)]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rows(root):
    return [json.loads(line) for line in (Path(root) / "metadata.jsonl").read_text().splitlines()]


def seeds_in(log):
    return [line.split()[0] for line in Path(log).read_text().splitlines()]


def start(output, stderr=None, **flags):
    """The same run in a process of its own."""
    flags = {**BASE, "output": str(output), **flags}
    code = f"from synthderm.run import generate; generate(**{flags!r})"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment(), start_new_session=True, stderr=stderr)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def reference(tmp_path):
    make(tmp_path / "reference", num_images=9, fst="all", masks="all", maps=True)
    return contents(tmp_path / "reference")


def test_a_row_says_what_the_image_is(tmp_path):
    summary = make(tmp_path / "o", num_images=3)
    row = rows(tmp_path / "o")[1]
    assert row["isic_id"] == f"SYN_{summary.recipe_id}_000001"
    assert row["file_name"] == f"images/{row['isic_id']}.png"
    assert (row["dx"], row["diagnosis"], row["diagnosis_1"]) == ("mel", "melanoma", "Malignant")
    assert (row["dx_type"], row["is_synthetic"], row["image_type"]) == ("simulated", True, "dermoscopic")
    assert (row["fst_requested"], row["fst_proxy"]) == (5, 5)
    assert abs(row["ita_deg"] - row["ita_requested_deg"]) < 2
    assert row["ita_deg"] in tone_band(5)
    assert 0.15 <= row["lesion.radius"] <= 0.3
    assert row["sha256"] == hashlib.sha256((tmp_path / "o" / row["file_name"]).read_bytes()).hexdigest()
    assert len({r["lesion_id"] for r in rows(tmp_path / "o")}) == 3


def test_the_summary_counts(tmp_path):
    summary = make(tmp_path / "o", num_images=12, fst="1,6", diagnosis="mel,nv")
    assert (summary.made, summary.present, summary.requested, summary.complete) == (12, 12, 12, True)
    assert summary.classes == {"mel": 6, "nv": 6}
    assert [(t.fst, t.images, t.inside) for t in summary.tone] == [(1, 6, 6), (6, 6, 6)]
    assert summary.tone[0].mean_deg > 55
    assert summary.tone[1].mean_deg < -30
    json.dumps(summary.to_dict(), allow_nan=False)


@pytest.mark.parametrize("flags", [{"batch_size": 1}, {"batch_size": 5}, {"workers": 1}, {"workers": 2}])
def test_batches_and_workers_change_no_byte(tmp_path, reference, flags):
    make(tmp_path / "o", num_images=9, fst="all", masks="all", maps=True, **flags)
    assert contents(tmp_path / "o") == reference


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_of_one_folder_add_up(tmp_path, reference, order):
    for k in order:
        summary = make(tmp_path / "o", num_images=9, fst="all", masks="all", maps=True, shard=(k, 3))
        assert summary.made == 3
    assert summary.complete
    assert contents(tmp_path / "o") == reference


def test_shards_of_separate_folders_add_up(tmp_path, reference):
    parts = {}
    for k in (1, 2, 3):
        summary = make(tmp_path / f"{k}", num_images=9, fst="all", masks="all", maps=True, shard=f"{k}/3")
        assert (summary.present, summary.complete) == (3, False)
        parts |= contents(tmp_path / f"{k}")
    pictures = {name for name in reference if "/" in name}
    assert {name: parts[name] for name in pictures} == {name: reference[name] for name in pictures}
    lines = [line for k in (1, 2, 3) for line in rows(tmp_path / f"{k}")]
    assert sorted(line["index"] for line in lines) == list(range(9))


@pytest.mark.parametrize(("workers", "kills"), [(0, (3, 9)), (2, (5,))])
def test_kill_9_at_any_moment_and_the_same_command_finishes(tmp_path, monkeypatch, workers, kills):
    flags = {"num_images": 24, "generator": "fakes:SlowGenerator", "masks": "all", "batch_size": 4}
    make(tmp_path / "whole", **flags)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    journal = tmp_path / "o" / ".synthderm" / "journal-1-of-1.jsonl"
    for lines in kills:
        process = start(tmp_path / "o", workers=workers, **flags)
        wait_for(lambda: journal.is_file() and journal.read_bytes().count(b"\n") >= lines)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for path in (tmp_path / "o" / "images").iterdir():
            Image.open(path).load()  # whole, or not there under its name
    finished = {json.loads(line)["seed"] for line in journal.read_text().splitlines() if line.endswith("}")}
    time.sleep(0.5)  # workers whose parent is gone end on their own
    (tmp_path / "log").unlink()
    summary = make(tmp_path / "o", **flags)
    assert contents(tmp_path / "o") == contents(tmp_path / "whole")
    assert summary.made == 24 - len(finished)
    again = seeds_in(tmp_path / "log")
    assert len(again) == len(set(again))
    assert not finished & {int(seed) for seed in again}


def test_a_killed_parent_leaves_no_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    with open(tmp_path / "stderr", "w") as stderr:
        process = start(tmp_path / "o", stderr, num_images=500, generator="fakes:SlowGenerator", workers=2)
    wait_for(lambda: (tmp_path / "log").is_file())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    before = (tmp_path / "log").read_text()
    time.sleep(0.5)
    assert (tmp_path / "log").read_text() == before
    assert (tmp_path / "stderr").read_text() == ""


def test_a_finished_set_is_not_made_again(tmp_path, monkeypatch):
    make(tmp_path / "o", num_images=4)
    before = contents(tmp_path / "o")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    assert make(tmp_path / "o", num_images=4).made == 0
    assert not (tmp_path / "log").exists()
    assert contents(tmp_path / "o") == before


def test_an_image_that_was_deleted_is_made_again(tmp_path):
    make(tmp_path / "o", num_images=4)
    before = contents(tmp_path / "o")
    next((tmp_path / "o" / "images").iterdir()).unlink()
    assert make(tmp_path / "o", num_images=4).made == 1
    assert contents(tmp_path / "o") == before


def test_a_larger_n_goes_on(tmp_path):
    make(tmp_path / "o", num_images=4)
    assert make(tmp_path / "o", num_images=10).made == 6
    make(tmp_path / "whole", num_images=10)
    assert contents(tmp_path / "o") == contents(tmp_path / "whole")


def test_a_smaller_n_is_refused(tmp_path):
    make(tmp_path / "o", num_images=10)
    with pytest.raises(InputError, match="give -n 10 or more"):
        make(tmp_path / "o", num_images=4)


def test_another_recipe_is_refused_and_overwrites_only_when_told(tmp_path):
    make(tmp_path / "o", num_images=4)
    before = contents(tmp_path / "o")
    with pytest.raises(InputError, match=r"another recipe \(class \['mel'\] there, \['nv'\] asked for\)"):
        make(tmp_path / "o", num_images=4, diagnosis="nv")
    assert contents(tmp_path / "o") == before
    (tmp_path / "o" / "images" / "mine.txt").write_text("keep")
    flags = {"num_images": 3, "diagnosis": "nv", "masks": ()}
    to_coco(tmp_path / "o")
    make(tmp_path / "o", overwrite=True, **flags)
    make(tmp_path / "new", **flags)
    after = contents(tmp_path / "o")
    assert after.pop("images/mine.txt")
    assert after == contents(tmp_path / "new")
    assert {p.name for p in (tmp_path / "o").iterdir()} == {p.name for p in (tmp_path / "new").iterdir()}


def test_a_folder_of_somebody_else_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="did not write"):
        make(tmp_path, num_images=2, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "o").write_text("")
    with pytest.raises(InputError, match="o is a file"):
        make(tmp_path / "o", num_images=2)


def test_redraws_are_counted_and_end_on_target(tmp_path):
    summary = make(tmp_path / "o", num_images=30, generator="fakes:FlakyGenerator")
    table = rows(tmp_path / "o")
    records = [json.loads(line) for line in (tmp_path / "o" / "rejected.jsonl").read_text().splitlines()]
    assert summary.tone[0].inside == 30
    assert summary.rejected == {"tone off target": len(records)}
    assert sum(row["attempts"] - 1 for row in table) == len(records) > 3
    assert all(row["seed"] % 3 for row in table)
    assert all(record["seed"] % 3 == 0 for record in records)


def test_lesions_that_cannot_be_seen_are_drawn_again(tmp_path):
    summary = make(tmp_path / "o", num_images=30, generator="fakes:FaintGenerator")
    assert summary.rejected["lesion not visible"] > 3
    assert all(row["lesion_visible"] and row["seed"] % 4 for row in rows(tmp_path / "o"))
    record = json.loads((tmp_path / "o" / "rejected.jsonl").read_text().splitlines()[0])
    assert record["detail"] == "changes the skin by dE00 0.5, needs 2"


@pytest.mark.parametrize("flags", [{"set": {"lesion.radius": 0.2}}, {"vary": "lesion.radius", "num_images": 4}])
def test_invisible_lesions_are_kept_where_the_request_decides_their_look(tmp_path, flags):
    summary = make(tmp_path / "o", **{"num_images": 30, "generator": "fakes:FaintGenerator", **flags})
    assert summary.rejected == {}
    if "set" in flags:
        assert not all(row["lesion_visible"] for row in rows(tmp_path / "o"))


def test_redraws_do_not_depend_on_workers_or_an_interruption(tmp_path):
    flags = {"generator": "fakes:FlakyGenerator", "fst": "all", "paired": True}
    make(tmp_path / "a", num_images=24, **flags)
    make(tmp_path / "b", num_images=6, **flags)
    make(tmp_path / "b", num_images=24, workers=2, **flags)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert (tmp_path / "a" / "rejected.jsonl").stat().st_size > 0


@pytest.mark.parametrize("generator", ["FlakyGenerator", "DarkFlakyGenerator"])
def test_a_family_is_redrawn_as_a_whole(tmp_path, generator):
    make(tmp_path / "o", num_images=60, generator=f"fakes:{generator}", fst="all", paired=True)
    by_family = {}
    for row in rows(tmp_path / "o"):
        by_family.setdefault(row["family"], []).append(row)
    assert any(members[0]["attempts"] > 1 for members in by_family.values())
    for members in by_family.values():
        assert len({(row["seed"], row["attempts"], row["lesion_id"]) for row in members}) == 1
        masks = {(tmp_path / "o" / row["mask_file_name"]).read_bytes() for row in members}
        assert len(masks) == 1


def test_what_cannot_be_made_is_listed_and_the_rest_is_made(tmp_path, monkeypatch):
    flags = {"num_images": 12, "fst": "all", "generator": "fakes:StuckGenerator"}
    summary = make(tmp_path / "o", **flags)
    assert (summary.present, summary.complete) == (10, False)
    assert [lost["index"] for lost in summary.given_up] == [5, 11]
    assert summary.rejected == {"tone off target": 40}
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    assert len(make(tmp_path / "o", **flags).given_up) == 2
    assert not (tmp_path / "log").exists()


def test_the_tone_is_measured_on_the_file(tmp_path):
    make(tmp_path / "o", num_images=8, format="jpg")
    for row in rows(tmp_path / "o"):
        with Image.open(tmp_path / "o" / row["file_name"]) as file:
            pixels = torch.from_numpy(np.array(file)).permute(2, 0, 1)
        with Image.open(tmp_path / "o" / row["mask_file_name"]) as file:
            healthy = torch.from_numpy(np.array(file)) == 0
        assert row["ita_deg"] == pytest.approx(skin_ita_deg(pixels, healthy), abs=1e-3)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, monkeypatch):
    replace, count = os.replace, [0]

    def full(source, target):
        count[0] += "images" in str(target)
        if count[0] > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(data_files.os, "replace", full)
        with pytest.raises(InputError, match="disk is full") as caught:
            make(tmp_path / "o", num_images=8)
    assert "\n" not in str(caught.value)
    make(tmp_path / "o", num_images=8)
    make(tmp_path / "whole", num_images=8)
    assert contents(tmp_path / "o") == contents(tmp_path / "whole")


@pytest.mark.parametrize("workers", [0, 1])
def test_families_that_were_turned_down_fill_the_next_draw(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    summary = make(tmp_path / "o", generator="fakes:CountingGenerator", num_images=60, batch_size=10, workers=workers)
    calls = [int(line) for line in (tmp_path / "log.calls").read_text().split()]
    again = summary.rejected["tone off target"]
    assert sum(calls) == 60 + again
    assert again > 10
    assert calls[:6] == [10] * 6
    assert len(calls) <= 6 + again // 10 + 6


def test_a_full_disk_under_the_record_of_rejections(tmp_path, monkeypatch):
    def full(path, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(rejections, "open", full, raising=False)
    with pytest.raises(InputError, match=r"rejected-1-of-1\.jsonl: the disk is full"):
        make(tmp_path / "o", num_images=30, generator="fakes:FlakyGenerator")


def test_a_worker_that_dies_is_reported(tmp_path):
    with pytest.raises(SynthdermError, match="a worker process ended with status 3; run the same command again"):
        make(tmp_path / "o", num_images=20, generator="fakes:BrokenGenerator", workers=1)


def test_an_error_of_a_worker_is_the_error_of_the_run(tmp_path, monkeypatch):
    make(tmp_path / "o", num_images=1)
    images = tmp_path / "o" / "images"
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "no such folder" / "log"))
    with pytest.raises(SynthdermError, match="log: No such file"):
        make(tmp_path / "o", num_images=20, workers=1)
    assert len(list(images.iterdir())) == 1


def test_two_runs_of_one_folder_do_not_meet(tmp_path):
    process = start(tmp_path / "o", num_images=100, generator="fakes:SlowGenerator")
    wait_for(lambda: (tmp_path / "o" / "images").is_dir())
    with pytest.raises(InputError, match="another process is writing"):
        make(tmp_path / "o", num_images=100, generator="fakes:SlowGenerator")
    with pytest.raises(InputError, match="another process is writing"):
        make(tmp_path / "o", num_images=4, overwrite=True)
    process.kill()
    process.wait()


def test_a_plan_is_filled_and_recorded(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("cells: [{class: mel, fst: 5, n: 2}, {class: nv, fst: 6, n: 3}]\n")
    flags = {"plan": plan, "fst": None, "diagnosis": None}
    summary = make(tmp_path / "o", **flags)
    assert summary.classes == {"mel": 2, "nv": 3}
    assert [(row["dx"], row["fst_proxy"]) for row in rows(tmp_path / "o")] == [("mel", 5)] * 2 + [("nv", 6)] * 3
    generate(tmp_path / "o" / "recipe.resolved.yaml", output=tmp_path / "again", workers=0)
    assert contents(tmp_path / "again") == contents(tmp_path / "o")


def test_the_record_makes_the_same_set(tmp_path):
    make(tmp_path / "o", vary="lesion.radius=0.1:0.3", num_images=4, masks="hair", set={"lesion.spots": 3})
    generate(tmp_path / "o" / "recipe.resolved.yaml", output=tmp_path / "again", workers=0)
    assert contents(tmp_path / "again") == contents(tmp_path / "o")
    assert [row["lesion.radius"] for row in rows(tmp_path / "o")] == pytest.approx([0.1, 1 / 6, 7 / 30, 0.3])


def test_progress_ends_at_the_whole(tmp_path):
    told = []
    make(tmp_path / "o", num_images=3)
    make(tmp_path / "o", num_images=5, progress=lambda here, total: told.append((here, total)))
    assert told == [(4, 5), (5, 5)]


def test_an_unknown_mask_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown mask 'hairs'; did you mean 'hair'"):
        make(tmp_path / "o", num_images=1, masks="hairs")
    assert not (tmp_path / "o").exists()


def test_the_simulator_keeps_the_promise_too(tmp_path):
    flags = {
        "diagnosis": "bcc",
        "fst": "2,6",
        "paired": True,
        "num_images": 4,
        "generator": "simulator",
        "masks": "all",
    }
    make(tmp_path / "a", **flags)
    make(tmp_path / "b", workers=2, **flags)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    light, dark = rows(tmp_path / "a")[:2]
    assert (light["fst_proxy"], dark["fst_proxy"]) == (2, 6)
    assert (tmp_path / "a" / light["mask_file_name"]).read_bytes() == (
        tmp_path / "a" / dark["mask_file_name"]
    ).read_bytes()
