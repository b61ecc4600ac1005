"""Images per second of one core, and memory: python eval/speed.py [--seconds 20].

One process with one thread renders images of all classes and tones with every mask, as the generator does; then
again with the files written (PNG image and mask PNGs). Memory is the process's peak after 40 and after 400 images.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from common import write_result

from synthderm.core import DIAGNOSES, Condition, Sample, image_seed, load_generator
from synthderm.data import FolderWriter


def samples(size: int, modality: str, masks: str, n: int) -> Iterator[Sample]:
    """``n`` samples of all classes and types in turn."""
    generator = load_generator("simulator", size=size, masks=masks)
    codes = list(DIAGNOSES)
    conditions = [Condition(codes[i % 7], fst=1 + i % 6, modality=modality) for i in range(n)]
    return generator.sample([image_seed(1, i) for i in range(n)], conditions)


def rate(size: int, modality: str, masks: str, seconds: float, folder: Path | None = None) -> dict[str, float]:
    """CPU time per image and images per CPU second, after a warm-up of one image of each class."""
    writer = None
    if folder is not None:
        names = ("lesion",) if masks == "lesion" else tuple(load_generator("simulator").attributes)
        writer = FolderWriter(folder, masks=names)
    times: list[float] = []
    stop = time.perf_counter() + seconds
    source = samples(size, modality, masks, 100_000)
    started = time.process_time()
    for i, sample in enumerate(source):
        if writer is not None:
            writer.write(sample, f"speed_{size}_{i:06d}")
        now = time.process_time()
        if i >= 7:
            times.append(now - started)
        started = now
        if time.perf_counter() > stop and len(times) >= 14:
            break
    ms = np.array(times) * 1e3
    return {
        "images": len(ms),
        "cpu_ms_mean": round(float(ms.mean()), 2),
        "cpu_ms_quartiles": np.percentile(ms, (25, 50, 75)).round(2).tolist(),
        "images_per_core_second": round(1e3 / float(ms.mean()), 2),
    }


def peak_memory_mb() -> float:
    """Peak resident size of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and write eval/results/speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="wall time of each row")
    args = parser.parse_args()
    torch.set_num_threads(1)
    memory = {}
    for n in (40, 400):
        for _ in samples(128, "dermoscopy", "all", n):
            pass
        memory[f"peak_mb_after_{n}"] = round(peak_memory_mb(), 1)
    figures: dict[str, object] = {"memory_128px": memory}
    for modality in ("dermoscopy", "clinical"):
        for size in (128, 256, 512):
            key = f"{modality}_{size}"
            figures[key] = rate(size, modality, "all", args.seconds)
            print(key, figures[key], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for masks in ("lesion", "all"):
            key = f"dermoscopy_256_written_masks_{masks}"
            figures[key] = rate(256, "dermoscopy", masks, args.seconds, Path(folder))
            print(key, figures[key], flush=True)
    write_result("speed", figures, processor=platform.processor() or platform.machine(), threads=1)


if __name__ == "__main__":
    main()
