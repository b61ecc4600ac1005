"""Train the weights in ``checkpoints/``: extractors, their classifier heads, and the segmenter.

    python eval/train_checkpoints.py derm --real REAL
    python eval/train_checkpoints.py derm-open --real REAL
    python eval/train_checkpoints.py derm-segmenter --real REAL

``derm``: the training split of HAM10000, ISIC 2017 and PAD-UFES-20 (CC BY-NC 4.0 for the first).
``derm-open``: ISIC 2017 (CC0), PAD-UFES-20 (CC BY 4.0) and as many simulated images; HAM10000 is never seen.
``derm-segmenter``: HAM10000 images with their masks.
Lesions and patients of the validation split are in none; the figures in the card are measured on it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import write_result
from real_pack import CLASSES, RealPack, Row, add_real_argument
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from synthderm.core import Condition, image_seed
from synthderm.models.checkpoints import save_checkpoint
from synthderm.models.networks import UNet
from synthderm.training import ClassifierConfig, SegmenterConfig, predict, predict_masks, train_segmenter
from synthderm.training.extractor import train_extractor

EXTRACTOR = ClassifierConfig(
    steps=6000, size=112, learning_rate=4e-3, label_smoothing=0.1, ema=0.998, precision="bf16"
)  # fmt: skip
SEGMENTER = SegmenterConfig(steps=3000, size=96, augmentation="heavy", precision="bf16")
SIMULATED_PER_LOOK = 1400


def load_images(pack: RealPack, rows: list[Row]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(pack.image(row)) for row in rows])


def labels_of(rows: list[Row]) -> torch.Tensor:
    return torch.tensor([CLASSES.index(row.diagnosis) for row in rows])


def simulated_images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every class on every skin type, dermoscopic with three camera looks and clinical; 128 px."""
    from synthderm.generators.simulated import SimulatorGenerator

    images, labels = [], []
    looks = [("dermoscopy", None), ("dermoscopy", "ham10000"), ("dermoscopy", "isic2017"), ("clinical", None)]
    generator = SimulatorGenerator(size=128)
    for k, (modality, cast) in enumerate(looks):
        parameters = {"camera.cast": cast, "camera.calibrated": False} if cast else {}
        wanted = [(CLASSES[i % 7], 1 + (i // 7) % 6) for i in range(SIMULATED_PER_LOOK)]
        conditions = [Condition(c, fst=fst, modality=modality, parameters=parameters) for c, fst in wanted]
        seeds = [image_seed(seed + k, i) for i in range(len(wanted))]
        for sample, (c, _) in zip(generator.sample(seeds, conditions), wanted, strict=True):
            images.append(sample.image)
            labels.append(CLASSES.index(c))
        print(f"simulated {len(images)}", flush=True)
    return torch.stack(images), torch.tensor(labels)


def score(network: torch.nn.Module, images: torch.Tensor, rows: list[Row]) -> dict[str, object]:
    """Balanced accuracy, macro AUROC, and AUROC and recall per class, per data set."""
    preds = predict(network, images, size=EXTRACTOR.size).numpy()
    target, dataset = labels_of(rows).numpy(), np.array([r.dataset for r in rows])
    figures: dict[str, object] = {}
    for name in ("ham10000", "isic2017", "padufes20"):
        p, t = preds[dataset == name], target[dataset == name]
        present = sorted(set(t.tolist()))
        auroc = {CLASSES[c]: round(float(roc_auc_score(t == c, p[:, c])), 4) for c in present}
        figures[name] = {
            "n": len(t),
            "balanced_accuracy": round(float(balanced_accuracy_score(t, p.argmax(1))), 4),
            "macro_auroc": round(float(np.mean(list(auroc.values()))), 4),
            "auroc": auroc,
            "recall": {CLASSES[c]: round(float((p[t == c].argmax(1) == c).mean()), 4) for c in present},
        }
    return figures


def say(start: float):
    def progress(step: int, steps: int) -> None:
        if step % 100 == 0:
            print(f"step {step} of {steps}, {time.monotonic() - start:.0f} s", flush=True)

    return progress


def extractor(name: str, pack: RealPack, seed: int) -> dict[str, object]:
    """Train and save; the figures for the card."""
    rows = [r for r in pack.select(split="train") if name == "derm" or r.dataset != "ham10000"]
    images, labels = load_images(pack, rows), labels_of(rows)
    n_simulated = 0
    if name == "derm-open":
        more, more_labels = simulated_images(seed)
        n_simulated = len(more)
        images, labels = torch.cat([images, more]), torch.cat([labels, more_labels])
    network = train_extractor(images, labels, len(CLASSES), EXTRACTOR, seed, say(time.monotonic()))
    held_out = pack.select(split="val")
    figures = score(network, load_images(pack, held_out), held_out)
    datasets = sorted({r.dataset for r in rows})
    open_licence = name == "derm-open"
    save_checkpoint(
        name, network, kind="classifier", classes=CLASSES, input_size=EXTRACTOR.size, network_options={},
        licence="CC-BY-4.0" if open_licence else "CC-BY-NC-4.0", data=datasets, n_real=len(rows),
        n_simulated=n_simulated, seed=seed, config=vars(EXTRACTOR), figures=figures,
    )  # fmt: skip
    return figures


def segmenter(pack: RealPack, seed: int) -> dict[str, object]:
    """Train on HAM10000's masks and save; Dice on the validation split."""
    rows = pack.select("ham10000", "train")
    masks = torch.stack([torch.from_numpy(pack.lesion_mask(r)) for r in rows])
    torch.manual_seed(seed)
    network = train_segmenter(UNet(), load_images(pack, rows), masks, SEGMENTER, seed, progress=say(time.monotonic()))
    held_out = pack.select("ham10000", "val")
    truth = torch.stack([torch.from_numpy(pack.lesion_mask(r)) for r in held_out])
    found = predict_masks(network, load_images(pack, held_out), SEGMENTER.size)
    both, area = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
    dice = (2 * both / area.clamp_min(1)).double()
    figures = {"ham10000": {"n": len(held_out), "mean_dice": round(float(dice.mean()), 4),
                            "median_dice": round(float(dice.median()), 4)}}  # fmt: skip
    save_checkpoint(
        "derm-segmenter", network, kind="segmenter", classes=("lesion",), input_size=SEGMENTER.size,
        network_options={}, licence="CC-BY-NC-4.0", data=["ham10000"], n_real=len(rows), n_simulated=0, seed=seed,
        config=vars(SEGMENTER), figures=figures,
    )  # fmt: skip
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("derm", "derm-open", "derm-segmenter"))
    add_real_argument(parser)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pack, start = RealPack(args.real), time.monotonic()
    figures = segmenter(pack, args.seed) if args.name == "derm-segmenter" else extractor(args.name, pack, args.seed)
    minutes = round((time.monotonic() - start) / 60, 1)
    write_result(f"checkpoint_{args.name}", figures, data=pack.digest, seed=args.seed, minutes=minutes, threads=1)


if __name__ == "__main__":
    main()
