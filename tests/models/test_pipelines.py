"""Pipelines of diffusers: found, recognised and loaded from this machine only."""

import json
import shutil

import pytest
import tiny
import torch
from safetensors.torch import save_file

from synthderm.core import InputError, MissingExtraError, SynthdermError
from synthderm.models.bases import UNKNOWN_LICENCE, find_base, fingerprint
from synthderm.models.pipelines import choose_dtype, denoiser_of, load_pipeline, memory_errors


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {family: tiny.save_tiny(family, root / family) for family in tiny.FAMILIES}


@pytest.fixture
def no_network(monkeypatch):
    tried = []

    def refuse(*address, **_):
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield
    assert not tried


def draw(pipeline):
    more = {} if hasattr(pipeline, "unet") else {"max_sequence_length": 32}
    return pipeline(
        "melanoma", height=64, width=64, num_inference_steps=1, generator=torch.Generator().manual_seed(3),
        output_type="pt", **more,
    ).images  # fmt: skip


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_folder_is_recognised_and_loads_as_it_was_saved(bases, family, no_network):
    assert find_base(bases[family]).family.name == family
    pipeline = load_pipeline(bases[family], dtype="float32")
    torch.testing.assert_close(draw(pipeline), draw(tiny.tiny_pipeline(family)), atol=1e-5, rtol=0)
    assert denoiser_of(pipeline)[0] == ("unet" if family == "sd" else "transformer")


def test_the_safety_checker_is_off(bases):
    assert load_pipeline(bases["sd"]).safety_checker is None


def test_bfloat16_loads_as_bfloat16(bases):
    assert load_pipeline(bases["flux"], dtype="bf16").transformer.dtype == torch.bfloat16


def test_auto_is_bfloat16_only_where_it_is_fast(monkeypatch):
    cpu = torch.device("cpu")
    cases = ((False, False, torch.float32), (True, False, torch.bfloat16), (False, True, torch.bfloat16))
    for amx, avx512, expected in cases:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx512=avx512: avx512)
        assert choose_dtype("auto", cpu) == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16


def test_what_is_missing_is_told_with_every_place_searched(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError) as caught:
        load_pipeline("someone/some-model")
    for place in ("someone/some-model", str(tmp_path / "cache" / "models--someone--some-model"), "HF_HOME"):
        assert place in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"a folder without model_index\.json"):
        load_pipeline(tmp_path / "empty")


def test_the_cache_of_the_hub_is_used_offline(bases, tmp_path, monkeypatch, no_network):
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(bases["sd"], repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    base = find_base("someone/tiny")
    assert base.place == repository / "snapshots" / "abc"
    assert type(load_pipeline(base)).__name__ == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"family": "flux"}, "is Stable Diffusion 1.x/2.x; use --generator sd for it, not flux"),
        ({"family": "sdxl"}, "unknown family 'sdxl'"),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"dtype": "fp16"}, "float16 needs a GPU"),
        ({"device": "gpu"}, "device must be cpu, cuda"),
        ({"offload": "model"}, "offload moves parts off a CUDA GPU, but the device is cpu"),
        ({"offload": "disk"}, "unknown offload"),
        ({"quantization": "int3"}, "unknown quantization"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_clear_line(bases, options, says):
    with pytest.raises(InputError, match=says):
        load_pipeline(bases["sd"], **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_and_a_missing_package_are_told(bases, monkeypatch):
    with pytest.raises(InputError, match="sees no CUDA GPU; use --device cpu"):
        load_pipeline(bases["sd"], device="cuda")
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"needs bitsandbytes: pip install 'synthderm\[quantize\]'"):
        load_pipeline(bases["sd"], quantization="nf4")


def test_a_damaged_or_foreign_model_is_told(bases, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(bases["sd"], broken)
    next((broken / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(InputError, match=r"cannot be loaded as Stable Diffusion.*is it complete"):
        load_pipeline(broken)
    (broken / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(InputError, match="is a StableDiffusionXLPipeline, but expected one of FluxPipeline"):
        load_pipeline(broken)
    (broken / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        load_pipeline(broken)


def test_a_licence_is_the_cards_and_unknown_without_one(bases, tmp_path):
    assert find_base(bases["sd"]).licence == UNKNOWN_LICENCE
    for written, read in (
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"), ("apache-2.0", "Apache-2.0"), ("openrail", "LicenseRef-openrail"),
        ("other\nlicense_name: flux-1-dev-non-commercial-license", "LicenseRef-flux-1-dev-non-commercial-license"),
    ):  # fmt: skip
        (tmp_path / "README.md").write_text(f"---\nlicense: {written}\n---\n")
        (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
        assert find_base(tmp_path).licence == read


def test_other_weights_have_another_fingerprint(bases, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bases["sd3"], copy)
    assert fingerprint(copy) == fingerprint(bases["sd3"])
    weights = next((copy / "transformer").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint(copy) != fingerprint(bases["sd3"])


def test_out_of_memory_names_what_helps():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    cases = (
        (torch.OutOfMemoryError("CUDA out of memory"), {"device": cuda, "batch_size": 8, "resolution": 1024},
         "--batch-size 1, --offload model, --quantization nf4, --resolution 512"),
        (torch.OutOfMemoryError(""), {"device": cuda, "offload": "model", "quantization": "nf4"},
         "--offload sequential"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), {"device": cpu},
         "--workers 0"),
    )  # fmt: skip
    for error, state, says in cases:
        with pytest.raises(SynthdermError, match=says), memory_errors(dtype=torch.bfloat16, **state):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(device=cpu, dtype=torch.float32):
        raise RuntimeError("shapes differ")


def test_a_single_file_needs_a_configuration_and_loads_with_one(bases, tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    pipeline = load_pipeline(bases["sd"])
    file = tmp_path / "model.safetensors"
    save_file(original_layout(pipeline), str(file))
    with pytest.raises(InputError, match=r"holds weights only.*model_index\.json in .*models--stable-diffusion"):
        load_pipeline(file)
    shutil.copytree(bases["sd"], tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    assert torch.equal(draw(load_pipeline(file, "sd")), draw(pipeline))


def original_layout(pipeline):
    """The weights of a two-block Stable Diffusion under the names of its original code."""
    renamed = {
        **{f"model.diffusion_model.{_unet_name(k)}": v for k, v in pipeline.unet.state_dict().items()},
        **{f"cond_stage_model.transformer.{_text_name(k)}": v for k, v in pipeline.text_encoder.state_dict().items()},
    }
    for name, value in pipeline.vae.state_dict().items():
        original = _vae_name(name)
        linear = ".mid.attn_1." in original and value.ndim == 2
        renamed[f"first_stage_model.{original}"] = value[:, :, None, None] if linear else value
    return {name: value.contiguous() for name, value in renamed.items()}


_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def _unet_name(name):
    for new, old in (
        ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
        ("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
        ("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"),
        ("mid_block.resnets.1", "middle_block.2"), ("down_blocks.0.resnets.0", "input_blocks.1.0"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op"), ("down_blocks.1.resnets.0", "input_blocks.3.0"),
        ("down_blocks.1.attentions.0", "input_blocks.3.1"), ("up_blocks.0.resnets.0", "output_blocks.0.0"),
        ("up_blocks.0.attentions.0", "output_blocks.0.1"), ("up_blocks.0.resnets.1", "output_blocks.1.0"),
        ("up_blocks.0.attentions.1", "output_blocks.1.1"), ("up_blocks.0.upsamplers.0.conv", "output_blocks.1.2.conv"),
        ("up_blocks.1.resnets.0", "output_blocks.2.0"), ("up_blocks.1.resnets.1", "output_blocks.3.0"),
    ):  # fmt: skip
        if name.startswith(f"{new}."):
            rest = name.removeprefix(f"{new}.")
            part = rest.split(".")[0]
            return f"{old}.{rest.replace(part, _RESNET.get(part, part), 1) if 'resnets' in new else rest}"
    raise AssertionError(name)


def _vae_name(name):
    for new, old in (
        ("conv_norm_out", "norm_out"), ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
        ("mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
        ("to_out.0", "proj_out"), ("conv_shortcut", "nin_shortcut"), ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"), ("down_blocks", "down"), ("resnets", "block"),
    ):  # fmt: skip
        name = name.replace(new, old)
    for i in range(4):
        name = name.replace(f"up_blocks.{i}.", f"up.{3 - i}.")
    return name


def _text_name(name):
    return name if name.startswith("text_model.") else f"text_model.{name}"
