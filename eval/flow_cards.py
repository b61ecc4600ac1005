"""Write the cards and licences of the flow and its adapters: python eval/flow_cards.py.

From ``checkpoints/flow/training.json``, the adapters' ``adapter.json`` and the figures of ``eval/flow.py`` in
``eval/results``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checkpoint_cards import CHECKPOINTS, DATA
from real_pack import CLASSES

from synthderm.provenance import licence_text

RESULTS = Path(__file__).resolve().parent / "results"
BASE_LICENCE = "CC0-1.0"

LIMITS = """\
Not a diagnostic tool, and not for any clinical decision: the images show what a network learnt of a few data sets, not
patients. Real sets hold next to no dark skin; what an adapter shows of types IV to VI comes from simulated images and
from real ones whose tone was shifted by the ratio of two skin colours, and nobody has checked it against real lesions
on dark skin. The images are 128 px; hair, network and vessels are softer than in photographs. The artefacts of the sets
(gel bubbles, rulers, colour casts) are learnt too.
"""

BASE_CARD = """\
---
license: {licence}
library_name: synthderm
tags: [dermatology, rectified-flow, synthetic-data]
---
# flow

A rectified flow over skin images and their lesion masks together, conditioned on diagnosis, skin colour (CIELAB, from
an ITA), look of a data set, and asymmetry, border, colour, size and darkness of the lesion.

{parameters:,} parameters ({architecture}), bfloat16 safetensors, 128 px, 64 tokens of
a lapped Karhunen-Loeve transform.
Alone it makes images that look simulated; the adapters give it the look of real sets.

## Trained on

{images:,} images of this library's simulator with their masks, turned and mirrored: no data of people, but class priors
and colour casts of the simulator are aggregate statistics of HAM10000, ISIC 2017 and PAD-UFES-20.

    {command}

{steps:,} updates of {batch_size} images; {compute}. {remarks}

## Measured

Against hold-out images of HAM10000 (`python eval/flow.py distance --real REAL`, extractor `derm`); the base is
`flow, adapter none`:

{distances}

## Limits

{limits}"""

ADAPTER_CARD = """\
---
license: {licence_tag}
base_model: synthderm/flow
library_name: synthderm
tags: [dermatology, lora, synthetic-data]
---
# flow-{name}

A LoRA adapter (rank {rank}) that gives the flow the look of {sets}. Weights, and the images made with them: {licence}.

`training_images.safetensors` holds a descriptor of each training image (of a blurred grey picture of 24 px): generated
images that are too like one are rejected.

## Trained on

{data}

{masks}

{images:,} images ({counts}), and each on {tones} other skin tones: {images_with_tones:,} in all.
Classes never seen: {unseen}.

{steps:,} updates of {batch_size} images, learning rate {learning_rate:g}, seed {seed}, on one core of a shared
processor.

## Measured

{measured}

## Limits

{limits}"""


OWN_MASKS = {"ham10000": "the published ones of HAM10000"}
DRAWN_MASKS = "drawn by `derm-segmenter`, which learnt from the masks of HAM10000 (CC BY-NC 4.0)"


def mask_line(datasets: list[str]) -> str:
    """Where the lesion masks that the adapter learnt from come from."""
    sources = [f"{name}: {OWN_MASKS.get(name, DRAWN_MASKS)}" for name in datasets]
    return f"Lesion masks: {'; '.join(sources)}."


def figure_table(name: str, keys: tuple[str, ...]) -> str:
    """The figures of a result file as a table; a line where it has not been measured."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return "Not measured yet."
    figures = json.loads(path.read_text())["figures"]
    rows = [
        (what, *(str(values.get(key, "")) for key in keys))
        for what, values in figures.items()
        if isinstance(values, dict)
    ]
    head = ("", *(key.replace("_", " ") for key in keys))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def distances() -> str:
    """The table of distances to real hold-out images."""
    return figure_table("flow_distance", ("frechet", "kid", "precision", "recall", "density", "coverage", "n"))


def measured(name: str) -> str:
    """The distances, where this adapter is among them."""
    path = RESULTS / "flow_distance.json"
    if not path.is_file() or f"flow, adapter {name}" not in json.loads(path.read_text())["figures"]:
        return "Not measured against hold-out images: judge the images with `synthderm evaluate quality` on your own."
    return "`python eval/flow.py distance --real REAL`:\n\n" + distances()


def base_card(facts: dict[str, Any]) -> str:
    """The card of the base."""
    filled = {**facts, "remarks": " ".join(facts["remarks"])}
    return BASE_CARD.format(**filled, licence=BASE_LICENCE.lower(), distances=distances(), limits=LIMITS)


def adapter_card(name: str, facts: dict[str, Any]) -> str:
    """The card of an adapter."""
    unseen = [code for code in CLASSES if code not in facts["classes"]]
    return ADAPTER_CARD.format(
        name=name,
        licence=facts["licence"],
        licence_tag=facts["licence"].lower(),
        rank=facts["rank"],
        sets=" and ".join(facts["datasets"]),
        data="\n".join(f"- {DATA[one]}" for one in facts["datasets"] if one in DATA),
        masks=mask_line(list(facts["datasets"])),
        images=facts["images"],
        images_with_tones=facts["images_with_tones"],
        counts=", ".join(f"{code} {n}" for code, n in facts["class_counts"].items()),
        tones=facts["recipe"]["tones"],
        unseen=", ".join(unseen) or "none",
        measured=measured(name),
        limits=LIMITS,
        **{key: facts["recipe"]["training"][key] for key in ("steps", "batch_size", "learning_rate", "seed")},
    )


def main() -> None:
    base = json.loads((CHECKPOINTS / "flow" / "training.json").read_text())
    (CHECKPOINTS / "flow" / "README.md").write_text(base_card(base))
    (CHECKPOINTS / "flow" / "LICENSE.txt").write_text(licence_text(BASE_LICENCE))
    for file in sorted(CHECKPOINTS.glob("flow-*/adapter.json")):
        facts, name = json.loads(file.read_text()), file.parent.name.removeprefix("flow-")
        (file.parent / "README.md").write_text(adapter_card(name, facts))
        (file.parent / "LICENSE.txt").write_text(licence_text(facts["licence"]))
        print(f"wrote the card of {file.parent.name}")


if __name__ == "__main__":
    main()
