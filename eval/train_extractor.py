"""A feature space that has seen real images only: a small residual network trained for the seven diagnoses.

    python eval/train_extractor.py --real train_128.zip --weights extractor.safetensors

Trained from scratch on the training split (HAM10000, ISIC 2017, PAD-UFES-20; lesions and patients of the
validation split are never in it) at 128 px, one thread, no synthetic image anywhere. Its features are the
yardstick of ``eval/realism.py``; it is no product and no diagnostic tool.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import write_result
from real_pack import CLASSES, RealPack, Row, add_real_argument
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import nn

FEATURES = 128


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Extractor(nn.Module):
    """(N, 3, 128, 128) uint8 to (N, 128) features; :meth:`logits` gives the seven classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        widths = (24, 48, 96, FEATURES)
        self.blocks = nn.Sequential(*(Block(a, b, 2) for a, b in pairwise(widths)))
        self.mix = Block(FEATURES, FEATURES, 1)
        self.head = nn.Linear(FEATURES, len(CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of uint8 images, or of images that are normalised already."""
        x = (images.float() / 255 - 0.6) / 0.2 if images.dtype == torch.uint8 else images
        x = x.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        return self.mix(self.blocks(self.stem(x))).mean((2, 3))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 7) class scores."""
        return self.head(self(images))


def load_extractor(path: str | Path) -> tuple[Extractor, str]:
    """The trained network in eval mode, and the first 16 digits of its weights' SHA-256."""
    network = Extractor()
    network.load_state_dict(load_file(str(path)))
    return network.eval(), hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


@torch.no_grad()
def extract(network: Extractor, images: torch.Tensor, batch: int = 64) -> np.ndarray:
    """(N, 3, 128, 128) uint8 to (N, 128) float64 features; the result does not depend on ``batch``."""
    return torch.cat([network(part) for part in images.split(batch)]).double().numpy()


def load_images(pack: RealPack, rows: list[Row]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(pack.image(row)) for row in rows])


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotation, flip, zoom, shift, brightness, contrast, saturation and colour cast, drawn per image.

    (N, 3, H, W) uint8 to normalised float of 112 px.
    """
    n = len(images)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, zoom = uniform(-math.pi, math.pi), torch.exp(uniform(-0.45, 0.05))
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = torch.stack([cosine * flip, -sine, uniform(-0.12, 0.12), sine * flip, cosine, uniform(-0.12, 0.12)])
    grid = F.affine_grid(rows.T.reshape(n, 2, 3), (n, 3, 112, 112), align_corners=False)
    x = F.grid_sample(images.float() / 255, grid, padding_mode="reflection", align_corners=False)
    gain = torch.exp(torch.randn(n, 3, generator=generator) * 0.05 + torch.randn(n, 1, generator=generator) * 0.08)
    x = x * gain[..., None, None]
    grey, middle = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
    x = grey + (x - grey) * uniform(0.75, 1.3)[:, None, None, None]
    x = middle + (x - middle) * uniform(0.75, 1.3)[:, None, None, None]
    return (x.clamp(0, 1) - 0.6) / 0.2


def train(images: torch.Tensor, labels: torch.Tensor, steps: int, seed: int, batch: int = 64) -> Extractor:
    """AdamW, one cycle, classes drawn by the square root of their frequency; gives the running average."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Extractor().train().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    count = torch.bincount(labels, minlength=len(CLASSES)).double()
    weight = (1 / count.sqrt())[labels]
    start = time.monotonic()
    for step in range(steps):
        chosen = torch.multinomial(weight, batch, replacement=True, generator=generator)
        loss = F.cross_entropy(network.logits(augment(images[chosen], generator)), labels[chosen], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        if step % 200 == 0:
            print(f"step {step} loss {loss.item():.3f} {time.monotonic() - start:.0f} s", flush=True)
    return average.module.eval()


@torch.no_grad()
def score(network: Extractor, images: torch.Tensor, rows: list[Row]) -> dict[str, object]:
    """Balanced accuracy, macro AUROC and recall per class, per data set."""
    preds = torch.cat([network.logits(part).softmax(1) for part in images.split(64)]).double().numpy()
    target = np.array([CLASSES.index(r.diagnosis) for r in rows])
    dataset = np.array([r.dataset for r in rows])
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--weights", default="extractor.safetensors", help="where the weights go")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pack = RealPack(args.real)
    rows = pack.select(split="train")
    labels = torch.tensor([CLASSES.index(r.diagnosis) for r in rows])
    start = time.monotonic()
    network = train(load_images(pack, rows), labels, args.steps, args.seed)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, args.weights)
    held_out = pack.select(split="val")
    figures = score(network, load_images(pack, held_out), held_out)
    digest = load_extractor(args.weights)[1]
    write_result(
        "extractor", figures, data=pack.digest, weights_sha256=digest, n_train=len(rows), steps=args.steps,
        batch=64, seed=args.seed, parameters=sum(p.numel() for p in network.parameters()),
        minutes=round((time.monotonic() - start) / 60, 1), threads=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
