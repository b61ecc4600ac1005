"""``synthderm generate`` with the large back-ends, from the command line to the finished folder, on tiny pipelines."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny
import torch
import yaml
from peft import LoraConfig

from synthderm.core.checks import InputError
from synthderm.core.processes import environment
from synthderm.models.adapters import save_adapter
from synthderm.recipe import Recipe, Work, default_folder, load_recipe
from synthderm.run import generate

QUICK = ("--size", 64, "--resolution", 64, "--steps", 2, "--dtype", "fp32", "--device", "cpu", "--no-gates")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the tiny bases and an adapter for the FLUX among them."""
    root = tmp_path_factory.mktemp("models")
    for family in ("flux", "sd3"):
        tiny.save_tiny(family, root / family, licence="apache-2.0")
    pipeline = tiny.tiny_pipeline("flux")
    pipeline.transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_k", "to_v"]))
    with torch.no_grad():
        for name, value in pipeline.transformer.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    save_adapter(
        pipeline, root / "derma", licence="CC-BY-NC-4.0", attribution=["Images of HAM10000"], classes=["nv"],
        tones=[5], resolution=64,
    )  # fmt: skip
    return root


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """The command line in this process, in an empty folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def inner(*args):
        from synthderm.cli import main

        monkeypatch.setattr(sys, "argv", ["synthderm", "generate", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return inner


def rows(folder):
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*s/SYN_*"))}


def test_flux_with_an_adapter_makes_a_folder_that_says_how(call, models, tmp_path):
    args = ("--generator", "flux", "--base", models / "flux", "--adapter", models / "derma", "--class", "mel")
    status, out, err = call(*args, "--fst", 5, "-n", 4, "-o", "o", *QUICK)
    assert (status, err) == (0, "")
    assert "4 of 4 are in o" in out
    assert "licence of the images: Apache-2.0 AND CC-BY-NC-4.0" in out
    assert "note: the adapter was never trained on class mel" in out
    made = rows(tmp_path / "o")
    assert len(files(tmp_path / "o")) == 8
    assert {row["prompt"] for row in made} == {"dermoscopic image of melanoma, brown skin"}
    assert {(row["generator"], row["adapter"], row["num_inference_steps"]) for row in made} == {("flux", "derma", 2)}
    assert len({row["seed"] for row in made}) == 4
    text = (tmp_path / "o" / "ATTRIBUTION.txt").read_text()
    assert "safety checker is switched off" in text
    assert "Images of HAM10000" in text
    assert {path.stem for path in (tmp_path / "o" / "LICENSES").iterdir()} == {"Apache-2.0", "CC-BY-NC-4.0"}
    record = yaml.safe_load((tmp_path / "o" / "recipe.resolved.yaml").read_text())
    assert (record["base"], record["num_inference_steps"]) == (str(models / "flux"), 2)


def test_the_same_folder_whatever_the_batch_and_however_often_it_was_stopped(call, models, tmp_path):
    args = ("--generator", "sd3", "--base", models / "sd3", "--class", "mel", "--fst", 5, "-n", 4, *QUICK)
    assert call(*args, "-o", "whole", "--batch-size", 4)[0] == 0
    whole = files(tmp_path / "whole")
    assert len(whole) == 8
    assert call(*args, "-o", "parts", "--batch-size", 1, "--shard", "2/2")[0] == 0
    assert len(files(tmp_path / "parts")) == 4
    assert call(*args, "-o", "parts", "--batch-size", 3)[0] == 0
    assert files(tmp_path / "parts") == whole
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_without_gates_an_image_whose_skin_cannot_be_measured_is_kept_and_counted(call, models, tmp_path):
    tiny.save_tiny("sd", tmp_path / "sd")  # its images are all lesion to the segmenter
    args = ("--generator", "sd", "--base", "sd", "--class", "mel", "--fst", 5, "-n", 3, "--size", 64, "--steps", 1)
    status, out, _ = call(*args, "--no-gates", "--json", "-o", "o")
    assert status == 0
    told = json.loads(out)
    measured = [row["ita_deg"] for row in rows(tmp_path / "o")]
    assert None in measured
    assert (told["made"], told["tone"][0]["images"]) == (3, 3)
    assert (tmp_path / "o" / "README.md").is_file()


@pytest.mark.slow
def test_a_killed_run_and_worker_processes_give_the_same_bytes(call, models, tmp_path):
    args = ("--generator", "flux", "--base", models / "flux", "--class", "mel", "--fst", 5, "-n", 6, *QUICK)
    assert call(*args, "-o", "whole")[0] == 0
    whole = files(tmp_path / "whole")
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", "from synthderm.cli import main; main()", "generate", *map(str, args)]
    process = subprocess.Popen([*command, "-o", str(killed), "--batch-size", "1"], env=environment())
    while process.poll() is None and len(list(killed.glob("images/SYN_*"))) < 2:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(files(killed))
    assert call(*args, "-o", "killed", "--workers", 1)[0] == 0
    assert files(killed) == whole


def test_images_that_show_no_lesion_of_the_class_are_turned_down_and_logged(call, models, tmp_path):
    args = ("--generator", "flux", "--base", models / "flux", "--class", "mel", "--fst", 5, "-n", 1, *QUICK[:-1])
    assert call(*args, "-o", "o")[0] == 1
    turned_down = [json.loads(line) for line in (tmp_path / "o" / "rejected.jsonl").read_text().splitlines()]
    assert len(turned_down) > 1
    assert {row["reason"] for row in turned_down} & {"class not recognised", "lesion size"}


def test_a_prompt_alone_gives_class_tone_and_look(call, models, tmp_path):
    args = ("--generator", "flux", "--base", models / "flux", "-n", 1, "-o", "o", *QUICK)
    status, _, _ = call("--prompt", "irregular dark melanoma on brown skin", *args)
    (row,) = rows(tmp_path / "o")
    assert status == 0
    assert (row["dx"], row["fst_requested"], row["border_requested"]) == ("mel", 5, 0.85)
    assert row["prompt"] == "irregular dark melanoma on brown skin"
    status, out, _ = call("--prompt", "shiny nevus on brown skin", "-n", 1, "-o", "p", "--size", 64, "--workers", 0)
    assert "note: not understood in the prompt: shiny" in out
    assert (status, rows(tmp_path / "p")[0]["dx"]) == (0, "nv")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--generator", "flux", "--class", "mel"), "flux needs --base"),
        (("--class", "mel", "--base", "x"), "the generator simulator takes no base; "),
        (("--class", "mel", "--steps", 3), "the generator simulator takes no num_inference_steps; "),
        (("--generator", "sd3", "--base", "{models}/flux", "--class", "mel"), "is FLUX.1; use --generator flux for it"),
        (("--generator", "flux", "--base", "no/where", "--class", "mel"), "there is no model 'no/where'"),
        (("--generator", "sd3", "--base", "{models}/sd3", "--adapter", "{models}/derma", "--class", "mel"),
         "was trained on another base"),
        (("--generator", "flux", "--base", "{models}/flux", "--device", "cuda", "--class", "mel"), "sees no CUDA GPU"),
        (("--class", "mel", "--prompt", "a nevus"), "the prompt asks for class nv, but class is mel"),
        (("--prompt", "a melanoma on dark skin", "--fst", "1,6"), "asks for fst 6, but fst is 1, 6"),
        (("--prompt", "a melanoma on dark skin", "--ita", "20"), "type 6 (-90 to -30 degrees), but ita is ita20"),
        (("--prompt", "a dermoscopic melanoma", "--modality", "clinical"), "asks for modality dermoscopy"),
        (("--prompt", "a cat"), "nothing in the prompt"),
        (("--prompt", "a cat", "--class", "mel"), "nothing in the prompt"),
        (("--prompt", "irregular border"), "which class?"),
        (("--class", "mel", "--dtype", "fp8"), "unknown dtype 'fp8'"),
        (("--class", "mel", "--guidance", "99"), "guidance must be between 0 and 30"),
        (("--class", "mel", "--adapter-weight", "9"), "adapter_weight must be between -2 and 2"),
        (("--class", "mel", "--prompt", " "), "prompt is empty"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met_is_one_line(call, models, tmp_path, args, says):
    if "cuda" in args and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    status, out, err = call(*(str(arg).format(models=models) for arg in args), "-n", 1, "-o", "o")
    assert (status, out) == (2, "")
    assert err.startswith("synthderm: error: ")
    assert err.count("\n") == 1
    assert says in err
    assert not (tmp_path / "o").exists()


class Quiet:
    """A generator without parameters, for what a recipe is."""

    name, version, parameters, one_process = "quiet", "1", {}, True


@pytest.mark.parametrize(
    ("flags", "digest", "folder"),
    [
        ({"class": "mel"}, "1ec1c4ca", "synthderm-mel-n12-seed0"),
        ({"class": "mel,nv", "ita": "-40..-10", "masks": "all", "set": ["lesion.spots=3"]}, "9c70f085",
         "synthderm-mel-nv-ita-40..-10-n12-seed0-4c69"),
        ({"class": "mel", "fst": 2, "vary": "lesion.radius"}, "52124fe0",
         "synthderm-mel-fst2-vary-lesion.radius-n9-seed0-cb03"),
        ({"class": "bcc", "fst": "all", "paired": True, "size": 128, "modality": "clinical", "format": "jpg"},
         "e4f528dc", "synthderm-bcc-fst1_2_3_4_5_6-paired-clinical-128px-n12-seed0-a4c1"),
    ],
)  # fmt: skip
def test_folders_made_before_these_flags_existed_keep_their_identity(flags, digest, folder):
    from fakes import FakeGenerator

    work = Work(Recipe.from_flags(flags), FakeGenerator())
    assert work.digest == digest
    assert str(default_folder(work.recipe, work.num_images)) == folder


def test_what_changes_the_images_is_in_the_identity_and_where_it_runs_is_not():
    def identity(**flags):
        return Work(Recipe.from_flags({"class": "mel", **flags}), Quiet()).identity

    plain = identity()
    for name, value in {
        "base": "b", "adapter": "a", "adapter_weight": 0.5, "negative_prompt": "hair", "steps": 3, "guidance": 2,
        "style": "ham10000", "dtype": "bf16", "quantization": "nf4", "resolution": 512, "gates": False,
    }.items():  # fmt: skip
        assert identity(**{name: value}) != plain, name
    for name, value in {"device": "cuda", "offload": "model", "batch_size": 3, "gates": True, "workers": 3}.items():
        assert identity(**{name: value}) == plain, name
    names = [
        default_folder(Recipe.from_flags({"class": "mel", **more}), 3)
        for more in ({}, {"device": "cuda"}, {"steps": 3})
    ]
    assert names[0] == names[1] != names[2]


def test_flags_of_the_generator_survive_yaml_and_reach_the_workers(tmp_path):
    flags = {
        "class": "mel", "base": "b", "adapter": "a", "adapter_weight": 0.5, "prompt": "a melanoma on dark skin",
        "negative_prompt": "hair", "num_inference_steps": 3, "guidance_scale": 2.5, "resolution": 512, "style": "x",
        "device": "cuda", "dtype": "bfloat16", "offload": "model", "quantization": "nf4", "gates": False,
    }  # fmt: skip
    recipe = Recipe.from_flags(flags)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe.to_flags()))
    assert load_recipe(tmp_path / "r.yaml") == recipe
    assert (recipe.dtype, recipe.fst) == ("bf16", (6,))


def test_a_prompt_on_the_command_line_goes_over_the_file(tmp_path):
    (tmp_path / "r.yaml").write_text("class: nv\nita: -20\nmodality: clinical\nnum_images: 2\n")
    recipe = load_recipe(tmp_path / "r.yaml", {"prompt": "melanoma on light skin"})
    assert (recipe.diagnosis, recipe.fst, recipe.ita, recipe.modality) == (("mel",), (2,), (), "clinical")
    (tmp_path / "p.yaml").write_text("prompt: melanoma on light skin\n")
    assert load_recipe(tmp_path / "p.yaml", {"prompt": "nevus"}).diagnosis == ("nv",)
    with pytest.raises(InputError, match="asks for class mel, but class is nv"):
        load_recipe(tmp_path / "p.yaml", {"class": "nv"})


def test_what_the_generator_cannot_do_is_noted_and_large_models_start_no_workers():
    work = Work(Recipe.from_flags({"prompt": "irregular melanoma on dark skin"}), Quiet())
    assert work.notes == ("the generator quiet has no control of border",)
    assert work.recipe.workers == 0
    assert Work(Recipe.from_flags({"class": "mel", "workers": 2}), Quiet()).recipe.workers == 2


def test_attributes_of_a_prompt_are_parameters_of_the_generator_and_set_goes_over_them():
    from synthderm.generators.simulated import SimulatorGenerator

    simulator = SimulatorGenerator(64)
    flags = {"prompt": "irregular asymmetric melanoma on dark skin", "set": {"lesion.border": 0.2}}
    assert Work(Recipe.from_flags(flags), simulator).recipe.set == {"lesion.asymmetry": 0.85, "lesion.border": 0.2}


def test_generate_from_python_takes_the_same_names(models, tmp_path):
    summary = generate(
        generator="flux", base=str(models / "flux"), prompt="a {tone} photo of {diagnosis}", diagnosis="mel", fst=5,
        num_images=1, size=64, resolution=64, num_inference_steps=1, guidance_scale=2.0, output=tmp_path / "o",
        gates=False,
    )  # fmt: skip
    assert summary.licence == "Apache-2.0"
    assert rows(tmp_path / "o")[0]["prompt"] == "a brown skin photo of melanoma"
