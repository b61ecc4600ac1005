"""Validation with the live networks: the held-out loss at fixed noise, samples, and their distance to real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from synthderm.core.seeds import image_seed
from synthderm.functional.kernel_distance import kernel_distance, kernel_interval

from .draws import generator
from .images import TrainingImages
from .session import Session
from .sheet import write_sheet

MOST_HELD_OUT = 256
"""Held-out images that are looked at; more are drawn from by the seed."""

LEAST_DRAWS = 64
"""Noise draws of a held-out loss: a few images are looked at several times."""

LEAST_FOR_INTERVAL = 8
"""Images of each kind below which a distance has no interval."""


class Validation:
    """Looks at a run from time to time; always at the same images, noise, conditions and seeds.

    Attributes:
        session: the run.
        folder: of the sheets.
    """

    def __init__(self, session: Session, images: TrainingImages, folder: Path) -> None:
        self.session, self.images, self.folder = session, images, folder
        order = torch.randperm(len(session.held_out), generator=generator(session.config.seed, "held out"))
        self.chosen = [session.held_out[i] for i in order[:MOST_HELD_OUT].tolist()]
        plain = [i for i in session.train if not session.encoded.examples[i].gains]
        shuffled = torch.randperm(len(plain), generator=generator(session.config.seed, "compared")).tolist()
        self._compared = {"kid": self.chosen, "kid_train": [plain[i] for i in shuffled[:MOST_HELD_OUT]]}
        self._extractor: Any = None
        self._real: dict[str, torch.Tensor] = {}

    def __call__(self, step: int, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Figures of the weights that the run would leave behind now; a sheet of samples is written."""
        session = self.session
        session.target.model.eval()
        with torch.no_grad(), session.adapter.replaced(session.kept()):
            figures: dict[str, Any] = {"held_out_loss": self.held_out_loss()}
            images = self.draw(progress)
        session.target.model.train()
        if images is not None and session.accelerator.is_main_process:
            write_sheet(self.folder / f"step-{step:06d}.png", images, [self._title(i) for i in range(len(images))])
            figures |= self.kernel_distances(images)
        return figures

    def held_out_loss(self) -> float:
        """Mean training loss over the held-out images; noise and timesteps are the same every time."""
        session, config = self.session, self.session.config
        repeats = -(-LEAST_DRAWS // len(self.chosen))
        places = self.chosen * repeats
        batches = [places[i : i + config.batch_size] for i in range(0, len(places), config.batch_size)]
        process, processes = session.accelerator.process_index, session.accelerator.num_processes
        total = torch.zeros((), dtype=torch.float64)
        for number in range(process, len(batches), processes):
            part = batches[number]
            latents, conditions = session.batch(part, [0] * len(part), [False] * len(part))
            chance = generator(config.seed, "held out", number)
            with session.accelerator.autocast():
                losses = session.target.loss(session.target.model, latents, conditions, chance)
            total += losses.double().sum().cpu()
        total = session.accelerator.reduce(total.to(session.accelerator.device, torch.float32))
        return float(total) / len(places)

    def draw(self, progress: Callable[[int, int], None] | None = None) -> torch.Tensor | None:
        """(N, 3, S, S) uint8 samples under the conditions of held-out images; None if none are wanted."""
        session, config = self.session, self.session.config
        if not config.samples:
            return None
        process, processes = session.accelerator.process_index, session.accelerator.num_processes
        mine = list(range(process, config.samples, processes))
        nothing = session.encoded.conditions([None])
        found: list[tuple[int, torch.Tensor]] = []
        for start in range(0, len(mine), session.target.sample_batch):
            part = mine[start : start + session.target.sample_batch]
            conditions = session.encoded.conditions([self._example(i) for i in part])
            unconditional = {n: v.expand(len(part), *v.shape[1:]) for n, v in nothing.items()}
            seeds = [image_seed(config.seed, i) for i in part]
            found += zip(part, session.target.sample(conditions, unconditional, seeds), strict=True)
            if progress is not None:
                progress(start + len(part), len(mine))
        if processes > 1:
            from accelerate.utils import gather_object

            found = gather_object(found)
        return torch.stack([image for _, image in sorted(found, key=lambda pair: pair[0])])

    def kernel_distances(self, samples: torch.Tensor) -> dict[str, Any]:
        """Kernel distances (KID) of samples to the held-out and to the training images, with 95 % intervals.

        None below two images. That to the held-out images is the honest one; where few are held out, that to the
        training images scatters less, but falls by mere copying, too.
        """
        found = self._features(samples)
        figures: dict[str, Any] = {"samples": len(found)}
        for name in self._compared:
            real = self._real_features(name)
            figures |= {name: None, f"{name}_interval": None, f"{name}_images": len(real)}
            if min(len(real), len(found)) >= 2:
                figures[name] = kernel_distance(found, real, force=True)
            if min(len(real), len(found)) >= LEAST_FOR_INTERVAL:
                interval = kernel_interval(found, real, force=True)
                figures[f"{name}_interval"] = [interval.low, interval.high]
        return figures

    def _example(self, number: int) -> Any:
        return self.session.encoded.examples[self.chosen[number % len(self.chosen)]]

    def _title(self, number: int) -> str:
        example = self._example(number)
        return f"{example.diagnosis}, FST {example.fst or 'unknown'}"

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        if self._extractor is None:
            from synthderm.models.features import load_extractor

            self._extractor = load_extractor("derm")
        return self._extractor(images)

    def _real_features(self, name: str) -> torch.Tensor:
        """Features of the images that are compared with; at most 32 images are in memory."""
        if name not in self._real:
            size, examples = self.session.config.resolution, self.session.encoded.examples
            records = [self.images.all[examples[i].place] for i in self._compared[name]]
            parts = [records[i : i + 32] for i in range(0, len(records), 32)]
            self._real[name] = torch.cat(
                [self._features(torch.stack([self.images.pixels(record, size) for record in part])) for part in parts]
            )
        return self._real[name]
