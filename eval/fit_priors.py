"""Fit the simulator's priors to the real training pack: python eval/fit_priors.py --real PACK [--write].

Approximate Bayesian computation by matching (Beaumont 2010, Annu Rev Ecol Evol Syst 41:379): scenes are drawn
from a wide proposal around the present prior and rendered at 128 px with HAM10000's colour casts; every real image
of the training split then picks the scenes whose statistics (``eval/real_statistics.py``) are nearest to its own,
and the picked parameters' quantiles become the new prior. Lesion parameters are matched class by class on the
statistics of the lesion; skin, artefacts and camera on those of the background, pooled over the classes with equal
weight, so that the background of a synthetic image does not tell its class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from common import write_result
from real_pack import CLASSES, RealPack
from real_statistics import image_statistics

from synthderm.core import Condition, image_seed
from synthderm.generators.simulated import SimulatorGenerator
from synthderm.simulator.parameters import SCENE_PARAMETERS

PRIORS = Path(__file__).resolve().parent.parent / "synthderm" / "simulator" / "priors.json"
KNOTS = 11
FIXED = ("lesion.tone_scaling", "lesion.elevation", "structure.lagoon_oxygenation")
POOLED = ("skin.", "artefact.", "camera.", "light.tilt")
NOT_FITTED = ("artefact.bubbles", "artefact.ruler", "artefact.ink", "camera.exposure", "camera.jpeg_quality")
BACKGROUND = ("skin_", "light_", "hair_", "glint_", "frame_share", "corner_", "sharpness_")
LESION = ("area", "offset", "eccentricity", "asymmetry", "border", "solidity", "frame_contact", "lesion_", "edge_")
NOT_MATCHED = (
    "skin_share",
    "skin_ita",
    "skin_radius",
    "skin_L",
    "skin_a",
    "skin_b",
    "lesion_corr_La",
    "lesion_corr_Lb",
)


def merged(tables: dict, diagnosis: str) -> dict:
    """The prior of one class in dermoscopy, by parameter."""
    result: dict = {}
    for key in ("all", "dermoscopy", diagnosis, f"{diagnosis} dermoscopy"):
        result.update(tables.get(key, {}))
    return result


def propose(prior: dict, rng: np.random.Generator) -> dict:
    """Scene parameters from the prior, each widened with chance a half."""
    values = {}
    for name, spec in SCENE_PARAMETERS.items():
        distribution = prior[name]
        if "quantiles" not in distribution:
            continue
        chance = distribution.get("chance", 1.0)
        knots = np.asarray(distribution["quantiles"], float)
        wide = rng.random() < 0.5 and knots[-1] > knots[0]
        if rng.random() >= (0.5 * chance + 0.25 if wide and chance < 1 else chance):
            values[name] = 0.0
            continue
        if wide:
            span = knots[-1] - knots[0]
            low, high = max(spec.low, knots[0] - 0.3 * span), min(spec.high, knots[-1] + 0.3 * span)
            value = rng.uniform(low, high)
        else:
            value = np.interp(rng.random(), np.linspace(0, 1, len(knots)), knots)
        values[name] = round(value) if spec.kind == "int" else float(value)
    return values


def simulate(prior: dict, diagnosis: str, n: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Parameters and statistics of ``n`` scenes."""
    generator = SimulatorGenerator(size=128)
    rng = np.random.default_rng([seed, CLASSES.index(diagnosis)])
    drawn, measured = [], []
    for i in range(n):
        values = propose(prior, rng)
        held = {**values, "camera.cast": "ham10000", "camera.calibrated": False}
        ita = float(np.clip(rng.normal(45, 7), 22, 66))
        condition = Condition(diagnosis, ita_deg=ita, parameters=held)
        index = CLASSES.index(diagnosis) * 1_000_000 + seed * 100_000 + i
        sample = next(generator.sample([image_seed(77, index)], condition))
        if not 0.005 < float(sample.masks["lesion"].float().mean()) < 0.98:
            continue
        drawn.append(values)
        measured.append(image_statistics(sample.image.numpy(), sample.masks["lesion"].numpy()))
    return drawn, measured


def pick(real: np.ndarray, simulated: np.ndarray, k: int) -> np.ndarray:
    """For each real row the ``k`` nearest simulated rows, in the space whitened by the real covariance."""
    middle = np.nanmedian(real, 0)
    spread = np.nanpercentile(real, 84, 0) - np.nanpercentile(real, 16, 0)
    spread = np.where(spread > 1e-9, spread / 2, 1.0)
    a, b = (np.clip(np.nan_to_num((m - middle) / spread), -4, 4) for m in (real, simulated))
    covariance = np.cov(a.T)
    covariance = 0.6 * covariance + 0.4 * np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    distance = torch.cdist(torch.from_numpy(a @ whiten), torch.from_numpy(b @ whiten))
    return distance.topk(min(k, len(b)), dim=1, largest=False).indices.numpy()


def quantiles(values: np.ndarray, weights: np.ndarray, old: dict, name: str) -> dict:
    """The prior of one parameter from weighted values; the chance of being there apart."""
    spec = SCENE_PARAMETERS[name]
    there = values != 0 if "chance" in old or spec.low == 0 else np.ones(len(values), bool)
    chance = float(weights[there].sum() / weights.sum())
    if there.sum() < 8 or chance < 0.01:
        return {"quantiles": [0, 0]}
    v, w = values[there], weights[there]
    order = np.argsort(v)
    position = (np.cumsum(w[order]) - 0.5 * w[order]) / w.sum()
    # the outermost knots stand for the 2 % tails, so that a single match does not set the range
    at = np.linspace(0, 1, KNOTS).clip(0.02, 0.98)
    fitted = np.interp(at, position, v[order])
    result = {"quantiles": [round(float(x), 4) for x in fitted]}
    if chance < 0.995:
        result["chance"] = round(chance, 3)
    return result


def columns_of(names: list[str], prefixes: tuple[str, ...]) -> list[str]:
    """The statistics that start with one of the prefixes."""
    return [n for n in names if n.startswith(prefixes) and n not in NOT_MATCHED]


def fit_round(tables: dict, real: dict, n: int, k: int, seed: int) -> dict[str, dict]:
    """One round: propose, render, match; returns the new tables and prints the gaps."""
    pooled: list[tuple[dict, float]] = []
    gaps = {}
    for diagnosis in CLASSES:
        drawn, measured = simulate(merged(tables, diagnosis), diagnosis, n, seed)
        names = list(measured[0])
        simulated = np.array([[m[c] for c in names] for m in measured])
        target = np.array([[m[c] for c in names] for m in real[diagnosis]])
        for prefixes, own in ((LESION, True), (BACKGROUND, False)):
            use = [names.index(c) for c in columns_of(names, prefixes)]
            picked = pick(target[:, use], simulated[:, use], k).reshape(-1)
            weight = np.bincount(picked, minlength=len(drawn)).astype(float)
            if not own:
                pooled += [(values, w / weight.sum()) for values, w in zip(drawn, weight, strict=True) if w]
                continue
            used = int((weight > 0).sum())
            gap = np.abs(np.nanmedian(simulated, 0) - np.nanmedian(target, 0)) / (np.nanstd(target, 0) + 1e-9)
            gaps[diagnosis] = {"scenes_used": used, "median_gap_sd": round(float(gap[use].mean()), 3)}
            print(diagnosis, gaps[diagnosis], flush=True)
            for name, old in tables[diagnosis].items():
                if name.startswith(("lesion.", "structure.")) and name not in FIXED and "quantiles" in old:
                    values = np.array([d[name] for d in drawn])
                    tables[diagnosis][name] = quantiles(values, weight, old, name)
            for name in ("lesion.offset_x", "lesion.offset_y", "lesion.elongation"):
                values = np.array([d[name] for d in drawn])
                tables[diagnosis][name] = quantiles(values, weight, merged(tables, diagnosis)[name], name)
    weights = np.array([w for _, w in pooled])
    base = merged(tables, "nv")
    for name in SCENE_PARAMETERS:
        if name.startswith(POOLED) and name not in NOT_FITTED and "quantiles" in base[name]:
            values = np.array([d[name] for d, _ in pooled])
            tables["dermoscopy"][name] = quantiles(values, weights, base[name], name)
    return gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", required=True, help="the real training pack: folder or zip")
    parser.add_argument("--scenes", type=int, default=1000, help="scenes per class and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--nearest", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write synthderm/simulator/priors.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pack = RealPack(args.real)
    real: dict[str, list[dict]] = {}
    for diagnosis in CLASSES:
        rows = [r for r in pack.rows if r.diagnosis == diagnosis and r.mask and r.split == "train"][:900]
        real[diagnosis] = [image_statistics(pack.image(r), pack.lesion_mask(r)) for r in rows]
        print(diagnosis, len(rows), "real images", flush=True)
    tables = json.loads(PRIORS.read_text())
    rounds = [fit_round(tables, real, args.scenes, args.nearest, seed) for seed in range(args.rounds)]
    write_result("fit_priors", {"rounds": rounds, "scenes": args.scenes, "nearest": args.nearest, "priors": tables})
    if args.write:
        PRIORS.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
