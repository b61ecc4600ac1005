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

LIMITS = (
    "Not a diagnostic tool, and not for any clinical decision: the images show what a network learnt of a few "
    "data sets, "
    "not patients. Real sets hold next to no dark skin; what an adapter shows of types IV to VI comes from simulated "
    "images and from real ones whose tone was shifted by the ratio of two skin colours, and nobody has checked "
    "it against "
    "real lesions on dark skin. The images are 128 px; hair, network and vessels are softer than in photographs. The "
    "artefacts of the sets (gel bubbles, rulers, colour casts) are learnt too."
)


def figure_table(name: str, keys: tuple[str, ...]) -> list[str]:
    """Rows of a result file as a table; nothing where it has not been measured."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return ["Not measured yet."]
    figures = json.loads(path.read_text())["figures"]
    rows = [
        (what, *(str(values.get(key, "")) for key in keys))
        for what, values in figures.items()
        if isinstance(values, dict)
    ]
    head = ("", *(key.replace("_", " ") for key in keys))
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def distances() -> list[str]:
    """The table of distances to real hold-out images."""
    return figure_table("flow_distance", ("frechet", "kid", "precision", "recall", "density", "coverage", "n"))


def base_card(facts: dict[str, Any]) -> str:
    """The card of the base."""
    return "\n".join(
        [
            "---",
            f"license: {BASE_LICENCE.lower()}",
            "library_name: synthderm",
            "tags: [dermatology, rectified-flow, synthetic-data]",
            "---",
            "# flow",
            "",
            "A rectified flow over dermoscopic images and their lesion masks together, conditioned on "
            "diagnosis, skin colour "
            "(CIELAB, from an ITA), look of a data set, and asymmetry, border, colour, size and darkness of "
            "the lesion.",
            "",
            f"{facts['parameters']:,} parameters ({facts['architecture']}), bfloat16 safetensors, 128 px, 64 "
            "tokens of a "
            "lapped Karhunen-Loeve transform. Alone it makes images that look simulated; the adapters give it "
            "the look of "
            "real sets.",
            "",
            "## Trained on",
            "",
            f"{facts['images']:,} images of this library's simulator with their masks, turned and mirrored: no "
            "data of "
            "people, but class priors and colour casts of the simulator are aggregate statistics of HAM10000, "
            "ISIC 2017 "
            "and PAD-UFES-20.",
            "",
            f"    {facts['command']}",
            "",
            f"{facts['steps']:,} updates of {facts['batch_size']} images; {facts['compute']}.",
            *facts.get("remarks", []),
            "",
            "## Measured",
            "",
            "Against hold-out images of HAM10000 (`python eval/flow.py distance --real REAL`, extractor `derm`); "
            "the base is `flow, adapter none`:",
            "",
            *distances(),
            "",
            "## Limits",
            "",
            LIMITS,
            "",
        ]
    )


def adapter_card(name: str, facts: dict[str, Any]) -> str:
    """The card of an adapter."""
    training = facts["recipe"]["training"]
    unseen = [code for code in CLASSES if code not in facts["classes"]]
    counts = ", ".join(f"{code} {n}" for code, n in facts["class_counts"].items())
    return "\n".join(
        [
            "---",
            f"license: {facts['licence'].lower()}",
            "base_model: synthderm/flow",
            "library_name: synthderm",
            "tags: [dermatology, lora, synthetic-data]",
            "---",
            f"# flow-{name}",
            "",
            f"A LoRA adapter (rank {facts['rank']}) that gives the flow the look of "
            f"{' and '.join(facts['datasets'])}. Weights, and the images made with them: {facts['licence']}.",
            "",
            "`training_images.safetensors` holds a descriptor of each training image (of a blurred grey "
            "picture of 24 px): "
            "generated images that are too like one are rejected.",
            "",
            "## Trained on",
            "",
            *(f"- {DATA[one]}" for one in facts["datasets"] if one in DATA),
            "",
            f"{facts['images']:,} images ({counts}), and each on {facts['recipe']['tones']} other skin tones: "
            f"{facts['images_with_tones']:,} in all. Classes never seen: "
            f"{', '.join(unseen) or 'none'}.",
            "",
            f"{training['steps']:,} updates of {training['batch_size']} images, learning rate "
            f"{training['learning_rate']:g}, seed {training['seed']}; on two shared processor cores.",
            "",
            "## Measured",
            "",
            "`python eval/flow.py distance --real REAL`:",
            "",
            *distances(),
            "",
            "## Limits",
            "",
            LIMITS,
            "",
        ]
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
