"""Training of the flow: it learns, goes on exactly where it stopped, and an adapter leaves the base alone."""

import math

import numpy as np
import pytest
import torch
from flows import skin_images, tiny_flow
from safetensors.torch import load_file

from synthderm.core import SynthdermError
from synthderm.models.flow import FlowConditions
from synthderm.training.flow.adapter import add_adapter
from synthderm.training.flow.images import FlowImages, to_input, turned
from synthderm.training.flow.trainer import FlowTrainer, FlowTraining

QUIET = {"report": lambda row: None}


def same(a, b):
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)  # styles without images have colours of nan


def trainer(steps=6, **options):
    flow = tiny_flow()
    return FlowTrainer(flow.velocity, flow.front_end, FlowTraining(steps=steps, batch_size=8, warm_up=2, **options))


def test_it_learns(tmp_path):
    data, one = skin_images(32), trainer(60, learning_rate=3e-3, precision="fp32")
    losses = []
    update = one._update
    one._update = lambda batch: losses.append(update(batch)) or losses[-1]
    assert one.train(lambda step: data, tmp_path, **QUIET)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])  # it starts as a Wiener filter


@pytest.mark.parametrize("muon", [True, False])
def test_stopped_and_resumed_it_ends_in_the_same_bytes(tmp_path, muon):
    data = skin_images(16)
    straight = trainer(muon=muon)
    straight.train(lambda step: data, tmp_path / "a", **QUIET)
    first = trainer(muon=muon)
    assert not first.train(lambda step: data, tmp_path / "b", seconds=0.0, **QUIET)  # one step, then time is up
    again = trainer(muon=muon)
    assert again.resume(tmp_path / "b")
    assert again.step == 1
    again.train(lambda step: data, tmp_path / "b", **QUIET)
    ends = [load_file(str(tmp_path / name / "state.safetensors")) for name in "ab"]
    assert ends[0].keys() == ends[1].keys()
    assert all(same(ends[0][key], ends[1][key]) for key in ends[0])


def test_the_average_lags_behind_the_weights(tmp_path):
    data, one = skin_images(16), trainer(8, ema=0.5)
    one.train(lambda step: data, tmp_path, **QUIET)
    pairs = list(zip(one.network.parameters(), one.average.parameters(), strict=True))
    assert any(not torch.equal(own, mean) for own, mean in pairs)


def test_a_loss_that_is_no_number_stops_and_the_last_state_stays(tmp_path):
    data, one = skin_images(16), trainer(6)
    one.train(lambda step: data, tmp_path, seconds=0.0, **QUIET)
    before = (tmp_path / "state.safetensors").read_bytes()
    one.loss = lambda *args: torch.tensor(math.nan, requires_grad=True)
    with pytest.raises(SynthdermError, match="the loss is nan at step 1; the last good state is in"):
        one.train(lambda step: data, tmp_path, **QUIET)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_an_adapter_alone_is_trained(tmp_path):
    flow, data = tiny_flow(), skin_images(16)
    network = flow.velocity
    add_adapter(network, rank=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    FlowTrainer(network, flow.front_end, FlowTraining(steps=3, batch_size=8, muon=False, warm_up=1)).train(
        lambda step: data, tmp_path, **QUIET
    )
    changed = {name for name, value in network.state_dict().items() if not same(value, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_conditions_are_left_out_as_often_as_asked():
    one, data = trainer(drop_all=0.25, drop_label=0.2, drop_one=0.5), skin_images(7)
    known = data.conditions(torch.rand(len(data), 5))
    n = 3000
    many = known[torch.arange(n) % len(data)]
    dropped = one._dropped(many, np.random.default_rng(0))
    everything = (dropped.diagnosis < 0) & (dropped.style < 0) & dropped.skin_lab.isnan().all(1)
    assert float((dropped.diagnosis < 0).float().mean()) == pytest.approx(0.25 + 0.75 * 0.2, abs=0.03)
    assert float(everything.float().mean()) == pytest.approx(0.25 + 0.75 * 0.2**3, abs=0.03)
    assert dropped.attributes[everything & (dropped.diagnosis < 0)].isnan().float().mean() > 0.6
    assert isinstance(dropped, FlowConditions)


def test_rare_classes_are_drawn_more_often_when_asked():
    data = skin_images(7)
    many = data.select(torch.cat([torch.zeros(90, dtype=torch.int64), torch.full((10,), 1)]))
    rng = np.random.default_rng(0)
    even = trainer(balance=1.0)
    drawn = np.concatenate([even._drawn(many, rng) for _ in range(200)])
    assert float((drawn >= 90).mean()) == pytest.approx(0.5, abs=0.04)
    plain = np.concatenate([trainer()._drawn(many, rng) for _ in range(50)])
    assert float((plain >= 90).mean()) == pytest.approx(0.1, abs=0.05)


def test_the_loss_is_that_of_rectified_flow():
    """With a network that answers 0 the loss is the mean square of (noise - x)."""
    one, data = trainer(precision="fp32"), skin_images(8)
    one.compiled = lambda tokens, sigma, conditions: torch.zeros_like(tokens)
    tokens = one.front_end.encode(to_input(data.images, data.masks))
    loss = one.loss(tokens, FlowConditions.unknown(8), np.random.default_rng(3))
    generator = torch.Generator().manual_seed(int(np.random.default_rng(3).integers(2**63)))
    noise = torch.randn(tokens.shape, generator=generator)
    assert float(loss) == pytest.approx(float((noise - tokens).square().mean()), rel=1e-6)


def test_turns_are_the_eight_of_a_square_and_keep_image_and_mask_together():
    data = skin_images(1)
    x = to_input(data.images, data.masks).repeat(8, 1, 1, 1)
    eight = turned(x, np.arange(8))
    assert len({tuple(one.flatten().tolist()) for one in eight}) == 8
    for one in eight:
        inside = one[3] > 0
        assert one[0][inside].mean() < one[0][~inside].mean()  # the lesion is dark wherever it went


def test_images_are_saved_and_loaded(tmp_path):
    data = skin_images(3)
    data.save(tmp_path / "x.safetensors")
    again = FlowImages.load(tmp_path / "x.safetensors")
    assert torch.equal(again.images, data.images)
    assert torch.equal(again.measures, data.measures)
