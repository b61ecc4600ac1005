"""Time and memory of the distances: python eval/metric_speed.py [--images 5000] [--extractor derm].

One process with one thread. Batches go in turn through an extractor once for our three metrics, and through
torchmetrics' FID and KID as they come, which extract once each; the order changes with every batch. Then every
result is computed. Memory is the peak of a process of its own, less what it held with the features loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from common import write_result

from synthderm.models.features import FeatureExtractor, load_extractor

ROWS = (1000, 5000, 20000)
FEATURES = 128


def images(n: int, seed: int, real: bool) -> torch.Tensor:
    """(n, 3, 128, 128) uint8: smooth random colours."""
    generator = torch.Generator().manual_seed(2 * seed + real)
    small = torch.rand(n, 3, 6, 6, generator=generator) * (0.8 if real else 0.7)
    return (torch.nn.functional.interpolate(small, size=128, mode="bilinear") * 255).to(torch.uint8)


class Clock(dict):
    """Seconds by name."""

    def time(self, name, call):
        """Call, add the seconds, return the result."""
        start = time.process_time()
        result = call()
        self[name] = self.get(name, 0.0) + time.process_time() - start
        return result


def speed(extractor: FeatureExtractor, n: int, batch: int) -> dict[str, object]:
    """CPU seconds of extraction, accumulation and computation on two sets of ``n`` images."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    from synthderm.metrics import PRDC, FrechetDistance, KernelDistance

    ours = {metric.__name__: metric(extractor) for metric in (FrechetDistance, KernelDistance, PRDC)}
    theirs = {metric.__name__: metric(extractor) for metric in (FrechetInceptionDistance, KernelInceptionDistance)}
    clock = Clock()

    def add_ours(x, real):
        features = clock.time("extract", lambda: extractor(x))
        for metric in ours.values():
            clock.time("ours_update", lambda metric=metric: metric.update_features(features, real=real))

    def add_theirs(x, real):
        for metric in theirs.values():
            clock.time("torchmetrics_update", lambda metric=metric: metric.update(x, real=real))

    extractor(images(batch, 0, True))
    for i in range(n // batch):
        for real in (True, False):
            x = images(batch, i + 1, real)
            for add in (add_ours, add_theirs) if i % 2 else (add_theirs, add_ours):
                add(x, real)
    results = {}
    for name, metric in (ours | theirs).items():
        found = clock.time(name, metric.compute)
        results[name] = {k: float(v) for k, v in found.items()} if isinstance(found, dict) else np.ravel(found).tolist()
    total_ours = clock["extract"] + clock["ours_update"] + sum(clock[name] for name in ours)
    total_theirs = clock["torchmetrics_update"] + sum(clock[name] for name in theirs)
    once = total_theirs - clock["extract"]
    return {
        "images_per_set": n // batch * batch,
        "features_per_cpu_second": round(2 * (n // batch * batch) / clock["extract"], 1),
        "cpu_seconds": {name: round(seconds, 3) for name, seconds in clock.items()},
        "ours_fid_kid_prdc_total": round(total_ours, 2),
        "torchmetrics_fid_kid_total": round(total_theirs, 2),
        "torchmetrics_fid_kid_total_less_one_extraction": round(once, 2),
        "ratio": round(total_ours / total_theirs, 3),
        "ratio_less_one_extraction": round(total_ours / once, 3),
        "ours_without_extraction": round(total_ours - clock["extract"], 2),
        "torchmetrics_without_extraction": round(total_theirs - 2 * clock["extract"], 2),
        "values": results,
    }


def peak_mb() -> float:
    """Peak resident size of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(what: str, n: int) -> dict[str, float]:
    """In a process of its own: peak while a distance of n x 128 features is computed, above the features."""
    from synthderm.functional import frechet, kernel_distance, neighbours

    def of_statistics(a, b):
        statistics = [frechet.gaussian_statistics(x)[:2] for x in (a, b)]
        return frechet.frechet_distance(*statistics[0], *statistics[1])

    calls = {"frechet": of_statistics, "kernel": kernel_distance.kernel_distance, "prdc": neighbours.prdc,
             "nearest": neighbours.nearest}  # fmt: skip
    rng = np.random.default_rng(0)
    calls[what](rng.normal(size=(400, FEATURES)), rng.normal(size=(400, FEATURES)))  # libraries load
    x, y = rng.normal(size=(n, FEATURES)), rng.normal(size=(n, FEATURES))
    before, start = peak_mb(), time.process_time()
    calls[what](x, y)
    return {"above_features_mb": round(peak_mb() - before, 1), "cpu_seconds": round(time.process_time() - start, 2)}


def memory(rows: tuple[int, ...]) -> dict[str, object]:
    figures: dict[str, object] = {"features_mb": {str(n): round(2 * n * FEATURES * 8 / 2**20, 1) for n in rows}}
    for what in ("frechet", "kernel", "prdc", "nearest"):
        for n in rows:
            command = [sys.executable, __file__, "--memory-of", what, "--rows", str(n)]
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            figures.setdefault(what, {})[str(n)] = json.loads(found.stdout)
            print(what, n, found.stdout.strip(), flush=True)
    return figures


def main() -> None:
    """Measure and write eval/results/metric_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="of each set")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--extractor", default="derm", help="name or path, as load_extractor takes it")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=1000, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")
    if args.memory_of:
        print(json.dumps(measure_memory(args.memory_of, args.rows)))
        return
    extractor = load_extractor(args.extractor)
    figures = {"speed": speed(extractor, args.images, args.batch)}
    print(json.dumps(figures["speed"], indent=1), flush=True)
    figures["memory"] = memory(ROWS)
    write_result("metric_speed", figures, extractor=extractor.describe(), threads=1)


if __name__ == "__main__":
    main()
