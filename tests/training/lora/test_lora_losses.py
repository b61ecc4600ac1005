"""The losses against what they must be, with a network that answers as it is told."""

import math

import pytest
import scipy.stats
import torch
from torch import nn

from synthderm.core import InputError
from synthderm.training.lora.config import LoraConfig
from synthderm.training.lora.targets.find import fill
from synthderm.training.lora.targets.flow_matching import draw_sigmas, noisy, path_shift

N, TOKENS = 3, 5


@pytest.fixture(scope="module")
def targets():
    import tiny

    made = {}

    def make(family, **options):
        if family not in made:
            made[family] = tiny.tiny_pipeline(family)
        from synthderm.training.lora.targets.find import target_class

        kind = target_class(family)
        config = LoraConfig("data", "base", "out", mixed_precision="no", resolution=64, **options)
        return kind(made[family], config.filled({"family": family, **kind.defaults}))

    return make


class Recorder(nn.Module):
    """Remembers what it is called with and answers zeros."""

    def forward(self, *arguments, **options):
        self.arguments, self.options = arguments, options
        images = options.get("hidden_states", arguments[0] if arguments else None)
        return (torch.zeros_like(images),)


def inputs(family):
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(N, 4, 8, 8, generator=generator)
    width = {"sd": 32, "sd3": 64, "flux": 64}[family]
    conditions = {"prompt_embeds": torch.randn(N, TOKENS, width, generator=generator)}
    if family != "sd":
        pooled = {"sd3": 64, "flux": 32}[family]
        conditions["pooled_prompt_embeds"] = torch.randn(N, pooled, generator=generator)
    return latents, conditions


def seeded():
    return torch.Generator().manual_seed(11)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_flow_losses_are_the_error_of_the_velocity(targets, family):
    target, model = targets(family), Recorder()
    latents, conditions = inputs(family)
    loss = target.loss(model, latents, conditions, seeded())
    noise = torch.randn(latents.shape, generator=seeded())
    assert loss.shape == (N,)
    torch.testing.assert_close(loss, ((noise - latents) ** 2).mean((1, 2, 3)))
    seen = model.options["hidden_states"]
    sigmas = model.options["timestep"] / (1000 if family == "sd3" else 1)
    if family == "flux":
        seen = target.pipeline._unpack_latents(seen, 64, 64, 8)
    weights = sigmas[:, None, None, None]
    torch.testing.assert_close(seen, (1 - weights) * latents + weights * noise)
    assert 0 < sigmas.min() < sigmas.max() < 1


def test_flux_is_told_the_guidance_and_the_places_of_its_tokens(targets):
    target, model = targets("flux", training_guidance=2.5), Recorder()
    target.loss(model, *inputs("flux"), seeded())
    assert model.options["guidance"].tolist() == [2.5] * N
    assert model.options["img_ids"].shape == (16, 3)
    assert model.options["img_ids"][5].tolist() == [0, 1, 1]
    assert model.options["txt_ids"].shape == (TOKENS, 3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_diffusion_losses_are_those_of_what_the_scheduler_predicts(targets, prediction):
    target, model = targets("sd"), Recorder()
    target.training_scheduler.register_to_config(prediction_type=prediction)
    latents, conditions = inputs("sd")
    loss = target.loss(model, latents, conditions, seeded())
    noise = torch.randn(latents.shape, generator=seeded())
    seen, steps = model.arguments
    alpha = target.training_scheduler.alphas_cumprod[steps].sqrt()[:, None, None, None]
    sigma = (1 - alpha**2).sqrt()
    torch.testing.assert_close(seen, alpha * latents + sigma * noise)
    wanted = noise if prediction == "epsilon" else alpha * noise - sigma * latents
    torch.testing.assert_close(loss, (wanted**2).mean((1, 2, 3)))
    assert len(set(steps.tolist())) > 1


def test_a_base_that_predicts_something_else_is_refused():
    import tiny
    from diffusers import DDIMScheduler

    from synthderm.training.lora.targets.stable_diffusion import StableDiffusionTarget

    pipeline = tiny.tiny_pipeline("sd")
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type="sample")
    config = LoraConfig("data", "base", "out", mixed_precision="no", resolution=64).filled(
        StableDiffusionTarget.defaults
    )
    with pytest.raises(InputError, match="got 'sample' in its scheduler"):
        StableDiffusionTarget(pipeline, config)


def test_a_resolution_that_does_not_fit_is_refused(targets):
    import tiny

    from synthderm.training.lora.targets.flux import FluxTarget

    config = LoraConfig("data", "base", "out", mixed_precision="no", resolution=72).filled(FluxTarget.defaults)
    with pytest.raises(InputError, match="resolution must be a multiple of 16 px for this base, but got 72"):
        FluxTarget(tiny.tiny_pipeline("flux"), config)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_noise_levels_are_logit_normal_and_shifted_as_the_scheduler_shifts(shift):
    from diffusers import FlowMatchEulerDiscreteScheduler

    sigmas = draw_sigmas(4000, shift, seeded())
    back = sigmas / (shift + (1 - shift) * sigmas)
    assert scipy.stats.kstest(torch.logit(back).numpy(), "norm").pvalue > 0.01
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    u = torch.tensor([0.25, 0.5, 0.75])
    scheduler.set_timesteps(sigmas=u.tolist())
    torch.testing.assert_close(scheduler.sigmas[:3], shift * u / (1 + (shift - 1) * u))


def test_a_dynamic_scheduler_shifts_by_the_number_of_tokens():
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    config = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    assert path_shift(config, 1024) == pytest.approx(math.exp(calculate_shift(1024)))
    assert path_shift({**config, "time_shift_type": "linear"}, 1024) == pytest.approx(calculate_shift(1024))
    assert path_shift({"shift": 3.0}, 1024) == 3.0


def test_the_path_is_straight():
    latents, noise = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    assert noisy(latents, noise, torch.tensor([0.0, 0.25]))[:, 0, 0, 0].tolist() == [0.0, 0.25]


def test_latents_decode_to_the_image_that_the_autoencoder_gives(targets):
    target = targets("sd3")
    images = torch.rand(2, 3, 64, 64, generator=seeded()) * 2 - 1
    vae = target.pipeline.vae
    vae.register_to_config(shift_factor=0.3, scaling_factor=0.7)
    latents = target.encode_images(images)
    vae.register_to_config(shift_factor=0.0, scaling_factor=1.0)
    torch.testing.assert_close(latents / 0.7 + 0.3, target.encode_images(images))


def test_embeddings_are_those_that_the_pipeline_makes_of_a_caption(targets):
    import tiny

    target = targets("flux", max_sequence_length=16)
    from synthderm.training.lora.examples import Example

    example = Example("a.png", "melanoma on brown skin", "mel", 5, -10.0, "dermoscopy", False, "")
    told, untold = target.encode_conditions([example, None])
    wanted = tiny.tiny_pipeline("flux").encode_prompt("melanoma on brown skin", None, max_sequence_length=16)
    torch.testing.assert_close(told["prompt_embeds"], wanted[0][0])
    torch.testing.assert_close(told["pooled_prompt_embeds"], wanted[1][0])
    assert not torch.equal(told["prompt_embeds"], untold["prompt_embeds"])


def test_the_family_is_found_from_the_base(bases):
    for family in ("flux", "sd3", "sd"):
        config, kind = fill(LoraConfig("data", bases(family), "out"))
        assert config.family == kind.family == family
    with pytest.raises(InputError, match="is of the family sd, not flux"):
        fill(LoraConfig("data", bases("sd"), "out", family="flux"))
    with pytest.raises(InputError, match="there is no model 'nowhere'"):
        fill(LoraConfig("data", "nowhere", "out"))
