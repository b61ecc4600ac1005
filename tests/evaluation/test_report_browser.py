"""The report in a browser: what it shows, that it asks for nothing, that it fits the window."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from report_results import CLASSES, write_audit, write_gain, write_quality

from synthderm.evaluation.report import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MEASURE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(
  e => !e.closest(".scroll, pre, svg") && e.getBoundingClientRect().right > innerWidth + 0.5);
parent.postMessage([innerWidth, document.documentElement.scrollWidth, wide.length], "*");
</script>"""
FRAME = """<!doctype html><body style="margin:0"><script>
onmessage = message => document.body.dataset.measured = message.data;
</script><iframe src="measured.html" width="{width}" height="1600" frameborder="0"></iframe></body>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium to open the page")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    write_gain(root / "gain", sizes=(500,), ratios=(1, 2), classes=CLASSES[:3])
    write_quality(root / "quality", classes=CLASSES[:3])
    write_audit(root / "audit")
    return report(root, root / "report.html")


def browse(page, width, *options):
    """What Chromium prints with a window so wide; (stdout, stderr)."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=3000", "--hide-scrollbars"]
    command += ["--enable-logging=stderr", f"--window-size={width},1600", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(page, width):
    measured = page.with_name("measured.html")
    measured.write_text(page.read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.replace("{width}", str(width)))
    dom, log = browse(frame, 1400, "--dump-dom")
    assert "CONSOLE" not in log
    inner, scroll, wide = map(int, re.search(r'data-measured="(\d+),(\d+),(\d+)"', dom).groups())
    assert inner == width
    assert scroll <= width
    assert wide == 0


def test_every_section_is_in_the_document(page):
    dom, log = browse(page, 1280, "--dump-dom")
    assert "CONSOLE" not in log
    for anchor in ("in-short", "helps", "quality", "audit", "method", "files"):
        assert f'<section id="{anchor}"' in dom
    assert dom.count("<svg") == page.read_text(encoding="utf-8").count("<svg") > 15
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', dom)
    assert outside == []


@pytest.mark.parametrize(("scheme", "light"), [(1, True), (0, False)])
def test_it_is_drawn_in_light_and_dark(page, scheme, light):
    small = report(page.parent / "audit", page.with_name("small.html"), overwrite=True)
    picture = page.with_name(f"shot-{scheme}.png")
    browse(small, 1000, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("RGB"), dtype=float)
    assert pixels.shape[:2] == (1600, 1000)
    assert (np.median(pixels) > 200) == light
    assert pixels.std() > 15
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
