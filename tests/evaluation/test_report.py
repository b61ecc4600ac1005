import base64
import json
import re
from html.parser import HTMLParser

import pytest
from report_results import CLASSES, spread, write_audit, write_gain, write_quality

from synthderm.core import InputError
from synthderm.evaluation.report import find_results, report, report_html
from synthderm.evaluation.result import figure

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "$\\frac_x$ & \x00 `${y}`")


class Page(HTMLParser):
    """Elements with their attributes, the text of each top-level section, and tags that are closed wrongly."""

    def __init__(self, text):
        super().__init__()
        self.source, self.elements, self.open, self.faults, self.sections, self.place = text, [], [], [], {}, "head"
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.place = attributes["id"] if tag == "section" and attributes.get("id") else self.place
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["title"]):
            self.sections[self.place] = self.sections.get(self.place, "") + " ".join(data.split()) + " "

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def told(self):
        """Everything but the methods and the files."""
        return " ".join(text for place, text in self.sections.items() if not place.startswith(("method", "files")))


def page_of(*folders):
    return Page(report_html(find_results(folders)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_gain(root / "gain", ratios=(1, 2))
    write_quality(root / "quality")
    write_audit(root / "audit")
    return root


@pytest.fixture(scope="module")
def page(folder):
    return page_of(folder)


def small_gain(folder, **options):
    small = {"sizes": (500,), "ratios": (1,), "classes": CLASSES[:2], "predictions": False}
    return write_gain(folder, **small | options)


def test_the_page_is_well_formed_and_asks_nothing_of_a_network(page):
    assert (page.faults, page.open) == ([], [])
    assert not page.all("script")
    addresses = [a[name] for _, a in page.elements for name in ("src", "href", "xlink:href", "action") if name in a]
    assert len(addresses) > 20
    assert {
        address.split(":")[0][:1] if address.startswith("#") else address.split(":")[0] for address in addresses
    } == {
        "#",
        "data",
    }
    assert not re.search(r"url\((?!#)|@import", page.source)
    targets = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= targets


def test_identifiers_occur_once(page):
    names = [a["id"] for _, a in page.elements if "id" in a]
    assert len(names) == len(set(names))


def test_everything_that_is_seen_can_be_read_out_and_reached(page):
    assert all(a.get("alt") for a in page.all("img"))
    assert all(a.get("aria-label") for a in page.all("svg"))
    boxes = [a for _, a in page.elements if a.get("class") == "scroll"]
    assert boxes
    assert all((a["tabindex"], a["role"]) == ("0", "region") and a["aria-label"] for a in boxes)
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_drawings_take_their_colours_from_the_page(page):
    style = page.source[: page.source.index("</style>")]
    used = set(re.findall(r"var\((--\w+)\)", "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))))
    assert {"--ink", "--mixed", "--replay", "--real"} <= used
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)")
    assert all(f"{name}:" in light for name in used)
    assert all(f"{name}:" in dark.split("}")[0] for name in used)
    assert not re.findall(r"#[0-9a-f]{6}", "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)))


def figures_of(value):
    if isinstance(value, dict) and "value" in value:
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from figures_of(inner)


@pytest.mark.parametrize(("kind", "section"), [("gain", "helps"), ("quality", "quality"), ("audit", "audit")])
def test_every_figure_is_on_the_page_with_its_interval_and_n(folder, page, kind, section):
    told = page.sections[section].replace("\N{MINUS SIGN}", "-").replace("+", "").replace(",", "")
    figures = list(figures_of(json.loads((folder / kind / f"{kind}.json").read_text())["figures"]))
    assert len(figures) > 10
    for one in figures:
        assert re.search(rf"\bn {one['n']}\b", told)
        if one["value"] is None:
            continue
        shown = {text for digits in range(6) for text in (f"{one['value']:.{digits}f}", f"{100 * one['value']:.1f} %")}
        assert any(f" {text} " in told for text in shown), one
        if one["interval"]:
            low, high = one["interval"]
            ends = {f"{low:.{d}f} to {high:.{d}f}".replace("-0.000 ", "0.000 ") for d in range(6)}
            ends |= {f"{100 * low:.1f} % to {100 * high:.1f} %"}
            assert any(f"{text} " in told or f"{text}," in told for text in ends), one


def test_a_figure_without_enough_images_is_called_insufficient_with_its_n(page):
    assert page.sections["helps"].count("insufficient n 12") > 5
    assert "insufficient n 12" in page.sections["quality"]


@pytest.mark.parametrize(
    ("helps", "said"),
    [(0.06, "Yes"), (0.0, "No gain over replay is shown"), (-0.06, "No, they harm")],
)
def test_the_answer_follows_the_interval_of_the_difference_to_replay(tmp_path, helps, said):
    small_gain(tmp_path, helps=helps)
    short = page_of(tmp_path).sections["in-short"]
    assert short.index(said) < short.index("For whom")
    assert "Difference in balanced accuracy to an equal dose" in short
    assert f"{helps:+.3f}".replace("+0.000", "0.000").replace("-", "\N{MINUS SIGN}") in short


def test_without_the_replay_arm_there_is_no_talk_of_a_gain(tmp_path):
    small_gain(tmp_path, replay=False, helps=0.2)
    page = page_of(tmp_path)
    assert "Cannot be said" in page.sections["in-short"]
    assert "No arm repeats real images in the same dose" in page.sections["helps"]
    assert not re.search(r"\bgain", page.told(), re.IGNORECASE)
    assert "Difference to real images only" in page.sections["helps"]


def test_a_better_score_may_be_the_smaller_one(tmp_path):
    path = small_gain(tmp_path)
    body = json.loads(path.read_text())
    body["context"]["options"]["score"] = "ece"
    row = {"n_real": 500, "arm": "real+synthetic", "against": "real+replay", "ratio": 1, "score": "ece"}
    body["figures"]["differences"] = [{**row, "difference": spread(-0.05)}]
    path.write_text(json.dumps(body))
    assert "Yes" in page_of(tmp_path).sections["in-short"]


def test_what_was_not_run_is_said(tmp_path):
    write_audit(tmp_path)
    page = page_of(tmp_path)
    assert "No training experiment was found" in page.sections["helps"]
    assert "quality.json" in page.sections["quality"]
    assert "Not measured" in page.sections["in-short"]
    assert not re.search(r"\bgain", page.told(), re.IGNORECASE)


def test_the_audit_speaks_up(tmp_path):
    write_audit(tmp_path / "good")
    write_audit(tmp_path / "bad", flagged=True)
    good, bad = (page_of(tmp_path / name).sections["in-short"] for name in ("good", "bad"))
    assert "Is it honest? \N{CHECK MARK} Nothing was found (verdict of the audit: pass)" in good
    assert "Is it honest? ? There is something to look at (verdict of the audit: warn) The background alone" in bad
    assert "Are there copies of training images? \N{CHECK MARK} No more than chance" in good
    assert "Are there copies of training images? ! Yes, exact ones" in bad
    assert "Does the background give the class away? \N{CHECK MARK} No more than in the real images" in good
    assert "Does the background give the class away? ! Yes" in bad
    assert "share anything? ? Near duplicates, to look at shared groups: 0" in good
    assert "share anything? ! Yes shared groups: 1, exact train and test: 0, near train and test: 1." in bad
    assert "carry the watermark? ? Not checked An older version looked for none." in good


def test_more_copies_than_the_false_alarm_rate_are_bad_news(tmp_path):
    path = write_audit(tmp_path)
    body = json.loads(path.read_text())
    body["figures"]["copies"]["share"] = figure(0.031, 0.022, 0.043, 3500)
    path.write_text(json.dumps(body))
    assert "training images? ! Yes, more than chance" in page_of(tmp_path).sections["in-short"]


def test_several_results_of_a_kind_stand_one_after_the_other(tmp_path):
    for name in ("first-set", "second-set"):
        write_audit(tmp_path / name)
    page = page_of(tmp_path)
    assert page.sections["audit"].count("Can the class be told from the background?") == 2
    assert "first-set" in page.sections["in-short"]
    assert "second-set" in page.sections["audit"]


def test_names_do_no_harm(tmp_path):
    write_quality(tmp_path, classes=HOSTILE)
    small_gain(tmp_path, classes=HOSTILE, predictions=True)
    page = page_of(tmp_path)
    assert not page.all("script")
    assert all(a["src"].startswith("data:") and "onerror" not in a for a in page.all("img"))
    assert (page.faults, page.open) == ([], [])
    assert "<script>alert(1)</script>" in page.sections["quality"]
    assert "\x00" not in page.source


def test_numbers_that_are_none_are_dashes(tmp_path):
    path = write_quality(tmp_path)
    text = path.read_text().replace("41.3,", "NaN,", 1)
    body = json.loads(text)
    body["figures"]["distances"][1]["fid"] = {"value": float("inf"), "interval": [None, float("nan")], "n": 5}
    body["figures"]["distances"][2]["fid"] = None
    body["figures"]["distances"][3] = {"scope": "class", "diagnosis": None, "fst": 3}
    body["figures"]["class_fidelity"]["synthetic"]["nv"] = figure(None, n=3)
    path.write_text(json.dumps(body))
    told = page_of(tmp_path).sections["quality"]
    assert "–" in told
    assert not re.search(r"\b(nan|inf|None)\b", told)


@pytest.mark.parametrize(
    "figures", [{}, {"distances": None, "tone": 3, "class_fidelity": []}, {"other": [1, {"a": 2}]}]
)
@pytest.mark.parametrize("kind", ["quality", "audit", "gain"])
def test_a_result_may_lack_any_part(tmp_path, kind, figures):
    (tmp_path / f"{kind}.json").write_text(json.dumps({"kind": kind, "schema_version": 1, "figures": figures}))
    page = page_of(tmp_path)
    assert (page.faults, page.open) == ([], [])


def test_pictures_come_from_the_folder_and_only_from_there(tmp_path, folder):
    assert len(page_of(folder / "audit").all("img")) == 9
    path = write_quality(tmp_path / "quality")
    (tmp_path / "secret.png").write_bytes((tmp_path / "quality" / "sheet.png").read_bytes())
    body = json.loads(path.read_text())
    body["pictures"] = {"one": "../secret.png", "two": "lost.png", "three": "quality.json"}
    path.write_text(json.dumps(body))
    page = page_of(tmp_path / "quality")
    assert not page.all("img")
    assert "The picture ../secret.png is not in the folder" in page.sections["quality"]
    assert "The picture lost.png is not in the folder" in page.sections["quality"]
    assert "The picture quality.json cannot be read" in page.sections["quality"]


def test_the_files_themselves_can_be_saved(folder, page):
    links = {a["download"]: a["href"] for a in page.all("a") if "download" in a}
    assert set(links) == {"gain-gain.json", "quality-quality.json", "audit-audit.json"}
    for name, uri in links.items():
        kind = name.split("-")[0]
        assert base64.b64decode(uri.split(",")[1]) == (folder / kind / f"{kind}.json").read_bytes()


def test_how_it_was_measured_is_told_in_full(folder, page):
    told = page.sections["method"]
    context = json.loads((folder / "quality" / "quality.json").read_text())["context"]
    for expected in ("How far.", "Equal doses.", "ab" * 32, "0f3a9c1d2b4e5f60", "3500", context["command"]):
        assert expected in told
    assert context["environment"]["packages"]["torch"] in told


def test_the_same_results_give_the_same_page(tmp_path):
    small_gain(tmp_path / "gain", predictions=True)
    first, second = (report(tmp_path / "gain", tmp_path / name) for name in ("one.html", "two.html"))
    assert first.read_bytes() == second.read_bytes()


def test_folders_without_results_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected gain.json, quality.json, audit.json.*got none of them"):
        report(tmp_path, tmp_path / "page.html")
    with pytest.raises(InputError, match=r"expected a folder with results, but .*nowhere is none"):
        report(tmp_path / "nowhere")
    with pytest.raises(InputError, match="at least one folder"):
        report([])
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(InputError, match=r"audit.json"):
        report(tmp_path)
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_is_there_is_kept_unless_told(tmp_path):
    write_audit(tmp_path / "audit")
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        report(tmp_path, page)
    with pytest.raises(InputError, match="is a folder; name a file"):
        report(tmp_path, tmp_path)
    assert page.read_text() == "mine"
    assert report(tmp_path, page, overwrite=True, title="A <b> title") == page
    assert "<h1>A &lt;b&gt; title</h1>" in page.read_text()
