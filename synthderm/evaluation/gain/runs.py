"""One run: train the arm's network, predict the test images; and where finished runs are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthderm import training
from synthderm.core import InputError
from synthderm.data.files import open_atomic, write_atomic
from synthderm.functional.scores import dice

from .arms import HEAVY
from .config import GainConfig
from .material import Material
from .plan import Run

Steps = Callable[[int, int], None]

_IDENTITY = "experiment.json"


@dataclass(frozen=True)
class Finished:
    """A run that ended.

    Attributes:
        preds: float32; (T, C) probabilities of the test images, or their (T,) Dice coefficients.
        record: JSON values: the run's name, arm, seed, counts, seconds and validation score.
    """

    preds: np.ndarray
    record: dict[str, Any]


def execute(run: Run, config: GainConfig, material: Material, steps: Steps | None = None) -> Finished:
    """Train and predict. The test images are looked at once, after training has ended."""
    start = time.monotonic()
    train = _segment if config.task == "segmentation" else _classify
    preds, validation = train(run, config, material, steps)
    record = {
        "name": run.name,
        "n_real": run.n_real,
        "arm": run.arm.name,
        "ratio": run.arm.ratio,
        "seed": run.seed,
        "n_train": run.n_train,
        "n_validation": len(run.validation),
        "n_pool": len(run.pool),
        "steps": config.steps,
        "validation": validation,
        "seconds": round(time.monotonic() - start, 2),
        "images": run.digest,
    }
    return Finished(preds, record)


def _recipe(run: Run, config: GainConfig) -> dict[str, Any]:
    """What the training routines are told; the same for every arm but for the heavy augmentation."""
    rate = {} if config.learning_rate is None else {"learning_rate": config.learning_rate}
    augmentation = "heavy" if run.arm.kind == HEAVY else "classic"
    same = {name: getattr(config, name) for name in ("steps", "batch_size", "size", "precision")}
    return {**same, **rate, "augmentation": augmentation}


def _classify(run: Run, config: GainConfig, material: Material, steps: Steps | None) -> tuple[np.ndarray, float | None]:
    torch.manual_seed(run.training_seed)
    network = training.make_classifier(config.classifier, int(material.labels.max()) + 1)
    held = torch.from_numpy(run.validation)
    usable = len(torch.unique(material.labels[held])) > 1
    network = training.train_classifier(
        network,
        material.images,
        material.labels,
        training.ClassifierConfig(**_recipe(run, config)),
        run.training_seed,
        pool=torch.from_numpy(run.pool),
        validation=(material.images[held], material.labels[held]) if usable else None,
        progress=steps,
    )
    score = network.validation_auroc
    preds = training.predict(network, material.test_images).numpy().astype(np.float32)
    return preds, None if score is None else float(score)


def _segment(run: Run, config: GainConfig, material: Material, steps: Steps | None) -> tuple[np.ndarray, float | None]:
    torch.manual_seed(run.training_seed)
    network = training.make_segmenter(config.classifier)
    network = training.train_segmenter(
        network,
        material.images,
        material.masks,
        training.SegmenterConfig(**_recipe(run, config)),
        run.training_seed,
        pool=torch.from_numpy(run.pool),
        progress=steps,
    )

    def score(images: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
        return dice(training.predict_masks(network, images, config.size).numpy(), masks.numpy())

    held = torch.from_numpy(run.validation)
    validation = float(score(material.images[held], material.masks[held]).mean()) if len(held) else None
    return score(material.test_images, material.test_masks).astype(np.float32), validation


class RunFolder:
    """``DIR/runs``: the predictions and the record of every finished run.

    Args:
        root: the experiment's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "runs"

    def claim(self, identity: dict[str, Any], overwrite: bool = False) -> None:
        """Make the folder that of this experiment, or find that it already is.

        Raises:
            InputError: if it holds runs of another configuration and ``overwrite`` is not given.
        """
        path = self.folder / _IDENTITY
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if found is not None and found != identity:
            if not overwrite:
                raise InputError(
                    f"expected {self.root} to be empty or to hold runs of this experiment, got others "
                    f"({_difference(found, identity)}); choose another --output, or --overwrite to remove them"
                )
            self._clear()
        write_atomic(path, (json.dumps(identity, indent=1, sort_keys=True) + "\n").encode(), root=self.root)

    def take_over(self, other: Path, identity: dict[str, Any], runs: Sequence[Run]) -> int:
        """Copy finished runs that draw no synthetic image from the folder of another experiment on the same real sets.

        Args:
            other: that experiment's folder.
            identity: of this experiment.
            runs: of this experiment.

        Returns:
            How many were copied; those that are here already are left as they are.

        Raises:
            InputError: if ``other`` holds no experiment, or one of other options or other real sets.
        """
        source = RunFolder(other)
        path = source.folder / _IDENTITY
        if not path.is_file():
            raise InputError(f"expected the output of an earlier gain in {other}, but there is no {path}")
        found, wanted = (_without_synthetic(each) for each in (json.loads(path.read_text(encoding="utf-8")), identity))
        if found != wanted:
            raise InputError(
                f"the runs in {other} are of another experiment ({_difference(found, wanted)}); leave --reuse out"
            )
        taken = 0
        for run in runs:
            if not run.arm.uses_synthetic and self.load(run) is None and (finished := source.load(run)) is not None:
                self.save(run, finished)
                taken += 1
        return taken

    def keep_test(
        self, labels: np.ndarray, groups: Sequence[str], fst: Sequence[int | None], classes: Sequence[str]
    ) -> None:
        """Write ``test.npz`` beside the predictions: labels, class names, groups and skin types (0: unknown)."""
        with open_atomic(self.folder / "test.npz", root=self.root) as file:
            np.savez_compressed(
                file,
                labels=labels,
                groups=np.array(groups),
                fst=np.array([t or 0 for t in fst]),
                classes=np.array(classes),
            )

    def _clear(self) -> None:
        for path in (*self.folder.glob("n*_seed*.json"), *self.folder.glob("n*_seed*.npz"), self.root / "gain.json"):
            path.unlink(missing_ok=True)

    def save(self, run: Run, finished: Finished) -> None:
        """Keep a run: the predictions first, so that a record is never without them."""
        with open_atomic(self.folder / f"{run.name}.npz", root=self.root) as file:
            np.savez_compressed(file, preds=finished.preds)
        text = json.dumps(finished.record, indent=1) + "\n"
        write_atomic(self.folder / f"{run.name}.json", text.encode(), root=self.root)

    def load(self, run: Run) -> Finished | None:
        """The run if it is finished and was made from the same images; None if it has to be done."""
        path = self.folder / f"{run.name}.json"
        if not (path.is_file() and path.with_suffix(".npz").is_file()):
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["images"] != run.digest:
            return None
        with np.load(path.with_suffix(".npz")) as file:
            return Finished(file["preds"], record)


def _without_synthetic(identity: dict[str, Any]) -> dict[str, Any]:
    sets = {name: digest for name, digest in identity["sets"].items() if name != "synthetic"}
    return {**identity, "sets": sets}


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    flat = [{**each.pop("options", {}), **each} for each in (dict(found), dict(wanted))]
    keys = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    told = [f"{key}: {flat[0].get(key)!s:.60} there, {flat[1].get(key)!s:.60} asked for" for key in keys[:3]]
    return "; ".join(told) + (f"; and {len(keys) - 3} more" if len(keys) > 3 else "")
