"""The gain protocol from three sets to ``gain.json``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from synthderm.core import InputError
from synthderm.data.files import HIDDEN, clean_work, make_folder

from ..result import read_result, write_result
from .config import GainConfig
from .experiment import Experiment, Source, prepare
from .pool import MATERIAL, run_all
from .runs import Finished, RunFolder

Progress = Callable[[int, int], None]
"""Told (runs that are finished, runs in all) whenever either changes."""

Log = Callable[[str], None]
"""Told one line for each run that ends."""


def gain(
    real_train: Source,
    synthetic: Source | None,
    real_test: Source,
    output: str | Path,
    config: GainConfig | None = None,
    *,
    train_split: str | None = None,
    test_split: str | None = None,
    workers: int = 0,
    overwrite: bool = False,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train the same network under every arm, score all on the same real test images, and write ``gain.json``.

    The folder is the state: finished runs are kept in ``OUTPUT/runs``, and the same call goes on where it was
    stopped. More arms, ratios, sizes or seeds may be asked for later; all else must stay as it was.

    Args:
        real_train: folder, zip file or set of real images to train on.
        synthetic: the same of synthetic images; None only where no arm draws them.
        real_test: the same of real images to score on; no lesion or patient may be in both.
        output: folder for the result.
        config: the experiment; by default one made from ``options``.
        train_split: split of ``real_train`` that is used, where it has splits.
        test_split: split of ``real_test`` that is used.
        workers: processes that train, one thread each; 0 trains here. It changes no figure.
        overwrite: remove the runs of another experiment from the folder.
        reuse: output of an earlier gain on the same real sets, with other synthetic images: its finished runs of arms
            that draw no synthetic image are taken over.
        progress: called as runs end.
        log: called with one line for each run that ends.
        **options: fields of :class:`GainConfig`.

    Returns:
        The content of ``gain.json``; its figures are those of :func:`~synthderm.evaluation.gain.figures.summarise`.

    Raises:
        InputError: for sets whose comparison would be worthless, or a folder that holds something else.

    Example:
        >>> gain("HAM10000", "out", "HAM10000", "gain", train_split="train", test_split="val")  # doctest: +SKIP
    """
    if config is not None and options:
        raise InputError(f"expected either a config or options, got both ({', '.join(options)}); give one of the two")
    config = config or GainConfig(**options)
    experiment = prepare(config, real_train, synthetic, real_test, train_split, test_split)
    return carry_out(
        experiment, Path(output), workers=workers, overwrite=overwrite, reuse=reuse, progress=progress, log=log
    )


def carry_out(
    experiment: Experiment,
    root: Path,
    *,
    workers: int = 0,
    overwrite: bool = False,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> dict[str, Any]:
    """The runs of a prepared experiment that are missing, then the figures over all of them.

    Raises:
        InputError: if the folder holds another experiment or another process is writing there.
    """
    lock = FileLock(make_folder(root / HIDDEN) / "gain.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process is working in {root}; wait for it to end or choose another --output"
        ) from None
    with lock:
        clean_work(root)
        shutil.rmtree(root / HIDDEN / MATERIAL, ignore_errors=True)  # of a process that was killed
        folder = RunFolder(root)
        folder.claim(experiment.identity(), overwrite)
        if reuse is not None:
            taken = folder.take_over(Path(reuse), experiment.identity(), experiment.runs)
            if log:
                log(f"{taken} runs are taken over from {reuse}")
        folder.keep_test(experiment.test.labels, experiment.test.groups, experiment.test.fst, experiment.test.classes)
        finished = finish_runs(experiment, folder, workers, progress, log)
        _write(experiment, root, finished)
    return read_result(root, "gain")


def finish_runs(
    experiment: Experiment,
    folder: RunFolder,
    workers: int = 0,
    progress: Progress | None = None,
    log: Log | None = None,
) -> list[Finished]:
    """Do what is not done yet; every planned run's predictions, in the order of the plan."""
    runs = experiment.runs
    missing = [run for run in runs if folder.load(run) is None]
    done = len(runs) - len(missing)
    if progress:
        progress(done, len(runs))
    for run in run_all(missing, experiment.config, experiment.material, folder, workers):
        done += 1
        if progress:
            progress(done, len(runs))
        if log:
            record = folder.load(run).record
            score = "-" if record["validation"] is None else f"{record['validation']:.3f}"
            log(f"{done}/{len(runs)} {run.name}: validation {score}, {record['seconds']:.0f} s")
    return [folder.load(run) for run in runs]


def _write(experiment: Experiment, root: Path, finished: list[Finished]) -> None:
    from .figures import summarise

    config = experiment.config
    write_result(
        root,
        "gain",
        summarise(experiment, finished),
        protocol=protocol_text(config),
        context={
            "sets": experiment.sets,
            "classes": list(experiment.test.classes),
            "options": config.to_dict(),
            "seeds": list(range(config.seeds)),
        },
    )


def protocol_text(config: GainConfig) -> str:
    """What was held equal, and what was not."""
    if config.task == "segmentation":
        choice = "The weights after the last step are used; the validation part is scored for the record only."
    else:
        choice = "The weights with the best macro AUROC on the validation part are used."
    return " ".join(
        (
            f"Every arm trains the network {config.classifier!r} from the same first weights for {config.steps} steps",
            f"of {config.batch_size} images at {config.size} px ({config.precision}), with the same classical",
            "augmentation (real+heavy-aug alone has a stronger one) and the same path from file to pixels (centre",
            "square, antialiased). Arms with an added dose draw as many images: real+replay draws real training images",
            "again, balanced over the classes; real+replay-matched draws them with the synthetic dose's own class",
            "counts, and exists where that dose is not balanced to within 5 points. The ratio is added images for each",
            "real training image. n_real counts the real images that an arm may see;",
            f"{config.validation:.0%} of them, other lesions or patients, are the validation part. {choice}",
            f"Each of the {config.seeds} repetitions draws its own real images (stratified, by lesion or patient, the",
            "smaller sets contained in the larger), doses, first weights and order, the same for every arm. The test",
            "images share no lesion or patient and no file with any training image, and are predicted once, at the end",
            "of each run. Intervals resample test lesions or patients and repetitions together",
            f"({config.resamples} times, {config.level:.0%}); those of differences are paired. {config.score} was",
            "named beforehand as the score that is judged. 'gain' means that the interval of the difference to every",
            "equal-dose replay arm lies above 0; without a replay arm nothing is called a gain. There is no correction",
            "for the number of comparisons.",
        )
    )
