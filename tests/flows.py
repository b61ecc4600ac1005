"""A flow small enough for tests: 32 px, two blocks, random weights that do something."""

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from synthderm.models.flow import (
    CLASSES,
    STYLES,
    ConditionEncoder,
    FlowConditions,
    LappedKLT,
    SkinFlowPipeline,
    Velocity,
)
from synthderm.training.flow.images import FlowImages, to_input

SIZE = 32


def skin_images(n=24, seed=0):
    """Round lesions on skin of many tones, with their masks, as training images."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.linspace(-1, 1, SIZE)
    images, masks = [], []
    for _ in range(n):
        x, y, r = (torch.rand(3, generator=generator) * torch.tensor([0.6, 0.6, 0.25])).tolist()
        mask = (grid[:, None] - y + 0.3) ** 2 + (grid[None] - x + 0.3) ** 2 < (0.25 + r) ** 2
        tone = 0.35 + 0.6 * float(torch.rand(1, generator=generator))
        skin = torch.tensor([230.0, 180.0, 150.0]) * tone
        image = skin[:, None, None] * (1 - 0.5 * mask.float())
        images.append((image + 3 * torch.randn(3, SIZE, SIZE, generator=generator)).clamp(0, 255).to(torch.uint8))
        masks.append(mask)
    codes = [CLASSES[i % len(CLASSES)] for i in range(n)]
    return FlowImages.measured(torch.stack(images), torch.stack(masks), codes, ["ham10000"] * n)


def tiny_flow(seed=0, strength=0.03):
    """A pipeline with a fitted front end and random weights."""
    data = skin_images()
    front_end = LappedKLT.fit([to_input(data.images, data.masks)], size=SIZE, patch_size=8, num_components=16)
    torch.manual_seed(seed)
    encoder = ConditionEncoder(width=32, knots=data.knots(), skin_colours=8)
    for style in STYLES[:3]:
        encoder.keep_colours(style, data.skin_lab)
    network = Velocity.fresh(encoder, front_end, width=64, num_layers=1, num_single_layers=1)
    for parameter in network.transformer.parameters():
        parameter.data += strength * torch.randn_like(parameter)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    pipeline = SkinFlowPipeline(network.transformer.eval(), front_end, encoder.eval(), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def some_conditions(n):
    """Known classes, tones and attributes."""
    numbers = torch.arange(n)
    lab = torch.stack([70 - 4.0 * numbers, 14 + 0.0 * numbers, 14 + 0.0 * numbers], 1)
    attributes = torch.linspace(0, 1, n)[:, None].repeat(1, 5)
    return FlowConditions(numbers % len(CLASSES), torch.ones(n, dtype=torch.int64), lab, attributes)
