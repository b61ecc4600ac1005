"""A generator that is fast enough for tests of everything around it: flat skin of the requested tone, a disc.

Give it as ``--generator fakes:FakeGenerator`` with this folder on the import path.
"""

import math
import os
import time
from typing import ClassVar

import torch

from synthderm.core import Condition, ParameterSpec, Sample, stream, tone_band
from synthderm.functional.color import lab_to_linear, linear_to_srgb

CHROMA = 20.0


def skin_rgb(ita_deg):
    """(3,) uint8: the colour at distance 20 from L* = 50, b* = 0 whose ITA is ``ita_deg``."""
    angle = math.radians(ita_deg)
    lab = torch.tensor([50 + CHROMA * math.sin(angle), 8.0, max(CHROMA * math.cos(angle), 4.0)])
    return (linear_to_srgb(lab_to_linear(lab)).clamp(0, 1) * 255).round().to(torch.uint8)


class FakeGenerator:
    name = "fake"
    version = "1"
    licence = "CC0-1.0"
    attribution = ("fake images for tests",)
    attributes = ("hair", "vessels")
    parameters: ClassVar = {
        s.name: s
        for s in (
            ParameterSpec("lesion.radius", "radius", 0.1, 0.4, "of the image"),
            ParameterSpec("lesion.spots", "spots", 0, 9, kind="int"),
            ParameterSpec("hair.present", "hair", kind="bool"),
            ParameterSpec("light.name", "light", kind="choice", choices=("day", "lamp")),
        )
    }

    def __init__(self, size=64, masks="lesion", maps=False):
        self.size, self.masks, self.maps = size, masks, maps

    def sample(self, seeds, condition):
        conditions = [condition] * len(seeds) if isinstance(condition, Condition) else condition
        for seed, one in zip(seeds, conditions, strict=True):
            yield self.make(seed, one)

    def ita(self, seed, condition):
        band = tone_band(condition.fst)
        drawn = float(stream(seed, "tone").uniform(band.draw_low_deg, band.draw_high_deg))
        return drawn if condition.ita_deg is None else condition.ita_deg

    def make(self, seed, condition):
        log = os.environ.get("FAKE_LOG")
        if log:
            with open(log, "a") as file:
                file.write(f"{seed} {condition.diagnosis} {condition.fst}\n")
        rng = stream(seed, "shape")
        drawn = float(rng.uniform(0.15, 0.3))
        radius = condition.parameters.get("lesion.radius", drawn)
        axis = torch.linspace(-0.5, 0.5, self.size)
        lesion = (axis[:, None] ** 2 + axis[None] ** 2).sqrt() < radius
        ita = self.ita(seed, condition)
        image = skin_rgb(ita)[:, None, None].repeat(1, self.size, self.size)
        noise = torch.from_numpy(rng.integers(0, 3, (self.size, self.size))).to(torch.uint8)
        image[:, lesion] = (image[:, lesion] // 2) + noise[lesion]
        none = torch.zeros_like(lesion)
        masks = {"lesion": lesion, "healthy_skin": ~lesion, "hair": none, "vessels": none}
        maps = {"melanin": lesion.float()} if self.maps else {}
        metadata = {"ita_requested_deg": ita, "parameters": {"lesion.radius": float(radius)}}
        return Sample(image, masks, metadata, seed, maps)


class SlowGenerator(FakeGenerator):
    """Takes 40 ms per image."""

    def make(self, seed, condition):
        time.sleep(0.04)
        return super().make(seed, condition)


class FlakyGenerator(FakeGenerator):
    """Misses the tone of every third seed."""

    def ita(self, seed, condition):
        right = super().ita(seed, condition)
        return right if seed % 3 else (-50.0 if right > 0 else 50.0)


class CountingGenerator(FlakyGenerator):
    """Notes how many images each call asked for."""

    def sample(self, seeds, condition):
        with open(os.environ["FAKE_LOG"] + ".calls", "a") as file:
            file.write(f"{len(seeds)}\n")
        return super().sample(seeds, condition)


class DarkFlakyGenerator(FakeGenerator):
    """Misses type 6 only, at every third seed."""

    def ita(self, seed, condition):
        return 30.0 if condition.fst == 6 and seed % 3 == 0 else super().ita(seed, condition)


class StuckGenerator(FakeGenerator):
    """Never reaches type 6."""

    def ita(self, seed, condition):
        return 30.0 if condition.fst == 6 else super().ita(seed, condition)


class BrokenGenerator(FakeGenerator):
    """Takes its process with it at one image."""

    def make(self, seed, condition):
        os._exit(3)


class FaintGenerator(FakeGenerator):
    """One lesion in four cannot be seen."""

    def make(self, seed, condition):
        sample = super().make(seed, condition)
        sample.metadata.update(lesion_visible=bool(seed % 4), lesion_delta_e=5.0 if seed % 4 else 0.5)
        return sample
