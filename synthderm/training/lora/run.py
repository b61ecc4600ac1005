"""Training an adapter from a folder of images to a file that pipelines load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthderm.core import InputError
from synthderm.data import write_atomic
from synthderm.provenance import environment

from .adapter import add_adapter, with_start
from .cache import TensorCache, cache_key
from .config import LoraConfig
from .encoding import Encoded, encode_conditions, encode_images
from .examples import CAPTIONS, Example, make_examples, write_captions
from .images import TrainingImages, open_images
from .journal import Journal
from .loop import Diverged, Loop, Report
from .memory import memory_hint
from .result import LoraResult, finish
from .session import Session, make_accelerator, make_session
from .state import CONFIG, RunState, find_state
from .targets import Target, open_target
from .targets.find import fill
from .validation import Validation

CACHE, SAMPLES = "cache", "samples"

Say = Callable[[str], None]
"""Called with one line that a user must know."""


def train_lora(config: LoraConfig, report: Report | None = None, say: Say | None = None) -> LoraResult:
    """Train an adapter.

    The output folder gets the adapter (``pytorch_lora_weights.safetensors``, ``adapter.json``, ``README.md``),
    ``config.json``, ``captions.jsonl``, ``metrics.jsonl``, sheets of samples, the state and the cache. A run that was
    stopped goes on from its last state, and ends with the very weights of a run that was not.

    Args:
        config: everything that can be chosen.
        report: told how far it is.
        say: told, in one line, what a user must know.

    Returns:
        The figures, and where all is.

    Raises:
        InputError: a base, data set, captions, option or output folder that cannot be used; out of memory; a loss that
            is no number (the last good adapter is kept).
        MissingExtraError: an optional package is missing.
        Interrupted: a signal came; the same call goes on.
    """
    report, say = report or _silent, say or _silent
    folder = Path(config.output)
    config, kind = fill(config)
    config = with_start(config)
    accelerator = make_accelerator(config)
    if not accelerator.is_main_process:
        report, say = _silent, _silent
    state = find_state(folder, config, accelerator.num_processes)
    images, examples = _open_data(config, report, say)
    with memory_hint(config, "loading the base"):
        target = open_target(config, kind)
    target.device = accelerator.device
    encoded = Encoded(target, examples, TensorCache(folder / CACHE))
    state.content = _check_content(state, encoded, folder)
    if accelerator.is_main_process:
        _write_inputs(folder, config, examples)
    with memory_hint(config, "encoding images and captions"):
        _encode(target, encoded, images, accelerator, report)
    with memory_hint(config, "placing the base"):
        target.place(accelerator.device)
        session = make_session(config, accelerator, target, encoded, add_adapter(target, config))
    if state.step >= config.steps:
        say(f"all {config.steps} steps are done; give more --steps to go on")
    elif state.step:
        say(f"continuing after step {state.step} of {config.steps}")
    session.restore(state)
    return _train(session, state, images, folder, report, say)


def _silent(*told: object) -> None:
    pass


def _open_data(config: LoraConfig, report: Report, say: Say) -> tuple[TrainingImages, list[Example]]:
    images = open_images(
        config.data,
        hold_out=config.hold_out if config.validate_every else 0.0,
        seed=config.seed,
        modality=config.modality,
        progress=lambda done, total: report("reading images", done, total),
    )
    examples, notes = make_examples(
        images,
        config.captions,
        tones=config.tones,
        seed=config.seed,
        progress=lambda done, total: report("measuring images", done, total),
    )
    for note in (*images.notes, *notes):
        say(note)
    return images, examples


def _check_content(state: RunState, encoded: Encoded, folder: Path) -> str:
    """A hash of the examples and the base; that of the state, if it goes on from one.

    Raises:
        InputError: if they are not those of the state.
    """
    found = cache_key(*encoded.keys())
    if state.step and state.content != found:
        raise InputError(
            f"the images, captions or the base have changed since the run in {folder} stopped; "
            "bring them back to continue it, or choose another output folder"
        )
    return found


def _write_inputs(folder: Path, config: LoraConfig, examples: list[Example]) -> None:
    record = {"digest": config.digest(), "lora": config.record(), "environment": environment()}
    write_atomic(folder / CONFIG, (json.dumps(record, indent=1) + "\n").encode())
    write_captions(folder / CAPTIONS, examples)


def _encode(target: Target, encoded: Encoded, images: TrainingImages, accelerator: Any, report: Report) -> None:
    """What is missing in the cache; each process a share. Text encoders are dropped in between."""
    mine = slice(accelerator.process_index, None, accelerator.num_processes)
    conditions, pictures = encoded.missing_conditions()[mine], encoded.missing_images()[mine]
    accelerator.wait_for_everyone()
    encode_conditions(target, encoded, conditions, lambda done, total: report("encoding captions", done, total))
    target.release_encoders()
    encode_images(target, encoded, images, pictures, lambda done, total: report("encoding images", done, total))
    accelerator.wait_for_everyone()


def _train(
    session: Session, state: RunState, images: TrainingImages, folder: Path, report: Report, say: Say
) -> LoraResult:
    """Run the loop and leave the best adapter behind; after a divergence, too."""
    validation = Validation(session, images, folder / SAMPLES) if session.held_out else None
    journal = Journal(folder, state.step, writes=session.accelerator.is_main_process)
    loop = Loop(session, state, validation, journal, folder, report)
    try:
        loop.run()
    except Diverged as error:
        raise _after_divergence(error, session, state, images, folder) from error
    if state.stopped_early:
        say(f"stopped early after step {state.step}: no lower held-out loss in {session.config.patience} validations")
    if state.first and state.best.loss >= state.first["held_out_loss"]:
        say("the held-out loss never fell below that of the base: the adapter has learnt nothing that generalises")
    return finish(session, state, state.best.weights or session.kept(), images, folder)


def _after_divergence(
    error: Diverged, session: Session, state: RunState, images: TrainingImages, folder: Path
) -> InputError:
    """Keep the best or the last good adapter, if there is one; what to tell the user."""
    advice = "begin again in another folder with a lower --lr" + (
        " or without --mixed-precision fp16" if session.config.mixed_precision == "fp16" else ""
    )
    weights = state.best.weights or error.weights
    if weights is None:
        return InputError(f"{error}, and no adapter was good before; {advice}")
    finish(session, state, weights, images, folder, diverged=str(error))
    step = state.best.step if state.best.weights else error.good_step
    return InputError(f"{error}; the adapter of step {step} is kept in {folder}; {advice}")
