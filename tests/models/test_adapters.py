"""LoRA adapters: what is saved is what is loaded, scale and all; what does not fit is refused."""

import json
import shutil

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from synthderm.core import InputError
from synthderm.models.adapters import CARD, WEIGHTS, check_adapter, find_adapter, load_adapter, save_adapter
from synthderm.models.bases import UNKNOWN_LICENCE, find_base
from synthderm.models.pipelines import denoiser_of

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
RANK, ALPHA = 4, 16


def draw(pipeline, prompt="melanoma"):
    more = {} if hasattr(pipeline, "unet") else {"max_sequence_length": 32}
    return pipeline(
        prompt, height=64, width=64, num_inference_steps=1, generator=torch.Generator().manual_seed(3),
        output_type="pt", **more,
    ).images  # fmt: skip


def tuned(family, targets=ATTENTION, width=64, name="default", seed=5):
    """A tiny pipeline with an adapter of large random weights."""
    pipeline = tiny.tiny_pipeline(family, width=width)
    network = denoiser_of(pipeline)[1]
    network.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets), adapter_name=name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if "lora_" in key:
                value.copy_(torch.randn(value.shape, generator=generator) * (1.0 if family == "sd" else 0.3))
    return pipeline


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Family -> (folder of an adapter, image with it, image without it)."""
    found = {}
    for family in tiny.FAMILIES:
        pipeline = tuned(family)
        folder = tmp_path_factory.mktemp(family)
        save_adapter(
            pipeline, folder, licence="CC-BY-NC-4.0", attribution=["HAM10000"], base="tiny", base_fingerprint="abc",
            classes=["mel"], tones=[5, 6], modality="dermoscopy", resolution=64, metrics={"kid": 0.1}, steps=7,
        )  # fmt: skip
        found[family] = folder, draw(pipeline), draw(tiny.tiny_pipeline(family))
    return found


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_adapter_comes_back_with_its_scale_and_its_card(saved, family):
    folder, with_it, without = saved[family]
    assert (with_it - without).abs().max() > 0.01
    pipeline = tiny.tiny_pipeline(family)
    info = load_adapter(pipeline, folder, adapter_name="mine")
    torch.testing.assert_close(draw(pipeline), with_it, atol=1e-5, rtol=0)
    assert (info.rank, info.alpha, info.scale_known, info.weight) == (RANK, ALPHA, True, 1.0)
    assert (info.licence, info.attribution, info.base) == ("CC-BY-NC-4.0", ("HAM10000",), "tiny")
    assert (info.classes, info.tones, info.resolution) == (("mel",), (5, 6), 64)
    assert info.metadata["metrics"] == {"kid": 0.1}
    assert info.metadata["steps"] == 7


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_diffusers_itself_loads_the_file(saved, family):
    folder, with_it, _ = saved[family]
    pipeline = tiny.tiny_pipeline(family)
    pipeline.load_lora_weights(str(folder))
    torch.testing.assert_close(draw(pipeline), with_it, atol=1e-5, rtol=0)


def test_an_adapter_of_another_name_keeps_its_alpha(tmp_path):
    save_adapter(tuned("flux", name="fst5"), tmp_path, adapter_name="fst5", licence="MIT")
    assert load_adapter(tiny.tiny_pipeline("flux"), tmp_path).alpha == ALPHA


def test_weights_of_several_adapters_add_up(saved, tmp_path):
    save_adapter(tuned("flux", seed=9), tmp_path, licence="MIT")
    both, alone, base = (tiny.tiny_pipeline("flux") for _ in range(3))
    load_adapter(both, saved["flux"][0], adapter_name="a", weight=0.0)
    load_adapter(both, tmp_path, adapter_name="b", weight=0.5)
    load_adapter(alone, tmp_path, adapter_name="b", weight=0.5)
    torch.testing.assert_close(draw(both), draw(alone), atol=1e-5, rtol=0)
    assert (draw(alone) - draw(base)).abs().max() > 0.01
    with pytest.raises(InputError, match="'a' is already loaded"):
        load_adapter(both, tmp_path, adapter_name="a")


def to_kohya(folder, head):
    """The weights of a folder in kohya's naming, without head and with alpha beside each module."""
    renamed = {}
    for key, value in load_file(str(folder / WEIGHTS)).items():
        module, _, kind = key.partition(".lora")
        name = "lora_unet_" + module.partition(".")[2].replace(".", "_")
        down = "A" in kind or "down" in kind
        renamed[f"{name}.lora_{'down' if down else 'up'}.weight"] = value
        renamed[f"{name}.alpha"] = torch.tensor(float(ALPHA))
    return {key: value for key, value in renamed.items() if key.startswith(head)}


def test_a_kohya_file_of_stable_diffusion_loads_with_its_scale(saved, tmp_path):
    save_file(to_kohya(saved["sd"][0], "lora_unet_"), str(tmp_path / "any.safetensors"))
    pipeline = tiny.tiny_pipeline("sd")
    info = load_adapter(pipeline, tmp_path)
    torch.testing.assert_close(draw(pipeline), saved["sd"][1], atol=1e-5, rtol=0)
    assert (info.alpha, info.scale_known, info.licence) == (ALPHA, True, UNKNOWN_LICENCE)


def test_a_kohya_file_of_flux_loads_with_its_scale(tmp_path):
    pipeline = tuned("flux", targets=["ff.net.0.proj", "ff.net.2"])
    save_adapter(pipeline, tmp_path, licence="MIT")
    names = {"ff.net.0.proj": "img_mlp_0", "ff.net.2": "img_mlp_2"}
    renamed = {}
    for key, value in load_file(str(tmp_path / WEIGHTS)).items():
        module = f"lora_unet_double_blocks_0_{names[key.partition('transformer_blocks.0.')[2].partition('.lora')[0]]}"
        renamed[f"{module}.lora_{'down' if 'lora_A' in key else 'up'}.weight"] = value
        renamed[f"{module}.alpha"] = torch.tensor(float(ALPHA))
    save_file(renamed, str(tmp_path / "kohya.safetensors"))
    again = tiny.tiny_pipeline("flux")
    (tmp_path / CARD).unlink()
    load_adapter(again, tmp_path / "kohya.safetensors")
    torch.testing.assert_close(draw(again), draw(pipeline), atol=1e-5, rtol=0)


def test_a_file_of_peft_loads_with_its_configuration(saved, tmp_path):
    weights = load_file(str(saved["flux"][0] / WEIGHTS))
    renamed = {key.replace("transformer.", "base_model.model.", 1): value for key, value in weights.items()}
    save_file(renamed, str(tmp_path / "adapter_model.safetensors"))
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ATTENTION}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    pipeline = tiny.tiny_pipeline("flux")
    info = load_adapter(pipeline, tmp_path)
    torch.testing.assert_close(draw(pipeline), saved["flux"][1], atol=1e-5, rtol=0)
    assert info.alpha == ALPHA


def test_a_published_file_tells_its_licence_in_its_model_card_or_not_at_all(saved, tmp_path):
    weights = load_file(str(saved["flux"][0] / WEIGHTS))
    save_file(weights, str(tmp_path / WEIGHTS))
    info = load_adapter(tiny.tiny_pipeline("flux"), tmp_path)
    assert (info.licence, info.scale_known, info.alpha, info.classes) == (UNKNOWN_LICENCE, False, RANK, ())
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\nbase_model: black-forest-labs/FLUX.1-dev\n---\n")
    info = load_adapter(tiny.tiny_pipeline("flux"), tmp_path)
    assert (info.licence, info.base) == ("CC-BY-4.0", "black-forest-labs/FLUX.1-dev")


def test_an_adapter_for_another_base_is_refused_and_leaves_nothing(saved, tmp_path):
    wide = tiny.tiny_pipeline("sd", width=128)
    before = draw(wide)
    with pytest.raises(InputError, match=r"trained on another base.*to_k: \d+ inputs in the file, \d+ in the base"):
        load_adapter(wide, saved["sd"][0])
    with pytest.raises(InputError, match="it holds nothing for a UNet2DConditionModel"):
        load_adapter(wide, saved["flux"][0])
    with pytest.raises(InputError, match="layers that the base lacks"):
        load_adapter(tiny.tiny_pipeline("sd3"), relabelled(saved["sd"][0], tmp_path))
    assert torch.equal(draw(wide), before)
    assert not getattr(wide.unet, "peft_config", {})


def relabelled(folder, target):
    weights = load_file(str(folder / WEIGHTS))
    save_file({k.replace("unet.", "transformer.", 1): v for k, v in weights.items()}, str(target / WEIGHTS))
    return target


def test_a_load_that_diffusers_passes_over_in_silence_is_an_error(saved, monkeypatch):
    pipeline = tiny.tiny_pipeline("flux")
    monkeypatch.setattr(type(pipeline.transformer), "load_lora_adapter", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"\d+ of \d+ weights did not arrive"):
        load_adapter(pipeline, saved["flux"][0])


def test_a_file_that_cannot_be_used_is_one_clear_line(saved, tmp_path):
    pipeline = tiny.tiny_pipeline("flux")
    with pytest.raises(InputError, match=r"no adapter 'nobody/nothing'.*HF_HOME"):
        load_adapter(pipeline, "nobody/nothing")
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="is no safetensors file"):
        load_adapter(pipeline, tmp_path / "a.safetensors")
    save_file({"x": torch.zeros(2)}, str(tmp_path / "b.safetensors"))
    with pytest.raises(InputError, match="holds no LoRA weights; its first names are x"):
        load_adapter(pipeline, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"holds several: a\.safetensors, b\.safetensors"):
        find_adapter(tmp_path)
    with pytest.raises(InputError, match="has no adapter 'default', but none"):
        save_adapter(pipeline, tmp_path, licence="MIT")
    shutil.copytree(saved["flux"][0], tmp_path / "c")
    save_file(get_peft_model_state_dict(tuned("flux", seed=1).transformer), str(tmp_path / "c" / WEIGHTS))
    with pytest.raises(InputError, match="describes other weights"):
        load_adapter(pipeline, tmp_path / "c")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_adapter_is_checked_against_the_configuration_of_a_base_alone(saved, family, tmp_path):
    tiny.save_tiny(family, tmp_path / "base")
    tiny.save_tiny(family, tmp_path / "other", width=128)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    card = check_adapter(saved[family][0], find_base(tmp_path / "base"))
    assert (card.licence, card.classes) == ("CC-BY-NC-4.0", ("mel",))
    if family == "sd":  # the width of the others is that of the text, which an adapter of the attention does not see
        with pytest.raises(InputError, match="was trained on another base"):
            check_adapter(saved[family][0], find_base(tmp_path / "other"))


def test_an_adapter_of_the_text_encoder_is_applied_too_and_as_strongly(tmp_path):
    pipeline = tuned("sd")
    encoder = pipeline.text_encoder
    encoder.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if "lora_" in name:
                value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(7)))
    type(pipeline).save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(encoder),
        unet_lora_adapter_metadata=pipeline.unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=encoder.peft_config["default"].to_dict(),
    )
    again, off = tiny.tiny_pipeline("sd"), tiny.tiny_pipeline("sd")
    load_adapter(again, tmp_path)
    tokens = torch.arange(8)[None]
    states = [one.text_encoder(tokens)[0] for one in (again, pipeline, off)]
    torch.testing.assert_close(states[0], states[1], atol=1e-5, rtol=0)
    assert (states[0] - states[2]).abs().max() > 0.1
    load_adapter(off, tmp_path, weight=0.0)
    torch.testing.assert_close(off.text_encoder(tokens)[0], states[2], atol=1e-5, rtol=0)


def test_layers_that_a_conversion_would_drop_are_an_error(saved, tmp_path, monkeypatch):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    save_file(to_kohya(saved["sd"][0], "lora_unet_"), str(tmp_path / "any.safetensors"))
    right = StableDiffusionLoraLoaderMixin.lora_state_dict.__func__

    def dropping(cls, *args, **kwargs):
        weights, *rest = right(cls, *args, **kwargs)
        return dict(list(weights.items())[4:]), *rest

    monkeypatch.setattr(StableDiffusionLoraLoaderMixin, "lora_state_dict", classmethod(dropping))
    with pytest.raises(InputError, match=r"2 of the \d+ layers of this adapter"):
        load_adapter(tiny.tiny_pipeline("sd"), tmp_path)
