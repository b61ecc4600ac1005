import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from made_up import MASKS, TOLD, made_up_row, made_up_sample, make_folder, make_images, tree

from synthderm.core import InputError
from synthderm.data import Journal, finish_folder, journal_rows, read_manifest, write_manifest
from synthderm.data.manifest import folder_lock
from synthderm.data.table import Table, flatten_row
from synthderm.data.writers import FolderWriter

ROWS = [made_up_row(i, code=("mel", "nv")[i % 2], fst=1 + i % 6) for i in range(6)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("set") / "out"
    make_folder(root, ROWS)
    return root


@pytest.fixture
def load_dataset(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return lambda *args, **kwargs: datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **kwargs)


def journal_file(root):
    return root / ".synthderm/journal-1-of-1.jsonl"


@pytest.mark.parametrize("how", ["imagefolder", "folder"])
def test_hugging_face_loads_images_masks_and_columns(finished, load_dataset, how):
    splits = (
        load_dataset("imagefolder", data_dir=str(finished)) if how == "imagefolder" else load_dataset(str(finished))
    )
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 6}
    row = splits["train"][4]
    sample = made_up_sample(4)
    np.testing.assert_array_equal(np.asarray(row["image"]), sample.image.permute(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(row["mask"]) > 127, sample.masks["lesion"])
    np.testing.assert_array_equal(np.asarray(row["attribute_globules"]) > 127, sample.masks["globules"])
    assert row["isic_id"] == ROWS[4]["isic_id"]
    assert row["seed"] == 2**62 + 4
    assert row["lesion.asymmetry"] == 0.4
    assert row["artefact.ruler"] is False
    assert row["is_synthetic"] is True


def test_columns_that_only_late_rows_have_load_too(tmp_path, load_dataset):
    image = dict(make_folder(tmp_path, ROWS[:1])[0])
    rows = [image | {"index": i, "isic_id": f"SYN_{i}", "note": "x" * 30_000} for i in range(600)]
    rows[-1] |= {"late": 0.5, "later": "word"}
    write_manifest(tmp_path, rows)
    table = load_dataset("imagefolder", data_dir=str(tmp_path), split="train").remove_columns(["image", "mask"])
    late = {row["index"]: row["late"] for row in table}
    assert len(late) == 600
    assert late[599] == 0.5
    assert set(late.values()) == {0.5, None}


def test_rows_are_sorted_flat_and_of_one_schema(tmp_path):
    make_images(tmp_path, [made_up_row(2), made_up_row(0, extra=1), made_up_row(1, extra=1.5)])
    write_manifest(tmp_path)
    rows = read_manifest(tmp_path)
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert [row["extra"] for row in rows] == [1.0, 1.5, None]
    assert isinstance(rows[0]["extra"], float)
    assert len({tuple(row) for row in rows}) == 1
    assert next(iter(rows[0])) == "file_name"
    assert not any(isinstance(value, dict) for row in rows for value in row.values())


def test_values_that_json_does_not_have_become_none():
    assert flatten_row({"ita_deg": math.nan, "parameters": {"a.b": math.inf}, "x": {"y": {"z": 1}}}) == {
        "ita_deg": None,
        "a.b": None,
        "x.y.z": 1,
    }


def test_two_values_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"'a\.b'"):
        flatten_row({"a": {"b": 1}, "a.b": 2})


def test_a_column_of_two_types_is_refused_by_name():
    with pytest.raises(InputError, match="'x' must be of one type, but got float, str"):
        Table({0: {"index": 0, "x": 1.0}, 1: {"index": 1, "x": "1"}})


def test_a_torn_last_line_is_cut_off_and_the_image_made_again(tmp_path):
    make_images(tmp_path, ROWS)
    whole = journal_file(tmp_path).read_bytes()
    for cut in (1, 20, 400):
        journal_file(tmp_path).write_bytes(whole[:-cut])
        with Journal(tmp_path) as journal:
            assert sorted(journal.done()) == [0, 1, 2, 3, 4]
            journal.append(json.loads(whole.splitlines()[5]))
            assert sorted(journal.done()) == [0, 1, 2, 3, 4, 5]
        assert journal_file(tmp_path).read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path):
    make_images(tmp_path, ROWS)
    lines = journal_file(tmp_path).read_bytes().splitlines(keepends=True)
    journal_file(tmp_path).write_bytes(b"".join([*lines[:2], b"\0" * 50 + b"\n", *lines[3:]]))
    with pytest.raises(InputError, match=r"journal-1-of-1\.jsonl, line 3, is damaged"):
        Journal(tmp_path)
    journal_file(tmp_path).write_bytes(b"".join(lines))
    with Journal(tmp_path) as journal:  # the refusal above did not keep the lock
        assert len(journal.done()) == 6


@pytest.mark.parametrize("column", ["file_name", "mask_file_name", "attribute_hair_file_name"])
def test_an_image_that_lost_a_file_is_not_done(tmp_path, column):
    make_images(tmp_path, ROWS)
    (tmp_path / journal_rows(tmp_path)[3][column]).unlink()
    assert sorted(journal_rows(tmp_path)) == [0, 1, 2, 4, 5]


def test_an_image_with_a_file_cut_short_by_a_power_cut_is_not_done(tmp_path):
    make_images(tmp_path, ROWS)
    mask = tmp_path / journal_rows(tmp_path)[3]["mask_file_name"]
    os.truncate(mask, mask.stat().st_size - 1)
    assert sorted(journal_rows(tmp_path)) == [0, 1, 2, 4, 5]


def test_an_image_without_its_file_cannot_be_noted(tmp_path):
    with Journal(tmp_path) as journal, pytest.raises(InputError, match=r"nowhere\.png"):
        journal.append({"index": 0, "file_name": "images/nowhere.png"})


def test_done_reads_the_journals_of_all_shards(tmp_path):
    make_images(tmp_path, ROWS[0::2], shard=(1, 2))
    make_images(tmp_path, ROWS[1::2], shard=(2, 2))
    with Journal(tmp_path) as journal:  # going on with another number of shards
        assert sorted(journal.done()) == list(range(6))


def test_one_shard_cannot_be_written_twice_at_once(tmp_path):
    with Journal(tmp_path, (1, 2)), Journal(tmp_path, (2, 2)), pytest.raises(InputError, match="shard 1/2"):
        Journal(tmp_path, (1, 2))
    Journal(tmp_path, (1, 2)).close()


def test_the_lock_of_the_folder_ends_with_a_message(tmp_path):
    with folder_lock(tmp_path), pytest.raises(InputError, match="another process"), folder_lock(tmp_path, 0.1):
        pass


def test_killed_and_continued_equals_uninterrupted(tmp_path):
    make_folder(tmp_path / "whole", ROWS)
    part = tmp_path / "part"
    make_images(part, ROWS[:3])
    FolderWriter(part, masks=MASKS).write(made_up_sample(3), ROWS[3]["isic_id"])  # killed before its journal line
    (part / ".synthderm/journal-1-of-1.jsonl").open("ab").write(b'{"index": 3, "isic')
    with Journal(part) as journal:
        missing = [row for row in ROWS if row["index"] not in journal.done()]
    make_folder(part, missing)
    assert tree(part) == tree(tmp_path / "whole")


SHARD = """
import sys
import tracemalloc
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from made_up import make_folder, made_up_row
k = int(sys.argv[3])
make_folder(Path(sys.argv[2]), [made_up_row(i) for i in range(k - 1, 8, 2)], shard=(k, 2))
"""


def test_two_shards_that_end_at_once_describe_the_whole_set(tmp_path):
    make_folder(tmp_path / "whole", [made_up_row(i) for i in range(8)])
    here = str(Path(__file__).parent)
    commands = [[sys.executable, "-c", SHARD, here, str(tmp_path / "parts"), str(k)] for k in (1, 2)]
    shards = [subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) for command in commands]
    assert [shard.wait() for shard in shards] == [0, 0]
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_rows_that_a_shard_read_too_early_do_not_win(tmp_path):
    make_images(tmp_path, ROWS[:3], shard=(1, 2))
    early = list(journal_rows(tmp_path).values())
    make_images(tmp_path, ROWS[3:], shard=(2, 2))
    assert [row["index"] for row in finish_folder(tmp_path, early, **TOLD)] == list(range(6))


def test_given_rows_are_added_but_those_of_the_journals_win(tmp_path):
    make_images(tmp_path, ROWS[:2])
    done = list(journal_rows(tmp_path).values())
    write_manifest(tmp_path, [done[1] | {"ita_deg": 99.0}, done[1] | {"index": 2}])
    assert [(row["index"], row["ita_deg"]) for row in read_manifest(tmp_path)] == [
        (0, done[0]["ita_deg"]),
        (1, done[1]["ita_deg"]),
        (2, done[1]["ita_deg"]),
    ]


def test_a_manifest_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(InputError, match="synthderm generate"):
        read_manifest(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"index": 0}\n{"index": ')
    with pytest.raises(InputError, match=r"metadata\.jsonl, line 2"):
        read_manifest(tmp_path)


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path, monkeypatch):
    from synthderm.data import manifest

    make_images(tmp_path, ROWS[:2])
    before = journal_file(tmp_path).read_bytes()
    row = next(iter(journal_rows(tmp_path).values()))
    with Journal(tmp_path) as journal:
        write = os.write
        monkeypatch.setattr(manifest.os, "write", lambda descriptor, line: write(descriptor, line[:10]))
        with pytest.raises(InputError, match="the disk is full"):
            journal.append(row)
        monkeypatch.undo()
    assert journal_file(tmp_path).read_bytes() == before


def peak_bytes(root, n, describe):
    """Peak of the memory that describing a folder of ``n`` images takes; their rows have 250 columns each."""
    make_images(root, ROWS[:1])
    row = json.loads(journal_file(root).read_text())
    row |= {f"lesion.parameter_{i}": i / 7 for i in range(230)}
    with journal_file(root).open("w") as journal:
        for i in range(n):
            own = {"index": i, "isic_id": f"SYN_{i:06d}", "lesion_id": f"SYNL_{i:06d}", "ita_deg": i / 30}
            journal.write(json.dumps(row | own) + "\n")
    tracemalloc.start()
    try:
        described = describe(root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(read_manifest(root)) == n
    assert described is not None
    return peak


@pytest.mark.parametrize("describe", [write_manifest, lambda root: finish_folder(root, **TOLD)])
def test_the_memory_for_an_image_is_far_below_the_size_of_its_row(tmp_path, describe):
    describe_few, describe_many = (peak_bytes(tmp_path / str(n), n, describe) for n in (210, 610))
    assert (describe_many - describe_few) / 400 < 1_000


def test_a_row_reads_what_it_does_not_hold(tmp_path):
    table = make_folder(tmp_path, [made_up_row(i, extra=(1, 1.5)[i % 2]) for i in range(3)])
    assert [dict(row) for row in table] == read_manifest(tmp_path)
    assert [row["extra"] for row in reversed(table)] == [1.0, 1.5, 1.0]
    assert "nowhere" not in table[0]
    with pytest.raises(KeyError):
        table[0]["nowhere"]


def test_the_last_line_of_an_image_counts(tmp_path):
    make_images(tmp_path, ROWS[:2])
    first = json.loads(journal_file(tmp_path).read_text().splitlines()[0])
    with journal_file(tmp_path).open("a") as journal:
        journal.write(json.dumps(first | {"ita_deg": 12.5}) + "\n")
    assert [row["ita_deg"] for row in journal_rows(tmp_path).values()] == [12.5, ROWS[1]["ita_deg"]]
    with journal_file(tmp_path).open("a") as journal:
        journal.write(json.dumps(first | {"_bytes": 1}) + "\n")
    assert list(journal_rows(tmp_path)) == [1]
