import io
import json
import math
import sys

import numpy as np
import pytest
import scipy.stats
from audit_sets import NotFinite, Tiny, lesion, plant, write_set
from PIL import Image

from synthderm.core import InputError
from synthderm.evaluation.audit import AuditOptions, audit
from synthderm.evaluation.audit.copies import density_ratio, exceeds, realised_rate, share_figure
from synthderm.evaluation.audit.hold_out import part_real
from synthderm.evaluation.audit.shortcut import is_flagged
from synthderm.evaluation.audit.watermark import watermark_figures
from synthderm.evaluation.result import figure
from synthderm.evaluation.sets import open_set
from synthderm.provenance.watermark import Watermark

OPTIONS = AuditOptions(false_alarm_rate=0.04, hold_out_share=0.3, pairs=3, resamples=100)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """120 real images, every fifth in the split "val"."""
    split = lambda place: "val" if place % 5 == 0 else "train"  # noqa: E731
    return write_set(tmp_path_factory.mktemp("real") / "real", range(120), split=split)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write_set(
        tmp_path_factory.mktemp("clean") / "clean", range(1000, 1060), dataset="made", split="", synthetic=True
    )


@pytest.fixture(scope="module")
def passed(real, clean, tmp_path_factory):
    """An audit of a clean set, with its folder."""
    folder = tmp_path_factory.mktemp("result")
    return audit(clean, real, folder, extractor=Tiny(), options=OPTIONS), folder


def jpeg(pixels, quality=50):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def copy_of(clean, folder):
    """The clean set again, in another folder, to plant something in."""
    root = write_set(folder / "set", range(1000, 1060), dataset="made", split="", synthetic=True)
    return root


def test_a_clean_set_passes_and_everything_is_on_record(passed):
    result, folder = passed
    figures = result["figures"]
    assert (figures["verdict"], figures["reasons"]) == ("pass", [])
    assert json.loads((folder / "audit.json").read_text()) == result
    copies = figures["copies"]
    assert copies["share"]["n"] == 60
    assert copies["share"]["interval"][0] <= copies["false_alarm_rate"] == 0.04
    assert copies["hold_out_n"] == pytest.approx(36, abs=2)
    assert copies["finest_rate"] == pytest.approx(1 / (copies["hold_out_n"] + 1))
    assert sum(copies["score_histogram"]["synthetic"]) == 60
    assert sum(copies["score_histogram"]["hold_out"]) == copies["hold_out_n"]
    assert 0.2 < figures["shortcut"]["synthetic"]["interval"][0] < 0.5 < figures["shortcut"]["synthetic"]["interval"][1]
    assert figures["shortcut"]["flagged"] is False
    assert figures["shortcut"]["region"] == "masks"
    assert figures["leakage"]["checked"] is False
    assert (figures["watermark"]["share"]["value"], figures["watermark"]["share"]["n"]) == (0.0, 60)
    assert figures["watermark"]["metadata_says_synthetic"]["value"] == 1.0
    assert set(result["context"]["sets"]) == {"synthetic", "train", "hold_out"}


def test_the_share_of_marked_images_is_found(clean, tmp_path):
    root = copy_of(clean, tmp_path)
    files = sorted((root / "images").glob("*"))[:15]
    for path in files:
        with Image.open(path) as image:
            wide = image.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)
        Watermark().embed(wide).save(path)
    figures = watermark_figures(open_set(root, size=64))
    assert figures["share"]["value"] == pytest.approx(15 / 60)
    assert figures["metadata_says_synthetic"]["value"] == 1.0


def test_pairs_are_pictures_of_both_images(passed):
    result, folder = passed
    copies = result["figures"]["copies"]
    assert len(copies["pairs"]) == 3
    assert [pair["score"] for pair in copies["pairs"]] == sorted((p["score"] for p in copies["pairs"]), reverse=True)
    for pair in copies["pairs"] + copies["hold_out_pairs"]:
        with Image.open(folder / pair["picture"]) as picture:
            assert picture.size == (402, 222)


def test_planted_copies_fail_and_are_named(real, clean, tmp_path):
    root = copy_of(clean, tmp_path)
    for seed in range(1, 21):
        pixels = lesion(seed, ("nv", "mel")[seed % 2])[0]
        plant(root, f"copy_{seed}.png", (jpeg(pixels), pixels[:, ::-1], np.rot90(pixels), pixels // 2 + 60)[seed % 4])
    figures = audit(root, real, tmp_path / "result", extractor=Tiny(), options=OPTIONS)["figures"]
    named = [file for file in figures["copies"]["files"] if "copy_" in file]
    assert figures["verdict"] == "fail"
    assert len(named) >= 19
    assert "look like copies" in figures["reasons"][0]
    pair = figures["copies"]["pairs"][0]
    assert int(pair["synthetic"].split("_")[-1][:-4]) == int(pair["train"].split("_")[-1][:-4])


def test_an_exact_copy_alone_fails(real, clean, tmp_path):
    root = copy_of(clean, tmp_path)
    plant(root, "again.png", lesion(3, "mel")[0])
    figures = audit(root, real, tmp_path / "result", extractor=None, options=OPTIONS)["figures"]
    assert figures["verdict"] == "fail"
    assert figures["copies"]["exact_files"] == [{"file": "images/again.png", "same_as": "images/drawn_00003.png"}]
    assert figures["copies"]["features"] is None


def test_a_background_that_tells_the_class_is_flagged(real, tmp_path):
    root = write_set(tmp_path / "tinted", range(1000, 1060), dataset="made", tint=40.0, synthetic=True)
    figures = audit(root, real, tmp_path / "result", extractor=None, options=OPTIONS)["figures"]
    assert figures["shortcut"]["synthetic"]["value"] > 0.9
    assert figures["shortcut"]["flagged"] is True
    assert figures["verdict"] == "fail"
    assert "background alone" in " ".join(figures["reasons"])
    assert set(figures["shortcut"]["per_class"]) == {"nv", "mel"}


def test_without_masks_the_frame_is_looked_at_and_it_says_so(real, tmp_path):
    root = write_set(tmp_path / "bare", range(1000, 1040), dataset="made", masks=False, synthetic=True)
    shortcut = audit(root, real, tmp_path / "result", extractor=None, options=OPTIONS)["figures"]["shortcut"]
    assert shortcut["region"] == "frame"
    assert "40 synthetic images have no mask" in shortcut["seen"]


def test_test_images_hidden_in_the_synthetic_folder_stop_it(real, clean, tmp_path):
    test = write_set(tmp_path / "test", range(500, 540), dataset="drawn", split="test")
    root = copy_of(clean, tmp_path)
    plant(root, "same.png", lesion(501, "mel")[0])
    for seed in range(510, 516):
        plant(root, f"near_{seed}.png", jpeg(lesion(seed, ("nv", "mel")[seed % 2])[0][:, ::-1]))
    figures = audit(root, real, tmp_path / "result", test=test, extractor=None, options=OPTIONS)["figures"]
    leakage = figures["leakage"]
    assert figures["verdict"] == "fail"
    assert leakage["exact_synthetic_and_test"] == [{"file": "images/same.png", "same_as": "images/drawn_00501.png"}]
    near = {(pair["file"], pair["like"]) for pair in leakage["near_synthetic_and_test"]}
    assert {(f"images/near_{s}.png", f"images/drawn_{s:05d}.png") for s in range(510, 516)} <= near
    assert not leakage["shared_groups"]
    assert "images/same.png" in " ".join(figures["reasons"])


def test_shared_lesions_of_train_and_test_stop_it(real, clean, tmp_path):
    test = write_set(
        tmp_path / "test", range(600, 640), groups=["drawn_3", *(f"t{i}" for i in range(39))], split="test"
    )
    figures = audit(clean, real, tmp_path / "result", test=test, extractor=None, options=OPTIONS)["figures"]
    assert figures["leakage"]["shared_groups"] == ["drawn/drawn_3"]
    assert figures["verdict"] == "fail"


def test_a_synthetic_image_that_states_a_test_lesion_stops_it(real, tmp_path):
    test = write_set(tmp_path / "test", range(600, 640), split="test")
    root = write_set(
        tmp_path / "made", range(1000, 1040), dataset="made", groups=["drawn_601", *(f"g{i}" for i in range(39))]
    )
    figures = audit(root, real, tmp_path / "result", test=test, extractor=None, options=OPTIONS)["figures"]
    assert figures["leakage"]["synthetic_from_test_groups"] == ["images/made_01000.png"]
    assert figures["verdict"] == "fail"


def test_a_named_split_sets_the_threshold_and_shared_groups_are_left_out(real):
    parts = part_real(open_set(real), None, "val", OPTIONS)
    assert (len(parts.train), len(parts.hold_out), len(parts.compared)) == (96, 24, 96)
    excluded = AuditOptions(hold_out_exclude=("drawn_00000.png",))
    assert part_real(open_set(real), None, "val", excluded).excluded == 1
    with pytest.raises(InputError, match="none of them"):
        part_real(open_set(real), None, "val", AuditOptions(hold_out_exclude=("drawn_00001.png",)))
    with pytest.raises(InputError, match="it has train, val"):
        part_real(open_set(real), None, "test", OPTIONS)


def test_groups_in_both_splits_are_not_held_out(tmp_path):
    groups = [f"g{i // 2}" for i in range(40)]
    split = lambda place: "val" if place % 4 == 0 else "train"  # noqa: E731
    root = write_set(tmp_path / "real", range(40), groups=groups, split=split)
    with pytest.raises(InputError, match=r"too few|hold-out images"):
        audit(root, root, tmp_path / "result", hold_out_split="val", extractor=None, options=OPTIONS)
    parts = part_real(open_set(root), None, "val", OPTIONS)
    assert (len(parts.hold_out), parts.shared_groups) == (0, 10)


def test_held_out_groups_share_nothing_with_what_they_are_compared_with(real):
    parts = part_real(open_set(real), None, None, OPTIONS)
    compared = {parts.train.groups[i] for i in parts.compared}
    assert not compared & set(parts.hold_out.groups)
    assert len(parts.train) == 120


def test_too_few_hold_out_images_are_refused_unless_forced(real, clean, tmp_path):
    few = AuditOptions(false_alarm_rate=0.01, resamples=100, pairs=0)
    with pytest.raises(InputError, match="at least 99 hold-out images"):
        audit(clean, real, tmp_path / "a", extractor=None, options=few)
    forced = AuditOptions(false_alarm_rate=0.01, resamples=100, pairs=0, force=True)
    copies = audit(clean, real, tmp_path / "b", extractor=None, options=forced)["figures"]["copies"]
    assert copies["false_alarm_rate"] == copies["finest_rate"] > 0.01


def test_features_that_are_not_finite_are_refused(real, clean, tmp_path):
    with pytest.raises(InputError, match="not finite"):
        audit(clean, real, tmp_path, extractor=NotFinite(), options=OPTIONS)


def test_the_result_does_not_depend_on_the_batches(real, clean, passed, tmp_path):
    options = AuditOptions(**{**OPTIONS.describe(), "batch_size": 17})
    again = audit(clean, real, tmp_path, extractor=Tiny(), options=options)["figures"]
    first = passed[0]["figures"]
    assert again["copies"]["threshold"] == pytest.approx(first["copies"]["threshold"], abs=1e-5)
    assert again["shortcut"]["synthetic"] == first["shortcut"]["synthetic"]
    assert again["copies"]["features"] == first["copies"]["features"]


def test_density_ratio_is_zero_for_a_copy_and_near_minus_one_in_between():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(200, 6))
    scores, rows = density_ratio(np.concatenate([train[[4, 9]], rng.normal(size=(50, 6))]), train)
    assert scores[:2].tolist() == [0, 0]
    assert rows[:2].tolist() == [4, 9]
    assert -1 <= scores[2:].min() <= scores[2:].max() < -0.2


def test_the_realised_rate_is_that_of_images_that_did_not_set_the_threshold():
    rng = np.random.default_rng(0)
    found = [realised_rate(rng.normal(size=400), range(400), 0.05, seed)["value"] for seed in range(60)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.01)
    assert realised_rate(np.arange(40.0), range(40), 0.01, 0)["rate"] > 0.01


@pytest.mark.parametrize("table", [(10, 392, 0, 240), (3, 60, 1, 18), (0, 50, 2, 99), (40, 40, 1, 100)])
def test_the_test_of_fisher_is_that_of_scipy(table):
    count, n, usual, of = table
    reference = scipy.stats.fisher_exact([[count, n - count], [usual, of - usual]], alternative="greater").pvalue
    assert exceeds(*table) == pytest.approx(reference)


def test_shares_below_thirty_images_are_insufficient():
    assert share_figure(np.ones(29, bool))["value"] is None
    assert share_figure(np.ones(29, bool))["count"] == 29


@pytest.mark.parametrize(
    ("synthetic", "real", "flagged"),
    [
        ((0.95, 0.93, 0.97), (0.96, 0.95, 0.97), True),  # above 0.9, whatever the real set
        ((0.75, 0.70, 0.80), (0.60, 0.55, 0.65), True),
        ((0.75, 0.70, 0.80), (0.68, 0.60, 0.72), False),
        ((0.58, 0.56, 0.60), (0.50, 0.48, 0.52), False),  # small
        ((0.75, 0.70, 0.80), (None, None, None), True),
        ((None, None, None), (0.6, 0.5, 0.7), None),
    ],
)
def test_the_rule_of_the_shortcut(synthetic, real, flagged):
    assert is_flagged(figure(*synthetic), figure(*real)) is flagged


def call(monkeypatch, capfd, *args):
    from synthderm.cli import main

    monkeypatch.setattr(sys, "argv", ["synthderm", "evaluate", "audit", *map(str, args)])
    with pytest.raises(SystemExit) as end:
        main()
    return (end.value.code, *capfd.readouterr())


def test_the_command_prints_tables_and_stops_a_bad_set(real, clean, tmp_path, monkeypatch, capfd):
    common = ("--train", real, "--extractor", "none", "--false-alarm-rate", "0.06", "--pairs", "2")
    status, out, err = call(monkeypatch, capfd, clean, *common, "-o", tmp_path / "a")
    assert (status, "Verdict: fail" in out, "error" in err) == (0, False, False)
    assert "Verdict: " in out
    assert "false-alarm rate 0.06 set on 18 hold-out images" in out
    root = copy_of(clean, tmp_path)
    plant(root, "again.png", lesion(3, "mel")[0])
    status, out, err = call(monkeypatch, capfd, root, *common, "-o", tmp_path / "b", "--json")
    assert status == 3
    assert json.loads(out)["figures"]["verdict"] == "fail"


def test_errors_of_the_command_are_one_line(real, clean, tmp_path, monkeypatch, capfd):
    for args in (
        ("--train", real, "--extractor", "none", "-o", tmp_path / "a"),  # 18 hold-out images at 1 %
        ("--train", real, "--extractor", "none", "-o", tmp_path / "a", "--false-alarm-rate", "2"),
        ("--train", tmp_path / "nothing", "--extractor", "none", "-o", tmp_path / "a"),
        ("--train", real, "--extractor", "none", "-o", tmp_path / "a", "--hold-out-split", "dev"),
    ):
        status, out, err = call(monkeypatch, capfd, clean, *args)
        assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
        assert err.startswith("synthderm: error:")


def test_intervals_are_finite_numbers(passed):
    def walk(value):
        if isinstance(value, dict):
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)
        elif isinstance(value, float):
            yield value

    assert all(map(math.isfinite, walk(passed[0]["figures"])))
