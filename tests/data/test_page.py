import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from made_up import MASKS, TOLD, made_up_row, made_up_sample, make_folder
from PIL import Image

from synthderm.data import index_html, read_manifest
from synthderm.provenance import environment

VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """Elements with their attributes; remembers tags that are closed wrongly."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.faults, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def decode(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("page") / "out"
    rows = [made_up_row(i, ("nv", "mel")[i % 2], 1 + i // 2, ita_error_deg=9.0 * (i == 3)) for i in range(8)]
    make_folder(root, rows, masks=MASKS)
    return root, Page((root / "index.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_needs_nothing_from_outside(finished):
    root, page = finished
    assert (page.faults, page.open) == ([], [])
    assert not page.all("script")
    assert not page.all("link")
    assert "http" not in re.sub(r"<pre>.*</pre>", "", (root / "index.html").read_text(), flags=re.S)
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))


def test_every_link_of_the_page_is_a_file(finished):
    root, page = finished
    links = [a["href"] for a in page.all("a")]
    assert len(links) == 8
    assert all((root / link).is_file() for link in links)


def test_thumbnails_show_the_images_and_overlays_the_masks(finished):
    _, page = finished
    photos = [image for image in page.all("img") if "class" not in image]
    assert len(photos) == 8
    first = np.asarray(decode(photos[0]["src"]).resize((64, 64)), float)
    assert np.abs(first - made_up_sample(0).image.permute(1, 2, 0).numpy()).mean() < 6
    masks = [made_up_sample(i).masks for i in range(8)]
    overlays = [image for image in page.all("img") if "class" in image]
    assert len(overlays) == sum(bool(m[name].any()) for m in masks for name in MASKS)
    globules = next(image for image in overlays if image["alt"] == "globules")
    alpha = np.asarray(decode(globules["src"]).convert("RGBA").resize((64, 64), 0))[..., 3] > 0
    assert (alpha == masks[0]["globules"].numpy()).mean() > 0.97


def test_a_switch_for_every_mask(finished):
    root, page = finished
    switches = {box["id"] for box in page.all("input")}
    assert switches == {label["for"] for label in page.all("label")}
    assert switches == {image["class"] for image in page.all("img") if "class" in image}
    assert all(f"#{name}:checked ~ main .{name}" in (root / "index.html").read_text() for name in switches)


def test_the_tone_that_missed_is_marked(finished):
    root, _ = finished
    html = (root / "index.html").read_text()
    assert html.count('class="miss"') == 1
    assert "87.5 %" in html  # 7 of 8 inside
    assert "<circle" in html


def test_text_of_others_is_escaped(finished):
    root, _ = finished
    rows = [row | {"isic_id": "<script>x</script>"} for row in read_manifest(root)]
    told = TOLD | {"attribution": ["<b>A & B</b>"], "recipe": {"class": "</pre><script>"}}
    html = index_html(rows, root, environment=environment(), title="<i>", **told)
    assert not Page(html).all("script")
    assert "A &amp; B" in html
    assert Page(html).faults == []


def test_the_page_stays_small(finished):
    root, _ = finished
    rows = read_manifest(root)
    many = [rows[i % 8] | {"index": i, "lesion_id": f"L{i}"} for i in range(1000)]
    html = index_html(many, root, environment=environment(), limit=40, **TOLD)
    assert len(Page(html).all("figure")) == 40
    assert "40 of 1000 images" in html
    assert len(html) < 1e6


def test_a_set_without_masks_or_tone(tmp_path):
    row = {"index": 0, "isic_id": "SYN_a_0"}
    make_folder(tmp_path, [row], masks=())
    page = Page((tmp_path / "index.html").read_text())
    assert page.faults == []
    assert not page.all("input")
    assert len(page.all("figure")) == 1
