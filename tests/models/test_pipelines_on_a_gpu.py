"""What only a CUDA GPU can show of the pipelines: offload, quantisation, and images that agree with the CPU's."""

import importlib.util

import pytest
import tiny
import torch

from synthderm.core import Condition, load_generator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

QUICK = {"size": 64, "resolution": 64, "num_inference_steps": 2}
CONDITIONS = [Condition("mel", 5), Condition("nv", 2), Condition("bcc", 6)]


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def base(request, tmp_path_factory):
    return request.param, str(tiny.save_tiny(request.param, tmp_path_factory.mktemp(request.param) / "base"))


@pytest.fixture(scope="module")
def on_cpu(base):
    return draw(base, device="cpu", dtype="fp32")


def draw(base, **options):
    family, path = base
    generator = load_generator(family, base=path, **QUICK, **options)
    return torch.stack([sample.image for sample in generator.sample([1, 2, 3], CONDITIONS)]).float()


@pytest.mark.parametrize("offload", [None, "model", "sequential"])
def test_a_gpu_draws_what_the_cpu_draws(base, on_cpu, offload):
    difference = (draw(base, device="cuda", dtype="fp32", offload=offload) - on_cpu).abs()
    assert difference.mean() < 1
    assert difference.max() <= 8


def test_a_batch_is_what_its_images_are_alone(base):
    together = draw(base, device="cuda", dtype="fp32", batch_size=3)
    alone = draw(base, device="cuda", dtype="fp32", batch_size=1)
    assert (together - alone).abs().max() <= 2


def test_bfloat16_is_the_default_and_near(base, on_cpu):
    assert (draw(base, device="cuda") - on_cpu).abs().mean() < 8


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantised_weights_draw_nearly_the_same(base, on_cpu, quantization):
    assert (draw(base, device="cuda", quantization=quantization) - on_cpu).abs().mean() < 16
