"""``synthderm info``: what the large back-ends need, and what of it is here."""

import json
import sys

import pytest

from synthderm.core import InputError, generator_parameters
from synthderm.core.registry import load_generator
from synthderm.models.prompts import ATTRIBUTES


@pytest.fixture
def info(monkeypatch, capfd):
    def inner(*args):
        from synthderm.cli import main

        monkeypatch.setattr(sys, "argv", ["synthderm", "info", *args])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capfd.readouterr().out

    return inner


def test_back_ends_say_what_they_need_and_what_the_cache_holds(info, monkeypatch, tmp_path):
    for name, kind in (("a--flux", "FluxPipeline"), ("b--other", "KandinskyPipeline")):
        folder = tmp_path / f"models--{name}" / "snapshots" / "1"
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    status, out = info("--json")
    told = json.loads(out)
    rows = {row["name"]: row for row in told["generators"]}
    assert status == 0
    assert (rows["flux"]["works"], rows["flux"]["needs"]) == (True, "with --base")
    assert "in the hub's cache: a/flux" in rows["flux"]["remark"]
    assert "StableDiffusion3Pipeline" in rows["sd3"]["remark"]
    assert "none is in the hub's cache" in rows["sd"]["remark"]
    assert told["auto_dtype"] in ("float32", "bfloat16", "float16")


def test_parameters_of_a_back_end_need_no_base(info):
    told = json.loads(info("--parameters", "--generator", "flux", "--json")[1])["parameters"]
    assert [row["name"] for row in told] == list(ATTRIBUTES)
    assert set(generator_parameters("fakes:FakeGenerator")) >= {"lesion.radius"}
    with pytest.raises(InputError, match="unknown generator 'fluxx'; did you mean 'flux'"):
        generator_parameters("fluxx")


def test_an_option_that_only_others_take_names_them():
    with pytest.raises(InputError, match=r"the generator simulator takes no base; .*flux, sd3, sd do"):
        load_generator("simulator", base="x")
    with pytest.raises(InputError, match="takes no colour; no generator here does"):
        load_generator("fakes:FakeGenerator", colour="x")
    offered = load_generator("fakes:FakeGenerator", offer={"batch_size": 3, "size": 96})
    assert offered.size == 96
