import json

import pytest
import typer
from report_results import write_audit, write_quality
from typer.testing import CliRunner

from synthderm.cli.evaluate.report import report

runner = CliRunner()


@pytest.fixture
def app():
    program = typer.Typer()
    program.command()(report)
    return program


def test_the_page_of_several_folders(app, tmp_path):
    write_audit(tmp_path / "a")
    write_audit(tmp_path / "b")
    page = tmp_path / "deep" / "page.html"
    done = runner.invoke(app, [str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(page), "--title", "Two & more"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"audit: {tmp_path / 'a'}", f"audit: {tmp_path / 'b'}", f"wrote {page}"]
    assert "<h1>Two &amp; more</h1>" in page.read_text(encoding="utf-8")


def test_json_is_one_object(app, tmp_path):
    write_quality(tmp_path / "q", classes=("nv",))
    page = tmp_path / "page.html"
    page.write_text("old")
    done = runner.invoke(app, [str(tmp_path), "-o", str(page), "--json", "--overwrite"])
    assert json.loads(done.stdout) == {
        "report": str(page),
        "results": [{"kind": "quality", "folder": str(tmp_path / "q")}],
    }
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_errors_are_the_library_s(app, tmp_path):
    done = runner.invoke(app, [str(tmp_path / "nowhere")])
    assert done.exit_code != 0
    assert "expected a folder with results" in str(done.exception)
