"""Splits that no group crosses."""

import random
from collections import Counter, defaultdict

import pytest

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import Record, read_dataset, split_by_group

FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


def random_records(rng, groups=300, largest=6):
    """Groups of 1 to ``largest`` images; some records without a group; some groups of two classes."""
    made = []
    for g in range(groups):
        code = rng.choice(tuple(DIAGNOSES))
        for i in range(rng.randint(1, largest)):
            own = code if rng.random() < 0.95 else rng.choice(tuple(DIAGNOSES))
            group = None if rng.random() < 0.05 else f"g{g}"
            made.append(Record(file=f"{g}_{i}", dataset=rng.choice("ab"), label=own, diagnosis=own, group=group))
    rng.shuffle(made)
    return made


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stratify", ["diagnosis", None, lambda record: record.dataset])
def test_every_record_is_in_one_part_and_no_group_in_two(seed, stratify):
    records = random_records(random.Random(seed))
    parts = split_by_group(records, FRACTIONS, seed, stratify)
    assert list(parts) == list(FRACTIONS)
    assert Counter(r.file for part in parts.values() for r in part) == Counter(r.file for r in records)
    sides = defaultdict(set)
    for name, part in parts.items():
        for record in part:
            sides[record.group_key].add(name)
    assert all(len(names) == 1 for names in sides.values())
    for name, part in parts.items():  # the given order is kept
        assert part == [record for record in records if record in part], name


@pytest.mark.parametrize("seed", range(8))
def test_parts_have_their_share_of_every_class_up_to_a_group(seed):
    largest = 6
    records = random_records(random.Random(100 + seed), largest=largest)
    parts = split_by_group(records, FRACTIONS, seed)
    for code in DIAGNOSES:
        count = sum(record.diagnosis == code for record in records)
        for name, fraction in FRACTIONS.items():
            got = sum(record.diagnosis == code for record in parts[name])
            assert abs(got - fraction * count) <= 2 * largest, (code, name)
    for name, fraction in FRACTIONS.items():
        assert abs(len(parts[name]) - fraction * len(records)) <= 3 * largest


def test_the_split_depends_on_the_records_and_the_seed_alone():
    records = random_records(random.Random(9))
    first = split_by_group(records, FRACTIONS, 1)
    shuffled = random.Random(3).sample(records, len(records))
    again = split_by_group(shuffled, FRACTIONS, 1)
    assert {n: {r.file for r in p} for n, p in first.items()} == {n: {r.file for r in p} for n, p in again.items()}
    other = split_by_group(records, FRACTIONS, 2)
    assert {r.file for r in other["test"]} != {r.file for r in first["test"]}


@pytest.mark.parametrize("seed", range(20))
def test_large_groups_go_first_so_that_small_ones_can_even_out(seed):
    records = [Record(file=f"big{i}", dataset="d", label="nv", diagnosis="nv", group="big") for i in range(40)]
    records += [Record(file=f"{i}", dataset="d", label="nv", diagnosis="nv", group=f"{i}") for i in range(60)]
    parts = split_by_group(records, {"x": 0.5, "y": 0.5}, seed)
    assert [len(part) for part in parts.values()] == [50, 50]


def test_the_same_group_name_in_two_sets_is_two_groups():
    records = [Record(file=f"{d}", dataset=d, label="nv", group="1") for d in "ab"]
    parts = split_by_group(records, {"x": 0.5, "y": 0.5})
    assert [len(part) for part in parts.values()] == [1, 1]


def test_a_stratum_may_be_rare_and_a_set_empty():
    records = [Record(file="a", dataset="d", label="nv", diagnosis="nv")]
    assert sum(map(len, split_by_group(records).values())) == 1
    assert split_by_group([]) == {"train": [], "val": [], "test": []}


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": 1.0, "b": 0.0}])
def test_fractions_must_sum_to_one(fractions):
    with pytest.raises(InputError, match="sum to 1"):
        split_by_group([], fractions)


def test_an_unknown_field_is_answered_with_near_matches():
    with pytest.raises(InputError, match="did you mean 'diagnosis'"):
        split_by_group([], stratify="diagnose")


@pytest.mark.real_data
def test_lesions_of_the_real_pack_stay_together(real_pack):
    records = read_dataset(real_pack, check_images="none", tone_from="stated")
    parts = split_by_group(records)
    groups = [{record.group_key for record in part} for part in parts.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert sum(len(g) for g in groups) == 8983
    for code in DIAGNOSES:
        share = sum(r.diagnosis == code for r in parts["test"]) / sum(r.diagnosis == code for r in records)
        assert abs(share - 0.1) < 0.01
