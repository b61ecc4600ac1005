import json
import math

import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.evaluation.result import figure, read_result, write_result


def test_figure_holds_value_interval_and_n():
    assert figure(0.5, 0.4, 0.6, 30) == {"value": 0.5, "interval": [0.4, 0.6], "n": 30}
    assert figure(0.5, n=3)["interval"] is None
    assert figure(0.5, math.nan, 0.6)["interval"] is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_insufficient(value):
    assert figure(value, n=4) == {"value": None, "interval": None, "n": 4, "note": "insufficient"}


def test_written_and_read_again(tmp_path):
    figures = {"a": np.float64(1.5), "b": torch.tensor([1, 2]), "c": math.nan, 3: (1, 2), "p": tmp_path}
    path = write_result(tmp_path / "new", "audit", figures, protocol="what was done", context={"seed": 1})
    found = read_result(tmp_path / "new", "audit")
    assert found == json.loads(path.read_text())
    assert found["figures"] == {"a": 1.5, "b": [1, 2], "c": None, "3": [1, 2], "p": str(tmp_path)}
    assert found["context"]["environment"]["packages"]["torch"]
    assert read_result(tmp_path, "audit") is None


def test_bad_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="kind must be one of quality, audit, gain"):
        write_result(tmp_path, "report", {}, protocol="", context={})
    file = tmp_path / "gain.json"
    for text, message in (
        ("{", "is no JSON file"),
        ('{"kind": "audit"}', "is no result of synthderm evaluate gain"),
        ('{"kind": "gain", "figures": {}, "schema_version": 99}', "schema version 99, expected 1"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_result(tmp_path, "gain")
