import re

import numpy as np
import pytest
from report_results import spread
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from synthderm.evaluation.report.arms import arm_of
from synthderm.evaluation.report.differences import Difference, joint_side
from synthderm.evaluation.report.drawing import draw
from synthderm.evaluation.report.gain_answers import gain_answers
from synthderm.evaluation.report.gain_curves import typical_arms
from synthderm.evaluation.report.plots import Series, dot_rows, histogram
from synthderm.evaluation.report.predictions import calibration, roc
from synthderm.evaluation.report.read import Result
from synthderm.evaluation.report.tables import figure_cell, heat_table
from synthderm.evaluation.report.text import number, percent, plain, safe, spoken
from synthderm.evaluation.result import figure


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.8125, {"digits": 3}, "0.812"),
        (-0.03, {"digits": 3, "signed": True}, "−0.030"),
        (0.03, {"digits": 3, "signed": True}, "+0.030"),
        (-0.0001, {"digits": 3, "signed": True}, "0.000"),
        (0, {"digits": 1}, "0.0"),
        (12345, {}, "12,345"),
        (41.26, {}, "41.3"),
        (6.2, {}, "6.20"),
        (0.00123, {}, "0.00123"),
        (1e-12, {}, "0.0000000"),
        (float("nan"), {}, "–"),
        (float("-inf"), {}, "–"),
        (None, {}, "–"),
        ("12", {}, "–"),
        (True, {}, "–"),
    ],
)
def test_numbers(value, options, text):
    assert number(value, **options) == text


def test_a_figure_in_a_sentence():
    told = spoken({"value": 0.031, "interval": [-0.012, 0.05], "n": 1900}, signed=True)
    assert told == "+0.031 (95 % interval −0.012 to +0.050, n 1,900)"
    assert spoken({"value": 0.5, "interval": None}, share=True) == "50.0 %"
    assert percent(0.0305) == "3.0 %"


def test_a_value_and_its_interval_have_equally_many_decimals():
    assert ">0.00040<small><span>−0.00020 to 0.00100</span>" in figure_cell(
        {"value": 0.0004, "interval": [-0.0002, 0.001]}, None
    )


def test_text_is_one_safe_line():
    assert safe('<b onclick="x">\n\x07</b>') == "&lt;b onclick=&quot;x&quot;&gt; �&lt;/b&gt;"
    assert plain({"a": [1, None, True], "b": {}}) == "a: 1, –, yes, b: none"


def test_shares_of_a_line_darken_its_cells():
    shown = heat_table("", {"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[3, 1], [0, 0]]}, "said", "true")
    assert re.findall(r"--share:([\d.]+)", shown) == ["0.750", "0.250", "0.000", "0.000"]
    assert shown.count('class="same"') == 2
    assert shown.count("75 %") == 1


def test_the_roc_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    labels = rng.random(400) < 0.3
    scores = np.round(rng.normal(size=400) + labels, 1)  # with ties
    alarms, hits, _ = roc_curve(labels, scores, drop_intermediate=False)
    last = np.append(np.diff(alarms) > 0, True)  # the highest point where the curve rises straight up
    np.testing.assert_allclose(roc(labels, scores, alarms[last]), hits[last], atol=1e-12)
    grid = np.linspace(0, 1, 20001)
    assert np.trapezoid(roc(labels, scores, grid), grid) == pytest.approx(roc_auc_score(labels, scores), abs=1e-4)


def test_the_calibration_curve_is_that_of_sklearn():
    rng = np.random.default_rng(1)
    preds = rng.dirichlet((1, 1, 0.5), 600)
    labels = np.array([rng.choice(3, p=p) for p in preds])
    confidence, right, count = calibration(labels, preds)
    share, mean = calibration_curve(preds.argmax(1) == labels, preds.max(1), n_bins=10)
    kept = count > 0
    np.testing.assert_allclose(confidence[kept], mean, atol=1e-12)
    np.testing.assert_allclose(right[kept], share, atol=1e-12)
    assert count.sum() == 600


def dots(svg):
    """Places of the markers on the drawing, (x, y) px."""
    return [
        (float(x), float(y))
        for x, y in re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)" style="fill: var\(--mixed', svg)
    ]


def test_dots_stand_where_their_values_are():
    svg = dot_rows(["a", "b", "c"], [Series("", [spread(v) for v in (0.0, 0.1, 0.4)], "#0072b2")], "alt", x="x")
    (x0, y0), (x1, y1), (x2, y2) = dots(svg)
    assert (x2 - x0) / (x1 - x0) == pytest.approx(4, rel=1e-3)
    assert y0 < y1 < y2
    assert (y2 - y1) == pytest.approx(y1 - y0, rel=1e-3)


def test_a_row_without_a_value_says_why():
    svg = dot_rows(["a", "b"], [Series("", [spread(0.1), figure(None, n=4)], "#0072b2")], "alt", x="x")
    assert len(dots(svg)) == 1
    assert "insufficient" in svg
    assert dot_rows(["b"], [Series("", [figure(None, n=4)], "#0072b2")], "alt", x="x") == ""


def test_a_drawing_is_the_same_twice_and_holds_no_address():
    made = [dot_rows(["a"], [Series("s", [spread(0.1)], "#0072b2")], "alt & <text>", x="x") for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].startswith('<svg viewBox="0 0 340 ')
    assert 'aria-label="alt &amp; &lt;text&gt;"' in made[0]
    assert "http" not in made[0]
    assert "date" not in made[0]


def test_names_in_a_drawing_are_text_only():
    svg = draw(lambda axes: axes.set_xlabel('<script> $\\x_$ "#0072b2" style="fill: #0072b2"'), "alt")
    assert "&lt;script&gt;" in svg
    assert "$\\x_$" in svg


def test_a_histogram_shows_the_threshold_beside_what_is_above():
    counts, edges = [0, 4, 4, 2], [0.0, 0.25, 0.5, 0.75, 1.0]
    svg = histogram([("synthetic", edges, counts, "#0072b2")], "alt", x="score", threshold=0.6, above=True)
    assert svg.index("fill: var(--line)") < svg.index("fill: var(--mixed)")  # what is above is not covered
    assert "threshold" in svg
    assert "share of images, %" in svg
    assert histogram([("synthetic", edges, [0, 0, 0, 0], "#0072b2")], "alt", x="score") == ""


@pytest.mark.parametrize(
    ("arm", "ratio", "name"),
    [
        ("real+synthetic@0.5", 0.5, "real + synthetic 0.5:1"),
        ("real+synthetic", 2, "real + synthetic 2:1"),
        ("real+replay-matched@1", None, "real + matched replay 1:1"),
        ("real", 1, "real only"),
        ("synthetic", 4, "synthetic only"),
        ("new@thing", None, "new@thing"),
    ],
)
def test_names_of_arms(arm, ratio, name):
    assert arm_of({"arm": arm, "ratio": ratio}).name == name


def test_one_arm_of_each_kind_near_one_to_one():
    arms = [arm_of({"arm": name}) for name in ("real", "real+synthetic@0.5", "real+synthetic@2", "real+synthetic@4")]
    assert [arm.name for arm in typical_arms(arms)] == ["real only", "real + synthetic 0.5:1"]
    assert typical_arms(reversed(arms)) == typical_arms(arms)


def difference(value, against="real+replay@1", arm="real+synthetic@1", **cell):
    row = {"n_real": 500, "arm": arm, "against": against, "score": "balanced_accuracy", "fst": None, **cell}
    return {**row, "difference": value if isinstance(value, dict) else spread(value, 0.01)}


def answers(*rows):
    body = {"figures": {"differences": list(rows)}, "context": {"options": {"score": "balanced_accuracy"}}}
    return gain_answers([Result("gain", None, "x", "", body)], "none")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((0.02, 0.03), "Yes"),
        ((0.02, 0.0), "No gain over replay is shown"),
        ((0.02, -0.03), "No, they harm"),
        ((0.02, figure(None, n=3)), "Cannot be said: too few images, or no interval"),
    ],
)
def test_a_dose_helps_only_if_it_is_better_than_every_control(values, word):
    rows = [difference(v, a) for v, a in zip(values, ("real+replay@1", "real+replay-matched@1"), strict=True)]
    assert answers(*rows)[0].word == word


def test_doses_are_counted():
    rows = [difference(v, f"real+replay@{r}", f"real+synthetic@{r}") for v, r in ((0.02, 1), (0.0, 2), (0.0, 4))]
    (overall, toned) = answers(*rows)
    assert overall.word == "Only in 1 of 3 comparisons"
    assert overall.mark == "told"
    assert overall.text[-1] == "3 comparisons; intervals are not corrected for their number."
    assert toned.word == "Not measured"
    assert answers(*rows, difference(-0.05, "real+replay@8", "real+synthetic@8"))[0].word.startswith(
        "Mixed: better in 1, worse"
    )


def test_only_replay_counts_as_a_control():
    assert answers(difference(0.3, "real"), difference(0.3, "real+heavy-aug"))[0].word == "Cannot be said"
    assert answers(difference(0.3, arm="real+heavy-aug"))[0].word == "Cannot be said"


def test_an_unknown_side_outweighs_the_rest():
    def made(value):
        return Difference(arm_of({"arm": "x"}), arm_of({"arm": "y"}), "s", 1, None, value)

    assert joint_side([made(spread(1)), made({"value": 1.0, "interval": None})]) == "open"
    assert made(spread(1)).side == "better"
