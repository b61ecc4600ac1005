"""The training loop: steps, validations, early stop, saved states, interruptions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synthderm.core import InputError

from .draws import draw_seed, generator
from .interruption import Interruption
from .journal import Journal
from .memory import memory_hint, peak_memory
from .optimisation import learning_rate
from .session import Session
from .state import RunState, Weights
from .validation import Validation

Report = Callable[[str, int, int], None]
"""Called with (what is done, how much is done, how much there is)."""


class Diverged(InputError):
    """The loss or the gradient is no number any more.

    Attributes:
        step: at which.
        weights: of the adapter, the last for which the loss was a number; None if it never was.
        good_step: after which they were reached.
    """

    def __init__(self, step: int, what: str, value: float) -> None:
        super().__init__(f"the {what} is {value} at step {step}")
        self.step, self.what = step, what
        self.weights: Weights | None = None
        self.good_step = 0


class Interrupted(KeyboardInterrupt):
    """A signal has stopped the run after its state was saved; its text says how to continue."""


@dataclass
class Loop:
    """Takes a session from its state to the last step.

    Attributes:
        session: the run.
        state: where it is; saved into ``folder``.
        validation: None: none.
        journal: of all figures.
        folder: of the run.
        report: told how far it is.
    """

    session: Session
    state: RunState
    validation: Validation | None
    journal: Journal
    folder: Path
    report: Report

    def run(self) -> None:
        """Train until the last step or until patience runs out.

        Raises:
            Diverged: the loss is no number.
            Interrupted: a signal came; the state is saved.
            InputError: out of memory.
        """
        config, state = self.session.config, self.state
        device = self.session.accelerator.device
        with Interruption() as interruption, torch.random.fork_rng([device] if device.type == "cuda" else []):
            self.session.target.model.train()
            state.stopped_early = self._is_out_of_patience()
            if self.validation is not None and not state.first:
                self._validate()
            good: Weights | None = None
            while state.step < config.steps and not state.stopped_early:
                started = time.perf_counter()
                now = {name: value.clone() for name, value in self.session.kept().items()}
                try:
                    with memory_hint(config, "training"):
                        figures = self._step()
                except Diverged as error:
                    is_good = error.what == "gradient"
                    error.weights = now if is_good else good
                    error.good_step = state.step if is_good else max(0, state.step - 1)
                    raise
                good = now
                state.step += 1
                state.seconds += time.perf_counter() - started
                self.journal.add(step=state.step, **figures, seconds=round(state.seconds, 3))
                self.report("training", state.step, config.steps)
                if self._is_validated():
                    self._validate()
                stop = self._agreed(interruption.asked)
                if self._is_saved() or stop:
                    self._save()
                if stop:
                    raise Interrupted(f"stopped after step {state.step}, and all is saved in {self.folder}")

    def _is_validated(self) -> bool:
        config, step = self.session.config, self.state.step
        return self.validation is not None and (step % config.validate_every == 0 or step == config.steps)

    def _is_out_of_patience(self) -> bool:
        patience = self.session.config.patience
        return bool(patience) and self.state.best.waited >= patience

    def _is_saved(self) -> bool:
        config, step = self.session.config, self.state.step
        return self._is_validated() or step % config.save_every == 0 or step == config.steps

    def _step(self) -> dict[str, Any]:
        """One update of the weights; the loss is checked before it."""
        session, config, accelerator = self.session, self.session.config, self.session.accelerator
        rate = learning_rate(config, self.state.step)
        for group in session.optimiser.param_groups:
            group["lr"] = rate
        loss = torch.zeros((), device=accelerator.device)
        for part in range(config.gradient_accumulation):
            with accelerator.accumulate(session.model):
                value = self._forward(part)
                accelerator.backward(value)
            loss += value.detach() / config.gradient_accumulation
        loss = float(accelerator.reduce(loss, "mean"))
        norm = accelerator.clip_grad_norm_(session.adapter.parameters(), config.max_grad_norm or math.inf)
        if not math.isfinite(loss):
            raise Diverged(self.state.step + 1, "loss", loss)
        if accelerator.scaler is None and not math.isfinite(norm):  # with a scaler the update is left out
            raise Diverged(self.state.step + 1, "gradient", float(norm))
        session.optimiser.step()
        session.optimiser.zero_grad()
        if config.ema:
            session.average.update(session.adapter.weights())
        return {"loss": loss, "learning_rate": rate, "grad_norm": _number(float(norm))}

    def _forward(self, part: int) -> torch.Tensor:
        """Loss of one batch of this process; all chance follows from its running number."""
        session, config, accelerator = self.session, self.session.config, self.session.accelerator
        number = self.state.step * config.gradient_accumulation + part
        number = number * accelerator.num_processes + accelerator.process_index
        batch = session.draws.batch(number)
        indices = [session.train[i] for i in batch.indices]
        latents, conditions = session.batch(indices, batch.variants, batch.dropped)
        torch.manual_seed(draw_seed(config.seed, "dropout", number))
        with accelerator.autocast():
            return session.target.loss(
                session.model, latents, conditions, generator(config.seed, "noise", number)
            ).mean()

    def _validate(self) -> None:
        """Validate, keep the best, and see whether patience has run out."""
        session, state = self.session, self.state
        with memory_hint(session.config, "validating"):
            figures = self.validation(state.step, lambda done, total: self.report("validating", done, total))
        if not math.isfinite(figures["held_out_loss"]):
            raise Diverged(state.step, "held-out loss", figures["held_out_loss"])
        is_best = False
        if state.first:  # the base itself is no candidate: an adapter that does nothing helps nobody
            is_best = state.best.offer(figures["held_out_loss"], state.step, session.kept(), figures)
        state.first = state.first or figures
        state.stopped_early = self._is_out_of_patience()
        memory = peak_memory(session.accelerator.device)
        self.journal.add(step=state.step, **figures, best=is_best, peak_memory_gb=memory)

    def _agreed(self, asked: bool) -> bool:
        """Whether any of the processes has been asked to stop."""
        accelerator = self.session.accelerator
        if accelerator.num_processes == 1:
            return asked
        return bool(accelerator.reduce(torch.tensor(float(asked), device=accelerator.device)) > 0)

    def _save(self) -> None:
        self.session.into(self.state)
        if self.session.accelerator.is_main_process:
            self.state.save(self.folder)
        self.session.accelerator.wait_for_everyone()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
