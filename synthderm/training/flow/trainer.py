"""The training loop of the compact rectified flow."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from synthderm.core import SynthdermError
from synthderm.models.flow.conditions import FlowConditions
from synthderm.models.flow.front_end import LappedKLT
from synthderm.models.flow.network import Velocity

from .images import FlowImages, to_input, turned
from .optimiser import FlowOptimiser

STATE, RECORD = "state.safetensors", "state.json"


@dataclass(frozen=True)
class FlowTraining:
    """How a flow is trained.

    Attributes:
        steps: updates in all.
        batch_size: images per update.
        learning_rate: in the units of AdamW.
        warm_up: updates over which it rises.
        cool_down: share of the steps at the end over which it falls to nothing.
        ema: how long the running average looks back, as a share of the steps so far.
        drop_all: share of images of which nothing is told, for classifier-free guidance.
        drop_one: chance that a single attribute is not told.
        drop_label: chance that diagnosis, style or skin colour is not told, each by itself.
        precision: "bf16" or "fp32".
        muon: Muon for the hidden matrices.
        clip: largest norm of the gradient.
        balance: how much rare classes are drawn more often: a class of n images is drawn in proportion to
            ``n ** (1 - balance)``. 0 is as they are, 1 all alike.
        seed: of everything that is drawn; step s draws from (seed, s) alone.
    """

    steps: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warm_up: int = 100
    cool_down: float = 0.25
    ema: float = 0.1
    drop_all: float = 0.1
    drop_one: float = 0.4
    drop_label: float = 0.1
    precision: str = "bf16"
    muon: bool = True
    clip: float = 1.0
    balance: float = 0.0
    seed: int = 0


class FlowTrainer:
    """A flow with its running average, optimiser and place in the schedule.

    Args:
        network: transformer and condition encoder.
        front_end: fitted.
        config: how.
        device: of all of it.
        compile: whether torch compiles the network first: a minute or two for about a quarter of the time of a step.
    """

    def __init__(
        self,
        network: Velocity,
        front_end: LappedKLT,
        config: FlowTraining,
        device: str | torch.device = "cpu",
        compile: bool = False,
    ) -> None:
        self.network, self.front_end, self.config = network.to(device), front_end.to(device), config
        self.device = torch.device(device)
        self.compiled = torch.compile(self.network) if compile else self.network
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimiser = FlowOptimiser(
            {"transformer": network.transformer, "condition_encoder": network.condition_encoder},
            config.learning_rate,
            config.muon,
        )
        self.step = 0
        self.log: list[dict[str, float]] = []

    def train(
        self,
        data: Callable[[int], FlowImages],
        folder: Path,
        *,
        save_every: int = 200,
        seconds: float = float("inf"),
        report: Callable[[dict[str, float]], None] = print,
    ) -> bool:
        """Train to the last step, or until time is up; True if it is finished.

        Args:
            data: images at a step; may grow from one call to the next.
            folder: where the state is kept.
            save_every: steps between saves.
            seconds: stop after so long, with the state saved.
            report: told the loss every 25 steps.

        Raises:
            SynthdermError: if the loss is no longer a number; the last saved state stays.
        """
        start, running = time.monotonic(), None
        self.network.train()
        while self.step < self.config.steps:
            loss = self._update(data(self.step))
            running = loss if running is None else 0.97 * running + 0.03 * loss
            if not np.isfinite(loss):
                raise SynthdermError(
                    f"the loss is {loss} at step {self.step}; the last good state is in {folder}: "
                    "continue from it with a lower learning rate"
                )
            self.step += 1
            if self.step % 25 == 0:
                row = {"step": self.step, "loss": round(running, 5), "seconds": round(time.monotonic() - start, 1)}
                self.log.append(row)
                report(row)
            late = time.monotonic() - start > seconds
            if self.step % save_every == 0 or late or self.step == self.config.steps:
                self.save(folder)
            if late:
                return self.step >= self.config.steps
        return True

    def _update(self, data: FlowImages) -> float:
        rng = np.random.default_rng([self.config.seed, self.step])
        batch = data.select(torch.from_numpy(self._drawn(data, rng)).to(data.images.device))
        tokens, conditions = self.prepare(batch, rng)
        loss = self.loss(tokens, conditions, rng)
        loss.backward()
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(parameters, self.config.clip)
        self.optimiser.step(self._factor())
        self._follow()
        return float(loss.detach())

    def _drawn(self, data: FlowImages, rng: np.random.Generator) -> np.ndarray:
        if not self.config.balance:
            return rng.integers(0, len(data), self.config.batch_size)
        classes = data.diagnosis.cpu().numpy() + 1
        weights = np.bincount(classes).astype(float)[classes] ** -self.config.balance
        return np.searchsorted(np.cumsum(weights), rng.random(self.config.batch_size) * weights.sum())

    def prepare(self, batch: FlowImages, rng: np.random.Generator) -> tuple[torch.Tensor, FlowConditions]:
        """Tokens and conditions of a batch, turned and mirrored at random, some conditions left out."""
        batch = batch.to(self.device)
        x = turned(to_input(batch.images, batch.masks), rng.integers(0, 8, len(batch)))
        percentiles = self.network.condition_encoder.percentiles(batch.measures)
        return self.front_end.encode(x), self._dropped(batch.conditions(percentiles), rng)

    def _dropped(self, conditions: FlowConditions, rng: np.random.Generator) -> FlowConditions:
        n, config = len(conditions), self.config
        everything = torch.from_numpy(rng.random(n) < config.drop_all)
        label = torch.from_numpy(rng.random((n, 3)) < config.drop_label) | everything[:, None]
        single = torch.from_numpy(rng.random((n, conditions.attributes.shape[1])) < config.drop_one)
        single |= everything[:, None] | torch.from_numpy(rng.random((n, 1)) < 0.3)
        label, single = label.to(conditions.diagnosis.device), single.to(conditions.diagnosis.device)
        return FlowConditions(
            conditions.diagnosis.masked_fill(label[:, 0], -1),
            conditions.style.masked_fill(label[:, 1], -1),
            conditions.skin_lab.masked_fill(label[:, 2:], torch.nan),
            conditions.attributes.masked_fill(single, torch.nan),
        )

    def loss(self, tokens: torch.Tensor, conditions: FlowConditions, rng: np.random.Generator) -> torch.Tensor:
        """Rectified-flow loss: ``|v(x_s, s) - (noise - x)|^2`` with ``x_s = (1 - s) x + s noise``.

        Liu et al. 2023 (ICLR), eq. 1; s is logit-normal (Esser et al. 2024, ICML, eq. 19), one draw per stratum.
        """
        n = len(tokens)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))
        noise = torch.randn(tokens.shape, generator=generator, device=self.device)
        uniform = (torch.from_numpy(rng.permutation(n)) + torch.from_numpy(rng.random(n))) / n
        sigma = torch.sigmoid(torch.special.ndtri(uniform.clamp(1e-4, 1 - 1e-4))).float().to(self.device)
        mixed = tokens + sigma[:, None, None] * (noise - tokens)
        half = self.config.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half), sdpa_kernel(_attention(self.device)):
            velocity = self.compiled(mixed, sigma, conditions)
        return (velocity.float() - (noise - tokens)).square().mean()

    def _factor(self) -> float:
        steps, config = self.config.steps, self.config
        rise = min(1.0, (self.step + 1) / config.warm_up)
        fall = (steps - self.step) / max(1.0, config.cool_down * steps)
        return rise * min(1.0, fall)

    @torch.no_grad()
    def _follow(self) -> None:
        window = max(1.0, self.config.ema * (self.step + 1))
        weights, own = list(self.average.parameters()), list(self.network.parameters())
        torch._foreach_lerp_(weights, own, min(1.0, 1 / window))

    def save(self, folder: Path) -> None:
        """Write the state, complete or not at all."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{k}": v.detach().clone() for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v.clone() for k, v in self.average.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in self.optimiser.tensors().items()}
        temporary = folder / (STATE + ".part")
        record = {"step": self.step, "config": asdict(self.config), "log": self.log}
        save_file(tensors, str(temporary), {"record": json.dumps(record)})
        temporary.replace(folder / STATE)
        (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")

    def resume(self, folder: Path) -> bool:
        """Take up the state of a folder; False if there is none."""
        from safetensors import safe_open

        if not (folder / STATE).is_file():
            return False
        with safe_open(str(folder / STATE), framework="pt", device=str(self.device)) as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            record = json.loads(file.metadata()["record"])
        for name, module in (("network", self.network), ("average", self.average)):
            module.load_state_dict(_under(tensors, name))
        self.optimiser.load(_under(tensors, "optimiser"))
        self.step, self.log = record["step"], record["log"]
        return True


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}


def _attention(device: torch.device) -> list[SDPBackend]:
    """The plain products are the fastest to train with on a processor."""
    return [SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
