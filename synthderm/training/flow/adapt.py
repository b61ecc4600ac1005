"""LoRA adapters of the flow for the look of real data sets, on all skin tones."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthderm.core import InputError
from synthderm.core.tone import TONE_BANDS, ita_to_fst
from synthderm.functional.color import ita_deg
from synthderm.functional.tone_shift import apply_gains, tone_gains, turn_to_ita
from synthderm.models.adapters import save_adapter
from synthderm.models.copy_index import COPIES, CopyIndex
from synthderm.models.flow import CLASSES, STYLES, ConditionEncoder, SkinFlowPipeline
from synthderm.models.flow.conditions import style_of
from synthderm.models.flow.load import load_flow

from ..lora.images import TrainingImages, open_images
from ..lora.licence import strictest
from ..lora.looks import Masker
from .adapter import add_adapter
from .images import FlowImages, describe
from .recipe import claim
from .trainer import FlowTrainer, FlowTraining

NEAR = 40
"""Simulated skin colours of about the wanted ITA among which the new colour is drawn."""

TONE_SHARES = (1.0, 1.0, 1.0, 1.3, 1.6, 1.6)
"""How often each skin type is aimed at; the types that real sets lack more often."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class AdapterRecipe:
    """What an adapter is made of.

    Attributes:
        datasets: names of the sets of the data that are used; () is all.
        licences: SPDX names that images may have; () is all.
        modality: of the images that it is for.
        rank: of the updates.
        tones: tone-shifted versions of each image beside the image itself.
        data_seed: of the tones.
        attribution: lines that must travel with the images.
        training: the loop.
    """

    datasets: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    modality: str = "dermoscopy"
    rank: int = 32
    tones: int = 2
    data_seed: int = 5
    attribution: tuple[str, ...] = ()
    training: FlowTraining = field(
        default_factory=lambda: FlowTraining(
            steps=1000, learning_rate=1e-3, warm_up=30, cool_down=0.4, ema=0.15, muon=False, balance=0.5
        )
    )


def train_adapter(
    recipe: AdapterRecipe,
    data: str | Path,
    base: str | Path | None,
    output: Path,
    *,
    device: str = "cpu",
    compile: bool = False,
    seconds: float = float("inf"),
    report: Report = print,
) -> Path | None:
    """Tune a flow to real images, or go on where an earlier call stopped.

    Every image is used as it is and on other tones (:mod:`synthderm.functional.tone_shift`), with the skin colour that
    is measured on it as its condition: real sets hold next to no dark skin. Images of the set's validation split,
    or a tenth of its lesions, are left out; the threshold of the copy index is set on them.

    Args:
        recipe: what.
        data: folder or zip of any layout that the readers know.
        base: folder of a flow; the shipped one by default.
        output: gets ``state/`` and the adapter's files.
        device: where.
        compile: compile the network first.
        seconds: stop after so long, with everything saved.
        report: told what is going on.

    Returns:
        The adapter's folder; None if time was up.

    Raises:
        InputError: if no image fits the recipe, or the base cannot be loaded.
        SynthdermError: if the loss is no longer a number.
    """
    start = time.monotonic()
    flow = load_flow(base, None, device="cpu")
    claim(output, {"recipe": asdict(recipe), "base_sha256": flow.base_sha256})
    everything, hold_out, facts = _prepared(recipe, data, flow.pipeline, output / "images", report)
    report(f"{facts['images']} images, {len(everything)} with their other tones")
    network = flow.pipeline.velocity
    add_adapter(network, recipe.rank)
    torch.manual_seed(recipe.training.seed)
    trainer = FlowTrainer(network, flow.pipeline.front_end, recipe.training, device, compile)
    everything = everything.to(device)
    if trainer.resume(output / "state"):
        report(f"goes on after step {trainer.step}")
    left = seconds - (time.monotonic() - start)
    if not trainer.train(lambda step: everything, output / "state", seconds=left, report=lambda row: report(str(row))):
        return None
    average = trainer.average.to("cpu")
    flow.pipeline.register_modules(transformer=average.transformer.to(torch.float16))
    save_adapter(
        flow.pipeline,
        output,
        base=Path(flow.base).name,
        base_fingerprint=flow.base_sha256,
        classes=[code for code in CLASSES if facts["class_counts"].get(code)],
        tones=sorted({fst for fst in _types(everything.to("cpu")) if fst}),
        modality=recipe.modality,
        resolution=flow.pipeline.front_end.config.size,
        attribution=recipe.attribution,
        recipe=json.loads(json.dumps(asdict(recipe))),
        images_with_tones=len(everything),
        **facts,
    )
    everything = everything.to("cpu")
    _index_copies(everything.select(torch.arange(facts["images"])), hold_out, output / COPIES, report)
    return output


def _index_copies(real: FlowImages, hold_out: FlowImages, path: Path, report: Report) -> None:
    """Write the index of the real images; its false-alarm rate is 1 %, or the least that the hold-out allows."""
    if not len(hold_out):
        report("no image is held out: the adapter brings no index of copies, and generate cannot reject them")
        return
    batches = ([x.images[i : i + 256] for i in range(0, len(x), 256)] for x in (real, hold_out))
    CopyIndex.fit(*batches, CopyIndex.attainable_rate(len(hold_out))).save(path)


def _prepared(
    recipe: AdapterRecipe, data: str | Path, flow: SkinFlowPipeline, folder: Path, report: Report
) -> tuple[FlowImages, FlowImages, dict[str, Any]]:
    """Training images with their other tones, hold-out images, and what is known of them; made once and kept."""
    wanted = {name: value for name, value in asdict(recipe).items() if name not in ("training", "rank", "attribution")}
    encoder, size = flow.condition_encoder, flow.front_end.config.size
    colours = hashlib.sha256(encoder.colours.numpy().tobytes()).hexdigest()
    key = json.loads(json.dumps({**wanted, "data": str(data), "size": size, "colours": colours}))
    record = folder / "images.json"
    if record.is_file() and json.loads(record.read_text(encoding="utf-8"))["key"] == key:
        facts = json.loads(record.read_text(encoding="utf-8"))["facts"]
        return FlowImages.load(folder / "train.safetensors"), FlowImages.load(folder / "hold_out.safetensors"), facts
    real, hold_out, facts = _real_images(recipe, data, size, report)
    report(f"{len(real)} images are read; their other tones follow")
    everything = FlowImages.cat([real] + [shift_tones(real, encoder, recipe.data_seed, k) for k in range(recipe.tones)])
    folder.mkdir(parents=True, exist_ok=True)
    everything.save(folder / "train.safetensors")
    hold_out.save(folder / "hold_out.safetensors")
    record.write_text(json.dumps({"key": key, "facts": facts}, indent=1) + "\n", encoding="utf-8")
    return everything, hold_out, facts


def _real_images(
    recipe: AdapterRecipe, data: str | Path, size: int, report: Report
) -> tuple[FlowImages, FlowImages, dict[str, Any]]:
    found = open_images(data, hold_out=0.1, seed=recipe.data_seed)
    for note in found.notes:
        report(note)
    train = _wanted(found, recipe, held_out=False)
    if len(train) < 2:
        raise InputError(
            f"{data} holds {len(train)} images for this recipe (sets {recipe.datasets or 'all'}, licences "
            f"{recipe.licences or 'all'}); expected at least 2"
        )
    facts = {
        "images": len(train),
        "licence": strictest(record.licence for record in train),
        "class_counts": dict(Counter(record.diagnosis for record in train)),
        "datasets": dict(Counter(record.dataset for record in train)),
        "licences": dict(Counter(record.licence for record in train)),
    }
    facts["styles"] = [name for name, _ in Counter(_styles(train, recipe)).most_common()]
    held_out = _wanted(found, recipe, held_out=True)
    return (*(_read(found, records, recipe, size) for records in (train, held_out)), facts)


def _wanted(found: TrainingImages, recipe: AdapterRecipe, held_out: bool) -> list[Any]:
    records = found.held_out if held_out else found.train
    return [
        record
        for record in records
        if record.dataset in (recipe.datasets or (record.dataset,))
        and strictest([record.licence]) in (recipe.licences or (strictest([record.licence]),))
        and (record.modality or recipe.modality) == recipe.modality
    ]


def _styles(records: Sequence[Any], recipe: AdapterRecipe) -> list[str]:
    return [style_of(record.dataset, record.modality or recipe.modality) for record in records]


def _read(found: TrainingImages, records: Sequence[Any], recipe: AdapterRecipe, size: int) -> FlowImages:
    masker, images, masks = Masker(found), [], []
    for record in records:
        images.append(found.pixels(record, size))
        masks.append(masker(record, images[-1]))
    codes = [record.diagnosis for record in records]
    return FlowImages.measured(torch.stack(images), torch.stack(masks), codes, _styles(records, recipe))


def shift_tones(data: FlowImages, encoder: ConditionEncoder, seed: int, which: int) -> FlowImages:
    """Each image once more on another skin tone, with what is then measured of it.

    Args:
        data: images whose skin colour is known are shifted, the others left out.
        encoder: for the skin colours of each style.
        seed: of the tones.
        which: number of the version.
    """
    rng, found, rows = np.random.default_rng([seed, which]), [], []
    shares = np.array(TONE_SHARES) / sum(TONE_SHARES)
    tables = {number: encoder.skin_table(STYLES[number]) for number in data.style.unique().tolist()}
    for row in range(len(data)):
        band = TONE_BANDS[rng.choice(len(TONE_BANDS), p=shares)]
        wanted = rng.uniform(band.draw_low_deg, band.draw_high_deg)
        pick = rng.integers(NEAR)
        if data.skin_lab[row].isnan().any():
            continue
        table = tables[int(data.style[row])]
        angles = torch.rad2deg(torch.atan2(table[:, 0] - 50, table[:, 2]))
        near = (angles - wanted).abs().topk(min(NEAR, len(table)), largest=False).indices
        target = turn_to_ita(table[near[pick % len(near)]], wanted)
        found.append(apply_gains(data.images[row], tone_gains(data.skin_lab[row], target)))
        rows.append(row)
    kept = data.select(torch.tensor(rows))
    images = torch.stack(found)
    skin, measures = zip(*(describe(image, mask) for image, mask in zip(images, kept.masks, strict=True)), strict=True)
    return FlowImages(images, kept.masks, kept.diagnosis, kept.style, torch.stack(skin), torch.stack(measures))


def _types(data: FlowImages) -> list[int | None]:
    return [
        None if lab.isnan().any() or lab[2] < 3 else ita_to_fst(ita_deg(float(lab[0]), float(lab[2])))
        for lab in data.skin_lab
    ]
