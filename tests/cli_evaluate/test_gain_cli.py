"""``synthderm evaluate gain``: what it parses, prints and refuses."""

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).resolve().parent.parent / "evaluation"))

from gain_sets import make_sets

from synthderm.cli.evaluate.gain import gain, show
from synthderm.core import InputError

SMALL = (
    *("--size", "16", "--steps", "8", "--batch-size", "16", "--classifier", "gain_sets:Thumbnail"),
    *("--learning-rate", "0.05", "--resamples", "100", "--seeds", "2", "--force"),
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


def call(sets, output, *options):
    """Result of the command; its exception is raised, as in the program."""
    app = typer.Typer()
    app.command()(gain)
    real, synthetic = sets
    given = ["--real-train", real, "--train-split", "train", "--real-test", real, "--test-split", "val"]
    given += ["--synthetic", synthetic, "-o", output, *options]
    result = CliRunner().invoke(app, [str(one) for one in given], catch_exceptions=False, env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result


def test_tables_on_stdout_and_runs_on_stderr(sets, tmp_path):
    result = call(
        sets, tmp_path, *SMALL, "--n-real", "40,56", "--ratios", "0.5,1", "--arms", "real,real+replay,real+synthetic"
    )
    assert "Scores on 64 real test images (32 lesions or patients)" in result.stdout
    for word in ("balanced accuracy", "real+synthetic@0.5", "real+replay@1", "verdict", "95% intervals"):
        assert word in result.stdout
    assert "gain.json" in result.stdout.splitlines()[-1]
    lines = result.stderr.splitlines()
    assert len([line for line in lines if "validation" in line]) == 2 * 2 * 5
    assert lines[0].startswith("1/20 n40_real_seed0: validation 0.")
    figures = json.loads((tmp_path / "gain.json").read_text())["figures"]
    arms = ["real", *(f"real+{kind}@{ratio}" for kind in ("replay", "synthetic") for ratio in (0.5, 1))]
    assert [(row["n_real"], row["arm"]) for row in figures["arms"]] == [(n, arm) for n in (40, 56) for arm in arms]


def test_json_alone_on_stdout(sets, tmp_path):
    result = call(sets, tmp_path, *SMALL, "--n-real", "40", "--arms", "real,real+synthetic", "--json")
    printed = json.loads(result.stdout)
    assert printed == json.loads((tmp_path / "gain.json").read_text())
    assert {row["verdict"] for row in printed["figures"]["differences"]} == {"not judged: no equal-dose control"}
    assert "gain" not in {row["verdict"] for row in printed["figures"]["judged"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "3"), "at least 5 seeds, got 3"),
        (("--ratios", "one"), "--ratios expects numbers with commas between them, got 'one'"),
        (("--n-real", "4k"), "--n-real expects numbers"),
        (("--arms", "real,replay"), "unknown arm 'replay'"),
        (("--ratios", "3"), "expected at least 144 synthetic images for ratio 3"),
        (("--test-split", "test"), "does not hold the split 'test'"),
        (("--size", "8"), "size must be between 16"),
        (("--task", "segmentation"), "no lesion mask"),
    ],
)
def test_what_cannot_be_done_is_said(sets, tmp_path, options, message):
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        call(sets, tmp_path, *options)


def test_a_figure_without_enough_images_is_shown_as_insufficient(capsys):
    none = {"value": None, "interval": None, "n": 12, "note": "insufficient"}
    row = {"n_real": 40, "arm": "real", "n_train": 32, "n_added": 0, "n_seeds": 5, "scores": {"macro_auroc": none}}
    context = {"options": {"level": 0.95, "score": "macro_auroc"}, "sets": {"real-test": {"n": 12, "groups": 12}}}
    curve = {"n_real": 40, "score": "macro_auroc", "best": 2.0, "saturation": 0.5}
    show({"context": context, "figures": {"arms": [row], "differences": [], "curves": {"dose": [curve]}}})
    shown = capsys.readouterr().out
    assert "insufficient (n 12)" in shown
    assert "a dose of 0.5:1 is not shown to differ from the best, 2:1" in shown
