"""What a run leaves behind: the adapter with its card, and the figures of the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from synthderm.core import DIAGNOSES
from synthderm.data import Record, write_atomic
from synthderm.models.adapters import CARD, save_adapter
from synthderm.models.bases import UNKNOWN_LICENCE
from synthderm.models.copy_index import COPIES, CopyIndex
from synthderm.provenance import environment

from .adapter import adapter_place
from .card import adapter_card
from .config import LoraConfig
from .images import TrainingImages
from .journal import JOURNAL, read_journal
from .licence import strictest
from .memory import peak_memory
from .session import Session
from .state import RunState, Weights
from .targets import ADAPTER


@dataclass(frozen=True)
class LoraResult:
    """Figures of a run.

    Attributes:
        folder: where the adapter is.
        family: of the base.
        steps: optimiser steps that were done.
        kept_step: after which step the adapter that was kept was found best; the last one without validations.
        stopped_early: patience ran out.
        train_images: that were trained on.
        tone_versions: of them on other skin tones, trained on beside them.
        held_out_images: that only the validation saw.
        tones: skin types 1 to 6 that were trained on, versions included.
        counts: of the training images by class, tone and licence.
        unseen: codes of classes without a training image.
        loss: mean training loss of the last tenth of the steps.
        before: figures of the validation before the first step; {} without one.
        after: those of the adapter that was kept: ``held_out_loss``, ``kid``, ``kid_train`` and so on.
        seconds: spent in training steps, over all continuations.
        peak_memory_gb: highest so far in this process.
        parameters: trained numbers.
        licence: SPDX name of the adapter's licence, the strictest of its images'.
        notes: what a user must know.
    """

    folder: Path
    family: str
    steps: int
    kept_step: int
    stopped_early: bool
    train_images: int
    tone_versions: int
    held_out_images: int
    tones: tuple[int, ...]
    counts: dict[str, dict[str, int]]
    unseen: tuple[str, ...]
    loss: float | None
    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float
    peak_memory_gb: dict[str, float]
    parameters: int
    licence: str
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """JSON values."""
        lists = {name: list(getattr(self, name)) for name in ("unseen", "tones", "notes")}
        return {**asdict(self), "folder": str(self.folder), **lists}


def finish(
    session: Session,
    state: RunState,
    weights: Weights,
    images: TrainingImages,
    folder: Path,
    diverged: str | None = None,
) -> LoraResult:
    """Put the kept weights into the live base and write the adapter with its card.

    Args:
        session: the run.
        state: where it ended.
        weights: of the adapter that is kept.
        images: that it was trained on.
        folder: of the run.
        diverged: why the run ended before its time.
    """
    session.adapter.load(weights)
    result = _result(session, state, images, folder)
    if session.accelerator.is_main_process:
        _save(session, images, result, diverged)
    session.accelerator.wait_for_everyone()
    return result


def _result(session: Session, state: RunState, images: TrainingImages, folder: Path) -> LoraResult:
    losses = [row["loss"] for row in read_journal(folder / JOURNAL) if "loss" in row]
    tail = losses[-max(1, len(losses) // 10) :]
    best, examples = state.best, session.encoded.examples
    return LoraResult(
        folder=folder,
        family=session.target.family,
        steps=state.step,
        kept_step=best.step if best.weights else state.step,
        stopped_early=state.stopped_early,
        train_images=len(images.train),
        tone_versions=len(session.train) - len(images.train),
        held_out_images=len(session.held_out),
        tones=tuple(sorted({examples[i].fst for i in session.train} - {None})),
        counts=images.counts(),
        unseen=images.unseen,
        loss=sum(tail) / len(tail) if tail else None,
        before=state.first,
        after=best.figures,
        seconds=round(state.seconds, 1),
        peak_memory_gb=peak_memory(session.accelerator.device),
        parameters=sum(p.numel() for p in session.adapter.parameters()),
        licence=_licence(session.config, images),
        notes=images.notes,
    )


def _licence(config: LoraConfig, images: TrainingImages) -> str:
    """The strictest of the images' licences and of the adapter's that the run started from."""
    origin = adapter_card_of(config)
    return strictest([*(record.licence for record in images.train), *([origin["licence"]] if origin else [])])


def _save(session: Session, images: TrainingImages, result: LoraResult, diverged: str | None) -> None:
    """The adapter, its adapter.json, and its README.md."""
    config, target = session.config, session.target
    licences = Counter((record.dataset, record.licence) for record in images.train)
    origin = adapter_card_of(config)
    attribution = list(origin.get("attribution", ()))
    attribution += [
        f"Tuned on {n} images of {dataset} (licence: {name or 'not stated'})"
        for (dataset, name), n in licences.most_common()
    ]
    base, fingerprint = target.base_facts()
    modalities = {record.modality for record in images.train} - {None}
    figures = {"before": result.before, "after": result.after, "train_loss": result.loss}
    save_adapter(
        target.pipeline,
        result.folder,
        adapter_name=ADAPTER,
        licence=result.licence,
        attribution=attribution,
        base=base,
        base_fingerprint=fingerprint,
        classes=[c for c in DIAGNOSES if c in {*result.counts["classes"], *origin.get("classes", ())}],
        tones=sorted({*result.tones, *origin.get("tones", ())}),
        tone_versions=result.tone_versions,
        modality=modalities.pop() if len(modalities) == 1 else "",
        resolution=config.resolution,
        metrics=figures,
        family=result.family,
        counts=result.counts,
        unseen=list(result.unseen),
        steps=result.steps,
        kept_step=result.kept_step,
        seconds=result.seconds,
        peak_memory_gb=result.peak_memory_gb,
        diverged=diverged,
        training=_without_folders(config),
        **target.adapter_facts(session.encoded.examples),
    )
    if images.held_out:
        _index_copies(images, config.resolution, result.folder / COPIES)
    card = adapter_card(
        result, config, base=base, licence=result.licence, attribution=attribution, network=type(target.model).__name__,
        versions=environment(), diverged=diverged,
    )  # fmt: skip
    write_atomic(result.folder / "README.md", card.encode())


def _index_copies(images: TrainingImages, size: int, file: Path) -> None:
    """Write the index of the training images; its threshold is set on the held-out ones."""

    def batches(records: Sequence[Record]) -> Iterator[torch.Tensor]:
        for start in range(0, len(records), 64):
            yield torch.stack([images.pixels(record, size) for record in records[start : start + 64]])

    rate = CopyIndex.attainable_rate(len(images.held_out))
    CopyIndex.fit(batches(images.train), batches(images.held_out), rate).save(file)


def _without_folders(config: LoraConfig) -> dict[str, Any]:
    """The configuration as it may be passed on: names of files without the folders of this machine."""
    record = config.record()
    names = {name: Path(record[name]).name for name in ("data", "captions", "start_from") if record[name] is not None}
    return {**record, **names}


def adapter_card_of(config: LoraConfig) -> dict[str, Any]:
    """``adapter.json`` of the adapter that a run started from; without one what must then be assumed; {} for none."""
    if config.start_from is None:
        return {}
    file = adapter_place(config).parent / CARD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"licence": UNKNOWN_LICENCE}
