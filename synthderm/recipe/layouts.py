"""Orders of images: which class and tone image i shows, worked out on demand."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import gcd, lcm

from synthderm.core import Condition, InputError, Modality, ParameterValue, stream

from .fields import Tone

MAX_SWEEP = 100
"""Most images of one sweep: they are accepted or redrawn together, so one process holds them all."""


@dataclass(frozen=True)
class Request:
    """One image as asked for, before its seed draws anything."""

    diagnosis: str
    tone: Tone
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)

    def condition(self, seed: int, modality: Modality) -> Condition:
        """The generator's input; an ITA from a range is drawn by the image's own seed."""
        tone = self.tone
        if tone.low_deg is None:
            return Condition(self.diagnosis, tone.fst, None, modality, self.parameters)
        ita = tone.low_deg
        if tone.high_deg != ita:
            ita = round(float(stream(seed, "requested ita").uniform(ita, tone.high_deg)), 3)
        return Condition(self.diagnosis, None, ita, modality, self.parameters)


@dataclass(frozen=True)
class Job:
    """One image to make.

    Attributes:
        index: its place in the run, from 0.
        seed: its own seed; members of a family share one.
        condition: what the generator is asked for.
        image_id: "SYN_<8 hex digits of the recipe>_<index>".
    """

    index: int
    seed: int
    condition: Condition
    image_id: str


@dataclass(frozen=True)
class Family:
    """Images that share one seed and are accepted or redrawn together; most families hold one image.

    Attributes:
        index: its place in the run, from 0; the seed is made from it.
        first: index of its first image; the others follow.
        requests: one per image.
    """

    index: int
    first: int
    requests: tuple[Request, ...]


class Layout(Sequence[Family]):
    """The families of a recipe, worked out on demand; ``num_images`` is the sum of their members."""

    num_images: int

    def __getitem__(self, i: int) -> Family:  # type: ignore[override]
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self._family(i)

    @abstractmethod
    def _family(self, i: int) -> Family:
        """Family ``i`` of 0 <= i < len(self)."""


class Cycle(Layout):
    """Single images that go through every class and tone in turn.

    Both walk in step and the tone moves on by one whenever both are back at their start, so that at any
    length each class, and each tone, has been asked for equally often, to within one image.
    """

    def __init__(
        self,
        classes: Sequence[str],
        tones: Sequence[Tone],
        parameters: Mapping[str, ParameterValue],
        images: int,
    ) -> None:
        self.classes, self.tones, self.parameters, self.num_images = classes, tones, parameters, images

    def __len__(self) -> int:
        return self.num_images

    def _family(self, i: int) -> Family:
        a, b = len(self.classes), len(self.tones)
        slip = i // lcm(a, b) % gcd(a, b)
        tone = self.tones[(i + slip) % len(self.tones)]
        return Family(i, i, (Request(self.classes[i % len(self.classes)], tone, self.parameters),))


class Pairs(Layout):
    """The same lesion on every tone: family i is lesion i, its images are the tones in order."""

    def __init__(
        self,
        classes: Sequence[str],
        tones: Sequence[Tone],
        parameters: Mapping[str, ParameterValue],
        images: int,
    ) -> None:
        if len(tones) < 2:
            raise InputError("paired needs two tones or more; add for example --fst all")
        if images % len(tones):
            low = images - images % len(tones)
            near = f"{low} or {low + len(tones)}" if low else f"{len(tones)}"
            raise InputError(
                f"paired makes {len(tones)} images of every lesion, one per tone, so n must be a multiple of "
                f"{len(tones)}, but got {images}; try {near}"
            )
        self.classes, self.tones, self.parameters, self.num_images = classes, tones, parameters, images

    def __len__(self) -> int:
        return self.num_images // len(self.tones)

    def _family(self, i: int) -> Family:
        code = self.classes[i % len(self.classes)]
        requests = tuple(Request(code, tone, self.parameters) for tone in self.tones)
        return Family(i, i * len(self.tones), requests)


class Sweep(Layout):
    """One family whose members differ in one thing."""

    def __init__(self, requests: Sequence[Request]) -> None:
        if len(requests) > MAX_SWEEP:
            raise InputError(f"a sweep holds at most {MAX_SWEEP} images, but got {len(requests)}")
        self.requests, self.num_images = tuple(requests), len(requests)

    def __len__(self) -> int:
        return 1

    def _family(self, i: int) -> Family:
        return Family(0, 0, self.requests)


class Cells(Layout):
    """The cells of a plan, one after the other, each filled exactly."""

    def __init__(self, cells: Sequence[tuple[str, int, int]], parameters: Mapping[str, ParameterValue]) -> None:
        self.cells = [cell for cell in cells if cell[2] > 0]
        self.ends = list(accumulate(count for _, _, count in self.cells))
        self.parameters, self.num_images = parameters, self.ends[-1] if self.ends else 0

    def __len__(self) -> int:
        return self.num_images

    def _family(self, i: int) -> Family:
        code, fst, _ = self.cells[bisect_right(self.ends, i)]
        return Family(i, i, (Request(code, Tone(fst), self.parameters),))
