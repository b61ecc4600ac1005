"""Write the card and the licence of every folder in ``checkpoints/`` from its config.json.

python eval/checkpoint_cards.py
"""

from __future__ import annotations

import json
from pathlib import Path

from synthderm.provenance import licence_text

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"

DATA = {
    "ham10000": "HAM10000, training split (CC BY-NC 4.0). Tschandl et al. 2018, Sci Data 5:180161; Codella et al. "
    "2019, arXiv:1902.03368. Masks: Tschandl et al. 2020, Nat Med 26:1229.",
    "isic2017": "ISIC 2017 challenge, training split (CC0). Codella et al. 2018, arXiv:1710.05006.",
    "padufes20": "PAD-UFES-20, training split (CC BY 4.0). Pacheco et al. 2020, Mendeley Data zr7vgbcyr2.1.",
}
PURPOSE = {
    "classifier": (
        "A compact residual network. Its pooled features are the extractor `{name}` of `synthderm evaluate`; its head "
        "names one of seven diagnoses and judges whether a synthetic image shows what was asked for."
    ),
    "segmenter": "A compact U-Net that outlines the lesion. It judges the masks of synthetic images.",
}
LIMITS = (
    "Not a diagnostic tool, and not for any clinical decision. The real training images show light and intermediate "
    "skin almost only: figures on dark skin are not known and are likely to be worse. Features and classes carry the "
    "artefacts of these sets (rulers, ink, colour casts)."
)


def card(config: dict) -> str:
    """The card of one checkpoint."""
    name, kind = config["name"], config["kind"]
    seen = [f"- {DATA[dataset]}" for dataset in config["data"]]
    if config["n_simulated"]:
        seen.append(f"- {config['n_simulated']} images of this library's simulator (CC0-1.0).")
    not_seen = [dataset for dataset in DATA if dataset not in config["data"]]
    lines = [
        "---",
        f"license: {config['licence'].lower()}",
        "library_name: synthderm",
        "tags: [dermatology, evaluation]",
        "---",
        f"# {name}",
        "",
        PURPOSE[kind].format(name=name),
        "",
        f"{config['parameters']:,} parameters, float16 safetensors, input {config['input_size']} px. "
        f"Classes: {', '.join(config['classes'])}. Weights: {config['licence']} (`LICENSE.txt`).",
        "",
        f"SHA-256 of the weights: `{config['weights_sha256']}`",
        "",
        "## Trained on",
        "",
        f"{config['n_real']:,} real images, from random weights, nothing else:",
        "",
        *seen,
        "",
        f"Never seen: the validation splits (other lesions, other patients){_and(not_seen)}.",
        "",
        f"    python eval/train_checkpoints.py {name} --real REAL",
        "",
        "Configuration: " + ", ".join(f"{k} {v}" for k, v in config["config"].items()) + f"; seed {config['seed']}.",
        "",
        "## Measured on the validation splits",
        "",
        *figures(config["figures"]),
        "",
        "## Limits",
        "",
        LIMITS,
    ]
    return "\n".join(lines) + "\n"


def _and(names: list[str]) -> str:
    return f" and all of {', '.join(names)}" if names else ""


def figures(found: dict[str, dict]) -> list[str]:
    """A table with a row for each data set; figures of a class stay in config.json."""
    columns = [key for key, value in next(iter(found.values())).items() if not isinstance(value, dict)]
    head = ["set", *(column.replace("_", " ") for column in columns)]
    rows = [[name, *(str(values[column]) for column in columns)] for name, values in found.items()]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def main() -> None:
    for file in sorted(CHECKPOINTS.glob("*/config.json")):
        config = json.loads(file.read_text())
        (file.parent / "README.md").write_text(card(config))
        (file.parent / "LICENSE.txt").write_text(licence_text(config["licence"]))
        print(f"wrote the card of {config['name']}")


if __name__ == "__main__":
    main()
