"""The compact flow: conditions reach the network, images depend on their seed alone, folders round-trip."""

import math
from itertools import pairwise

import pytest
import torch
from flows import SIZE, skin_images, some_conditions, tiny_flow

from synthderm.core import InputError
from synthderm.models.flow import FlowConditions, SkinFlowPipeline
from synthderm.models.flow.network import positions
from synthderm.models.flow.pipeline import _Extrapolated


@pytest.fixture(scope="module")
def flow():
    return tiny_flow()


def test_output_is_images_with_masks(flow):
    made = flow(some_conditions(3), [1, 2, 3], num_inference_steps=2)
    assert made.images.shape == (3, 3, SIZE, SIZE)
    assert made.images.dtype == torch.uint8
    assert made.masks.shape == (3, SIZE, SIZE)
    assert made.masks.dtype == torch.bool
    assert len(made.images.unique()) > 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_image_depends_on_its_own_seed_and_conditions_alone(flow, precision):
    conditions = some_conditions(20)  # more than one chunk
    together = flow(conditions, list(range(20)), 2, 1.5, precision)
    for place in (0, 7, 15, 16, 19):
        alone = flow(conditions[place : place + 1], [place], 2, 1.5, precision)
        assert torch.equal(alone.images[0], together.images[place])
        assert torch.equal(alone.masks[0], together.masks[place])


def test_other_seeds_and_other_conditions_give_other_images(flow):
    conditions = some_conditions(2)
    first = flow(conditions[:1], [5], 2).images
    assert not torch.equal(first, flow(conditions[:1], [6], 2).images)
    assert not torch.equal(first, flow(conditions[1:], [5], 2).images)


def test_every_condition_reaches_the_network(flow):
    encoder = flow.condition_encoder
    base = some_conditions(1)
    told = encoder(base)[1]
    changes = {
        "diagnosis": FlowConditions(base.diagnosis + 1, base.style, base.skin_lab, base.attributes),
        "style": FlowConditions(base.diagnosis, base.style + 1, base.skin_lab, base.attributes),
        "skin": FlowConditions(base.diagnosis, base.style, base.skin_lab + 5, base.attributes),
    }
    for place in range(5):
        other = base.attributes.clone()
        other[0, place] += 0.3
        changes[f"attribute {place}"] = FlowConditions(base.diagnosis, base.style, base.skin_lab, other)
        unknown = base.attributes.clone()
        unknown[0, place] = math.nan
        changes[f"unknown attribute {place}"] = FlowConditions(base.diagnosis, base.style, base.skin_lab, unknown)
    for name, changed in changes.items():
        assert not torch.allclose(told, encoder(changed)[1], atol=1e-4), name


def test_unknown_conditions_have_no_numbers_in_them(flow):
    tokens, pooled = flow.condition_encoder(FlowConditions.unknown(2))
    assert tokens.shape == (2, 8, 32)
    assert not tokens.isnan().any()
    assert not pooled.isnan().any()


def test_guidance_one_is_the_plain_model_and_more_is_not(flow):
    conditions = some_conditions(1)
    plain = flow(conditions, [3], 4, 1.0).images
    assert not torch.equal(plain, flow(conditions, [3], 4, 3.0).images)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_second_order_is_nearer_to_many_steps_than_euler(flow, guidance):
    conditions, seeds = some_conditions(8), list(range(8))
    exact = flow(conditions, seeds, 100, guidance).images.float()
    errors = [
        float((flow(conditions, seeds, 8, guidance, solver_order=order).images.float() - exact).abs().mean())
        for order in (1, 2)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_the_extrapolation_is_exact_for_a_velocity_that_is_linear_in_time():
    velocity = _Extrapolated(2)
    times = [1.0, 0.7, 0.55, 0.2, 0.0]
    means = [float(velocity(torch.tensor(3.0 - 4.0 * now), then - now)) for now, then in pairwise(times)]
    exact = [3.0 - 4.0 * (now + then) / 2 for now, then in pairwise(times)]
    assert means[0] == pytest.approx(3.0 - 4.0 * times[0])  # nothing is known before the first step
    assert means[1:] == pytest.approx(exact[1:], abs=1e-6)


def test_saved_and_loaded_it_makes_the_same_images(flow, tmp_path):
    flow.save_pretrained(str(tmp_path))
    again = SkinFlowPipeline.from_pretrained(str(tmp_path), local_files_only=True)
    conditions = some_conditions(2)
    assert torch.equal(flow(conditions, [1, 2], 2).images, again(conditions, [1, 2], 2).images)
    assert torch.equal(flow.condition_encoder.skin_table("ham10000"), again.condition_encoder.skin_table("ham10000"))


def test_percentiles_are_the_share_of_training_lesions_below(flow):
    data = skin_images()
    percentiles = flow.condition_encoder.percentiles(data.measures)
    for column, raw in zip(percentiles.T, data.measures.T, strict=True):
        rank = (raw[:, None] > raw[None]).float().mean(1)
        assert (column - rank).abs().max() < 0.15
    assert flow.condition_encoder.percentiles(torch.full((1, 5), math.nan)).isnan().all()


def test_an_untrained_network_is_a_wiener_filter():
    """With an answer of 0 the velocity is the best linear estimate: its error is what theory says, and no other slope
    does better."""
    flow = tiny_flow(strength=0.0)
    deviation = flow.front_end.deviation
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(400, flow.front_end.num_tokens, len(deviation), generator=generator) * deviation
    noise = torch.randn(clean.shape, generator=generator)
    for level in (0.1, 0.5, 0.9):
        mixed = (1 - level) * clean + level * noise
        found = flow.velocity(mixed, torch.full((400,), level), FlowConditions.unknown(400))
        error = (found - (noise - clean)).square().mean((0, 1))
        variance = ((1 - level) * deviation) ** 2 + level**2
        torch.testing.assert_close(error, deviation**2 / variance, rtol=0.06, atol=0)
        assert (error.mean() < ((1.02 * found) - (noise - clean)).square().mean()).item()


def test_positions_count_rows_then_columns():
    assert positions(4).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]


def test_errors_say_what_to_do(flow):
    with pytest.raises(InputError, match=r"as many seeds as conditions \(2\), but got 1"):
        flow(some_conditions(2), [1])
    with pytest.raises(InputError, match="num_inference_steps must be 1 or more"):
        flow(some_conditions(1), [1], 0)
    with pytest.raises(InputError, match="guidance_scale must be 0 to 20"):
        flow(some_conditions(1), [1], 2, -1.0)
    with pytest.raises(InputError, match="solver_order must be 1 or 2"):
        flow(some_conditions(1), [1], solver_order=3)
    with pytest.raises(InputError, match="has seen no image of style 'padufes20'"):
        flow.condition_encoder.skin_table("padufes20")
