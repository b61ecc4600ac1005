"""Tuning the compact flow, tiny and untrained."""

import json

import pytest
import torch
from safetensors.torch import load_file

from synthderm.core import InputError
from synthderm.functional.attributes import ATTRIBUTES
from synthderm.training.lora import Interrupted, LoraConfig, train_lora
from synthderm.training.lora import validation as validation_module
from synthderm.training.lora.examples import Example
from synthderm.training.lora.images import open_images
from synthderm.training.lora.targets.compact import FIELDS, CompactTarget

SIDE = 32
WEIGHTS = "pytorch_lora_weights.safetensors"


def tiny_flow():
    from diffusers import FlowMatchEulerDiscreteScheduler

    from synthderm.models.flow import ConditionEncoder, LappedKLT, SkinFlowPipeline, Velocity

    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(40, 4, SIDE, SIDE, generator=generator) * 2 - 1
    front_end = LappedKLT.fit([batch], size=SIDE, patch_size=8, num_components=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ConditionEncoder(width=16, knots=[[i / 20 for i in range(21)]] * len(ATTRIBUTES))
        network = Velocity.fresh(encoder, front_end, width=64, num_layers=1, num_single_layers=1)
        for parameter in network.parameters():  # the last layer of a new flow is zero: nothing to tune
            parameter.data += 0.02 * torch.randn(parameter.shape)
    return SkinFlowPipeline(network.transformer, front_end, encoder, FlowMatchEulerDiscreteScheduler(shift=2.0))


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    tiny_flow().save_pretrained(str(folder))
    return folder


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(validation_module, "LEAST_DRAWS", 4)


def config(flow, data, output, **changes):
    options = dict(
        data=data, base=flow, output=output, rank=2, steps=4, batch_size=2, resolution=SIDE, learning_rate=1e-2,
        validate_every=2, samples=0, sample_steps=2, hold_out=0.25, device="cpu", mixed_precision="no",
    )  # fmt: skip
    return LoraConfig(**{**options, **changes})


def target(flow):
    options = LoraConfig("data", flow, "out", resolution=SIDE, mixed_precision="no")
    return CompactTarget(CompactTarget.load(options), options.filled(CompactTarget.defaults))


def example(diagnosis="mel", modality="dermoscopy", dataset="own"):
    look = (60.0, 12.0, 15.0, 0.1, 0.5, float("nan"), 0.25, 1.0)
    return Example("a.png", "", diagnosis, 3, 35.0, modality, False, "", look, dataset)


def test_conditions_are_those_of_the_example(flow):
    told, untold = target(flow).encode_conditions([example(), None])
    assert told["diagnosis"].item() == 1
    assert told["style"].item() == 1
    assert told["skin_lab"].tolist() == [60.0, 12.0, 15.0]
    torch.testing.assert_close(
        told["attributes"], torch.tensor([0.1, 0.5, float("nan"), 0.25, 1.0]), equal_nan=True, atol=1e-5, rtol=0
    )
    assert untold["diagnosis"].item() == untold["style"].item() == -1
    assert untold["skin_lab"].isnan().all()
    style = {(m, d): target(flow).encode_conditions([example("nv", m, d)])[0]["style"].item() for m, d in STYLES}
    assert style == STYLES


STYLES = {("clinical", "own"): 3, ("dermoscopy", "isic2017"): 2, ("dermoscopy", "own"): 1}


def test_a_flow_has_one_size_and_its_own_classes(flow):
    options = LoraConfig("data", flow, "out", resolution=2 * SIDE, mixed_precision="no")
    with pytest.raises(InputError, match=r"makes images of 32 px, but got resolution 64"):
        CompactTarget(CompactTarget.load(options), options.filled(CompactTarget.defaults))
    options = LoraConfig("data", flow, "out", captions="captions.jsonl", mixed_precision="no", resolution=SIDE)
    with pytest.raises(InputError, match="the compact flow reads no captions"):
        CompactTarget(CompactTarget.load(options), options.filled(CompactTarget.defaults))
    with pytest.raises(InputError, match=r"knows no class wart, but a\.png shows it"):
        target(flow).encode_conditions([example("wart")])


def test_the_loss_is_the_error_of_the_velocity(flow):
    from synthderm.models.flow import FlowConditions

    compact = target(flow)
    tokens = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    found = compact.encode_conditions([example(), example("nv"), None])
    conditions = {name: torch.stack([row[name] for row in found]) for name in FIELDS}
    seen = {}

    class Recorder(torch.nn.Module):
        def forward(self, **options):
            seen.update(options)
            return type("Out", (), {"sample": torch.zeros_like(options["hidden_states"])})

    told, _ = compact.pipeline.condition_encoder(FlowConditions(*(conditions[name] for name in FIELDS)))
    compact.loss(Recorder().train(), tokens, conditions, torch.Generator().manual_seed(7))
    assert not torch.equal(seen["encoder_hidden_states"], told)
    loss = compact.loss(Recorder().eval(), tokens, conditions, torch.Generator().manual_seed(7))
    noise = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(7))
    sigma, signal = seen["timestep"][:, None, None], compact.pipeline.front_end.deviation
    mixed = (1 - sigma) * tokens + sigma * noise
    variance = ((1 - sigma) * signal) ** 2 + sigma**2
    torch.testing.assert_close(seen["hidden_states"], mixed / variance.sqrt())
    estimate = (sigma - (1 - sigma) * signal**2) / variance * mixed  # what an answer of 0 leaves: a Wiener filter
    torch.testing.assert_close(loss, ((estimate - (noise - tokens)) ** 2).mean((1, 2)))
    assert seen["guidance"].tolist() == [1.0] * 3
    torch.testing.assert_close(seen["encoder_hidden_states"], told)


def test_conditions_are_left_out_while_training_alone(flow):
    from synthderm.models.flow import FlowConditions
    from synthderm.training.lora.targets.compact import DROP_ATTRIBUTES, DROP_EACH, _dropped

    n = 4000
    told = FlowConditions(torch.ones(n).long(), torch.ones(n).long(), torch.zeros(n, 3), torch.zeros(n, 5))
    left = _dropped(told, torch.Generator().manual_seed(0))
    assert (left.diagnosis == -1).float().mean().item() == pytest.approx(DROP_EACH, abs=0.02)
    assert left.skin_lab.isnan().all(1).float().mean().item() == pytest.approx(DROP_EACH, abs=0.02)
    assert left.attributes.isnan().float().mean().item() == pytest.approx(DROP_ATTRIBUTES, abs=0.02)


def test_latents_are_the_tokens_of_image_and_mask(flow):
    """With all components the front end loses nothing, so that they decode to what was encoded."""
    from synthderm.models.flow import LappedKLT

    compact = target(flow)
    generator = torch.Generator().manual_seed(3)
    batch = torch.rand(40, 4, SIDE, SIDE, generator=generator) * 2 - 1
    front_end = LappedKLT.fit([batch], size=SIDE, patch_size=8, num_components=256)
    compact.pipeline.front_end = front_end
    images = (torch.rand(2, 3, SIDE, SIDE, generator=generator) * 255).round() / 127.5 - 1
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    masks[0, 8:24, 8:24] = True
    back = front_end.decode(compact.encode_images(images, masks))
    torch.testing.assert_close(back[:, :3], images, atol=1e-3, rtol=0)
    assert ((back[:, 3] > 0) == masks).float().mean() > 0.98


def test_a_run_is_resumed_bit_for_bit_and_its_adapter_loads(flow, data, tmp_path):
    import os
    import signal

    from synthderm.models.flow.load import load_flow

    whole = train_lora(config(flow, data, tmp_path / "whole"))

    def stop(what, done, total):
        if (what, done) == ("training", 3):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after step 3"):
        train_lora(config(flow, data, tmp_path / "parts"), stop)
    train_lora(config(flow, data, tmp_path / "parts"))
    straight, resumed = (load_file(str(tmp_path / name / WEIGHTS)) for name in ("whole", "parts"))
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    facts = json.loads((tmp_path / "whole" / "adapter.json").read_text())
    assert (facts["family"], facts["styles"], facts["classes"]) == ("compact", ["ham10000"], ["nv", "mel"])
    assert facts["tone_versions"] == whole.tone_versions == 2 * whole.train_images == 12
    assert set(facts["tones"]) > {2}
    assert "from tone-shifted images alone" in (tmp_path / "whole" / "README.md").read_text()
    tuned, plain = load_flow(flow, tmp_path / "whole"), load_flow(flow)
    assert tuned.adapter.base_fingerprint == plain.base_sha256
    images = open_images(data, hold_out=0.25, seed=0)
    scores, nearest = tuned.copies.score(torch.stack([images.pixels(record, SIDE) for record in images.train]))
    assert nearest.tolist() == list(range(len(images.train)))
    assert (scores > tuned.copies.threshold).all()
    images = [one.pipeline(_conditions(one), [1, 2], 2).images.int() for one in (tuned, plain)]
    assert (images[0] - images[1]).abs().max() > 0
    assert whole.after["held_out_loss"] < whole.before["held_out_loss"]


def _conditions(loaded):
    from synthderm.models.flow import FlowConditions

    return FlowConditions(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.zeros(2, 3) + 20, torch.zeros(2, 5))


def test_training_goes_on_from_an_adapter(flow, data, tmp_path):
    first = train_lora(config(flow, data, tmp_path / "first"))
    second = train_lora(config(flow, data, tmp_path / "second", start_from=tmp_path / "first", rank=16, ema=0.0))
    assert second.before["held_out_loss"] == pytest.approx(first.after["held_out_loss"], rel=1e-5)
    facts = json.loads((tmp_path / "second" / "adapter.json").read_text())
    assert facts["rank"] == 2
    assert len(facts["attribution"]) == 2


def test_samples_come_from_the_live_networks(flow, data, tmp_path):
    result = train_lora(config(flow, data, tmp_path, samples=4, steps=2))
    assert result.before["samples"] == 4
    assert (tmp_path / "samples" / "step-000002.png").is_file()


def test_a_missing_flow_is_said_before_the_data_is_read(tmp_path):
    from synthderm.core import InputError
    from synthderm.models.flow import load
    from synthderm.training.lora import LoraConfig, train_lora

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "shipped_folder", lambda name: tmp_path)
        with pytest.raises(InputError, match="there is no compact flow in"):
            train_lora(LoraConfig(data=tmp_path / "no data", base="compact", output=tmp_path / "out"))
