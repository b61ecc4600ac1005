"""Tables and plans: exact sums, a fill that is right by definition, and files that are checked."""

import csv
import io
import json
import random
import zipfile
from collections import Counter

import pytest
import yaml
from rich.console import Console

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import (
    Plan,
    PlanCell,
    Record,
    format_table,
    make_plan,
    read_dataset,
    read_plan,
    tone_table,
    write_plan,
)
from synthderm.data.planning import share_out, water_fill

CODES = tuple(DIAGNOSES)


def records(counts, label=None):
    """{(code, fst): n} -> records."""
    return [
        Record(file=f"{code}_{fst}_{i}", dataset="d", label=label or code, diagnosis=code, fst=fst)
        for (code, fst), n in counts.items()
        for i in range(n)
    ]


def random_table(rng, top=60):
    return tone_table(records({(code, t): rng.randrange(top) for code in CODES for t in range(1, 7)}))


def one_by_one(counts, budget):
    """The definition: each image goes to the emptiest cell, the first among equals."""
    level = list(counts)
    for _ in range(budget):
        level[min(range(len(level)), key=lambda i: (level[i], i))] += 1
    return sorted(level)


def test_water_fill_equals_filling_the_emptiest_one_by_one():
    rng = random.Random(0)
    for _ in range(400):
        counts = [rng.randrange(rng.choice([1, 3, 50])) for _ in range(rng.randrange(1, 12))]
        budget = rng.randrange(0, 120)
        added = water_fill(counts, budget)
        assert sum(added) == budget
        assert min(added) >= 0
        filled = [a + b for a, b in zip(counts, added, strict=True)]
        assert sorted(filled) == one_by_one(counts, budget)
        raised = [n for n, more in zip(filled, added, strict=True) if more]
        assert not raised or max(raised) - min(filled) <= 1  # nothing above the level was raised


def test_water_fill_by_hand():
    assert water_fill([5, 0, 2], 4) == [0, 3, 1]
    assert water_fill([5, 0, 2], 0) == [0, 0, 0]
    assert water_fill([1, 1, 1], 5) == [2, 2, 1]
    assert water_fill([], 0) == []
    assert water_fill([0, 10**6], 10**6 + 4) == [10**6 + 2, 2]


def test_share_out_is_exact_and_off_by_less_than_one():
    rng = random.Random(1)
    for _ in range(300):
        weights = [rng.randrange(20) for _ in range(rng.randrange(1, 9))]
        budget = rng.randrange(200)
        shares = share_out(weights, budget)
        assert sum(shares) == budget
        if sum(weights):
            assert all(abs(s - budget * w / sum(weights)) < 1 for s, w in zip(shares, weights, strict=True))
    assert share_out([0, 0], 3) == [2, 1]


def test_the_table_counts_every_record_once():
    some = records({("mel", 2): 3, ("nv", 6): 2, ("nv", None): 4}) + [
        Record(file="x", dataset="d", label="SCC", fst=1),
        Record(file="y", dataset="d", label="SCC"),
    ]
    table = tone_table(some, "here")
    assert table.count("mel", 2) == 3
    assert table.count("nv", 6) == 2
    assert table.unknown_tone["nv"] == 4
    assert table.other_labels == {"SCC": (1, 0, 0, 0, 0, 0, 1)}
    assert (table.usable, table.total) == (5, 11)
    rows = table.rows()
    assert [row["label"] for row in rows] == [*CODES, "SCC"]
    assert sum(row["total"] for row in rows) == 11
    assert [row["label"] for row in rows if not row["in_plan"]] == ["SCC"]
    assert json.loads(json.dumps(table.to_json()))["usable"] == 5


def test_balanced_fills_the_emptiest_cells_to_a_common_level():
    rng = random.Random(2)
    for _ in range(40):
        table = random_table(rng)
        budget = rng.randrange(1, 4000)
        plan = make_plan(table, budget=budget)
        assert plan.total == budget
        before = [table.count(c, t) for c in CODES for t in range(1, 7)]
        after = [table.count(c, t) + plan.count(c, t) for c in CODES for t in range(1, 7)]
        assert sorted(after) == one_by_one(before, budget)


def test_tone_keeps_the_share_of_each_class_and_levels_its_tones():
    table = tone_table(records({("mel", 1): 60, ("mel", 6): 20, ("nv", 1): 20}))
    plan = make_plan(table, "tone")
    per_class = Counter()
    for cell in plan.cells:
        per_class[cell.diagnosis] += cell.count
    assert per_class == {"mel": 80, "nv": 20}  # ratio 1: as many again, in the same shares
    assert plan.count("mel", 1) == 0
    after = [table.count("mel", t) + plan.count("mel", t) for t in range(2, 7)]
    assert after == [20, 20, 20, 20, 20]
    assert [plan.count("nv", t) for t in range(1, 7)] == [0, 4, 4, 4, 4, 4]


def test_class_levels_the_classes_and_spreads_the_tones_evenly():
    table = tone_table(records({("mel", 1): 60, ("nv", 1): 12, ("nv", 6): 18, ("df", 3): 30}))
    plan = make_plan(table, "class", budget=60, classes=["mel", "nv", "df"])
    totals = {code: sum(plan.count(code, t) for t in range(1, 7)) for code in ("mel", "nv", "df")}
    assert totals == {"mel": 0, "nv": 30, "df": 30}
    assert [plan.count("nv", t) for t in range(1, 7)] == [5] * 6
    odd = make_plan(table, "class", budget=8, classes="nv")
    assert [odd.count("nv", t) for t in range(1, 7)] == [1, 2, 2, 1, 1, 1]  # the rest to the emptiest


def test_per_cell_fills_every_cell_up_to_the_number():
    rng = random.Random(3)
    table = random_table(rng)
    plan = make_plan(table, per_cell=30)
    for code in CODES:
        for t in range(1, 7):
            assert max(table.count(code, t), 30) == table.count(code, t) + plan.count(code, t)
    assert plan.target == "per_cell"


def test_the_default_budget_is_a_ratio_of_the_usable_images():
    some = records({("mel", 2): 30, ("nv", 1): 10, ("nv", None): 7})
    table = tone_table([*some, Record(file="x", dataset="d", label="SCC", fst=1)])
    assert make_plan(table).total == 40
    assert make_plan(table, ratio=2.5).total == 100
    assert make_plan(table, classes="melanoma").total == 30
    plan = make_plan(table, classes=["nv"], fst="1-2")
    assert plan.total == 10
    assert {(cell.diagnosis, cell.fst) for cell in plan.cells} <= {("nv", 1), ("nv", 2)}
    assert plan.not_counted == {
        "tone unknown": 7,
        "class or type left out of the plan": 30,
        "label is none of the seven classes": 1,
    }


@pytest.mark.parametrize("target", ["balanced", "tone", "class"])
def test_plans_are_exact_deterministic_and_independent_of_the_order_of_records(target):
    rng = random.Random(4)
    some = records({(code, t): rng.randrange(9) for code in CODES for t in range(1, 7)})
    expected = make_plan(tone_table(some), target, budget=1234)
    assert expected.total == 1234
    assert all(cell.count > 0 for cell in expected.cells)
    rng.shuffle(some)
    assert make_plan(tone_table(some), target, budget=1234) == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "balance"}, "did you mean 'balanced'"),
        ({"classes": "melanom"}, "did you mean 'melanoma"),
        ({"fst": 7}, "fst must be 1 to 6"),
        ({"budget": 0}, "budget must be a whole number from 1"),
        ({"budget": 1.5}, "budget must be a whole number"),
        ({"per_cell": -3}, "per_cell must be a whole number"),
        ({"budget": 5, "per_cell": 5}, "not both"),
        ({"ratio": 0.0}, "ratio must be more than 0"),
        ({"ratio": float("nan")}, "ratio must be more than 0"),
        ({"per_cell": 5_000_000}, "at most 10,000,000"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(InputError, match=says):
        make_plan(tone_table(records({("mel", 2): 3})), **options)


def test_nothing_usable_needs_a_budget():
    table = tone_table(records({("mel", None): 3}))
    with pytest.raises(InputError, match="none of the 3 real images"):
        make_plan(table)
    assert make_plan(table, budget=42).total == 42


def test_a_plan_file_comes_back_as_it_was(tmp_path):
    rng = random.Random(5)
    for target in ("balanced", "tone", "class"):
        plan = make_plan(random_table(rng), target, budget=321)
        path = write_plan(plan, tmp_path / "plans" / f"{target}.yaml")
        assert read_plan(path) == plan
        assert f"synthderm generate --plan {target}.yaml" in path.read_text().splitlines()[1]
        loaded = yaml.safe_load(path.read_text())
        assert loaded["total"] == sum(cell["n"] for cell in loaded["cells"]) == 321
    assert sorted(p.name for p in (tmp_path / "plans").iterdir()) == ["balanced.yaml", "class.yaml", "tone.yaml"]


def test_an_odd_source_name_cannot_break_the_file(tmp_path):
    source = "a: b\n# cells: []\n- 'x' \"y\" {z} [red]ü"
    plan = Plan(cells=(PlanCell("mel", 5, 3),), target="balanced", source=source)
    assert read_plan(write_plan(plan, tmp_path / "p.yaml")) == plan


def test_writing_never_overwrites_by_accident(tmp_path):
    plan = Plan(cells=(PlanCell("mel", 5, 3),), target="balanced")
    path = tmp_path / "p.yaml"
    path.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        write_plan(plan, path)
    assert path.read_text() == "mine"
    assert read_plan(write_plan(plan, path, overwrite=True)) == plan
    with pytest.raises(InputError, match="is a folder"):
        write_plan(plan, tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cells: [{class: mel, fst: 5, n: 3}]\ntargets: tone", "unknown key 'targets'; did you mean 'target'"),
        ("cells: [{clas: mel, fst: 5, n: 3}]", "unknown key in cell 1 'clas'; did you mean 'class'"),
        ("cells: [{class: melanom, fst: 5, n: 3}]", "cell 1: unknown class 'melanom'; did you mean 'melanoma"),
        ("cells: [{class: mel, fst: 9, n: 3}]", "cell 1: fst must be 1 to 6"),
        ("cells: [{class: mel, fst: V, n: 3}]", "cell 1: fst must be a whole number"),
        ("cells: [{class: mel, fst: 5, n: -1}]", "n of cell 1 must be a whole number"),
        ("cells: [{class: mel, fst: 5, n: 2.5}]", "n of cell 1 must be a whole number"),
        ("cells: [{class: mel, fst: 5, n: true}]", "n of cell 1 must be a whole number"),
        ("cells: [{class: mel, fst: 5}]", "cell 1 has no 'n'"),
        ("cells: [mel]", "cell 1 must be like"),
        ("cells: [{class: mel, fst: 5, n: 1}, {class: MEL, fst: 5, n: 1}]", "cell 2 names class mel, fst 5 a second"),
        ("total: 4\ncells: [{class: mel, fst: 5, n: 3}]", "total is 4, but the cells sum to 3"),
        ("cells: {mel: 3}", "cells must be a list"),
        ("plan_version: 9\ncells: []", "plan_version must be 1"),
        ("modality: x-ray\ncells: []", "unknown modality 'x-ray'"),
        ("real: {mel: [1, 2]}\ncells: []", "must be a list of six"),
        ("- 1", "expected keys such as 'cells:'"),
        ("", "expected keys such as 'cells:'"),
        ("cells: [", "is no YAML"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
    ],
)
def test_wrong_plans_are_one_line_that_names_the_file(tmp_path, text, says):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_plan(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot read the plan"):
        read_plan(tmp_path / "none.yaml")


def test_a_plan_written_by_hand_is_short(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("cells:\n- {class: Melanoma, fst: 5, n: 100}\n")
    assert read_plan(path).cells == (PlanCell("mel", 5, 100),)


def test_the_shown_table_has_the_numbers():
    table = tone_table([*records({("mel", 2): 3}), Record(file="x", dataset="d", label="[SCC]", fst=1)], "a[b]c")
    out = io.StringIO()
    Console(file=out, width=140).print(format_table(table, make_plan(table, per_cell=5, classes="mel", fst="2,6")))
    text = out.getvalue()
    assert "a[b]c" in text
    assert "3 +2" in text
    assert "[SCC] (no class)" in text
    assert next(line for line in text.splitlines() if "total" in line and "+7" in line)


def test_many_foreign_labels_are_folded_in_the_shown_table_only():
    table = tone_table([Record(file=str(i), dataset="d", label=f"disease {i}", fst=1) for i in range(40)])
    out = io.StringIO()
    Console(file=out, width=140).print(format_table(table))
    assert "28 more labels" in out.getvalue()
    assert len(table.rows()) == 47


@pytest.mark.real_data
def test_the_real_table_by_the_stated_numbers_is_what_a_plain_count_gives(real_pack):
    """By Fitzpatrick column and by ITA column, counted from the CSV file by hand."""
    with open(real_pack / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"nevus": "nv", "melanoma": "mel", "seborrheic_keratosis": "bkl", "NEV": "nv", "BCC": "bcc",
             "SEK": "bkl", "ACK": "akiec", "MEL": "mel"}  # fmt: skip

    def by_ita(row):
        ita = float(row["ita_est"] or "nan")
        edges = (-30, 10, 28, 41, 55)
        return 6 - sum(ita > edge for edge in edges) if -90 <= ita <= 90 else None

    def by_column(row):
        return int(row["fitzpatrick"]) if row["fitzpatrick"] else None

    for tone_from, fst_of in (("ita", by_ita), ("column", by_column)):
        expected = Counter((names.get(row["label"], row["label"]), fst_of(row)) for row in rows)
        table = tone_table(read_dataset(real_pack, tone_from=tone_from, check_images="none"))
        for code in CODES:
            counts = [expected[code, t] for t in (1, 2, 3, 4, 5, 6, None)]
            assert [*table.counts[code], table.unknown_tone[code]] == counts
        assert table.other_labels == {"SCC": tuple(expected["SCC", t] for t in (1, 2, 3, 4, 5, 6, None))}
        assert table.total == len(rows) == 10348


@pytest.mark.real_data
def test_the_real_pack_is_planned_from_its_folder_and_from_a_zip_alike(real_pack, tmp_path):
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(real_pack.rglob("*")):
            archive.write(file, file.relative_to(real_pack.parent))
    from_zip = read_dataset(path, tone_from="ita")  # every image and mask is decoded
    assert len(from_zip) == 10348
    assert from_zip.left_out == ()
    assert from_zip.notes == ()
    plan = make_plan(tone_table(from_zip, "pack"))
    assert plan == make_plan(tone_table(read_dataset(real_pack, tone_from="ita", check_images="none"), "pack"))
    assert plan.total == tone_table(from_zip).usable
