import importlib.util

import pytest


@pytest.fixture
def summary(repository):
    spec = importlib.util.spec_from_file_location("summary", repository / "eval" / "summary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documents_hold_the_figures_of_the_result_files(summary):
    """A figure in a document that no result file gives fails here; mend it with eval/summary.py --write."""
    documents = summary.documents()
    assert {path.name for path in documents} == {"README.md"}
    assert len(documents) == 2
    for path, text in documents.items():
        assert path.read_text() == text


def test_figures_come_from_the_files(summary, tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "HERE", tmp_path)
    assert summary.rows() == []
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tone.json").write_text(
        '{"figures": {"dermoscopy": {"fst_5": {"share_inside": 0.25, "n": 8}}}}'
    )
    assert summary.rows() == [
        ("dermoscopy, type 5: measured inside the requested band, before any redraw", "25.0% of 8", "≥ 95 %", "tone")
    ]
