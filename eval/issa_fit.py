"""How close the skin model comes to measured skin: the part of eval/physics.py that reads ISSA spectra."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from synthderm.core.tone import TONE_BANDS
from synthderm.functional.color import delta_e_2000
from synthderm.simulator.tissue import SITES, ita_to_melanin, skin_reflectance, spectrum_to_lab

TABLES = Path(__file__).resolve().parent / "tables"
FREE = ("melanin", "blood", "oxygenation", "bilirubin_um", "scattering")
BOUNDS = {
    "wide": ((0.002, 0.6), (0.0005, 0.12), (0.05, 0.99), (0.1, 30.0), (0.45, 2.2)),
    "physiological": ((0.002, 0.6), (0.0005, 0.03), (0.40, 0.99), (0.1, 30.0), (0.6, 1.6)),
}
START = (0.05, 0.01, 0.8, 2.0, 1.0)


def delta_e(lab_1: np.ndarray, lab_2: np.ndarray) -> np.ndarray:
    return delta_e_2000(torch.from_numpy(lab_1), torch.from_numpy(lab_2)).numpy()


def ita(lab: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))


def tone_class(ita_deg: float) -> str:
    return next(band.name for band in TONE_BANDS if ita_deg in band)


def summary(errors: np.ndarray) -> dict[str, float]:
    """Mean, median, 95th percentile and largest of some dE00, and the share below 2."""
    return {
        "n": len(errors),
        "mean": round(float(errors.mean()), 3),
        "median": round(float(np.median(errors)), 3),
        "p95": round(float(np.percentile(errors, 95)), 3),
        "max": round(float(errors.max()), 3),
        "share_below_2": round(float((errors < 2).mean()), 3),
    }


def by_class(ita_deg: np.ndarray, errors: np.ndarray) -> dict[str, dict[str, float]]:
    names = np.array([tone_class(v) for v in ita_deg])
    return {band.name: summary(errors[names == band.name]) for band in TONE_BANDS if (names == band.name).any()}


def read_means(name: str, labels: int) -> tuple[list[list[str]], np.ndarray]:
    """Rows of a table of ISSA means: the first ``labels`` columns, and (n, 31) reflectance."""
    lines = [line for line in (TABLES / name).read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.reader(lines[1:]))
    return [row[:labels] for row in rows], np.array([[float(v) for v in row[-31:]] for row in rows])


def one_parameter(bins: list[list[str]], spectra: np.ndarray) -> dict:
    """Only the melanin follows the tone, by ``ita_to_melanin``; all else is the site's: figures by site and class."""
    measured = spectrum_to_lab(spectra)
    tone = ita(measured)
    figures: dict[str, dict] = {}
    every = []
    for site, constants in (("arm", SITES["body"]), ("face", SITES["face"]), ("inner_arm", SITES["body"])):
        rows = [i for i, row in enumerate(bins) if row[0] == site]
        melanin = np.array([ita_to_melanin(tone[i], "face" if site == "face" else "body") for i in rows])
        modelled = skin_reflectance(
            melanin,
            constants.blood,
            constants.oxygenation,
            bilirubin_um=constants.bilirubin_um,
            scattering=constants.scattering,
            specular=True,
        )
        errors = delta_e(spectrum_to_lab(modelled), measured[rows])
        figures[site] = {
            "all_bins": summary(errors),
            "by_class": by_class(tone[rows], errors),
            "by_bin": {bins[i][1]: round(float(e), 2) for i, e in zip(rows, errors, strict=True)},
        }
        every.append(errors if site != "inner_arm" else errors[:0])
    return {"arm_and_face": summary(np.concatenate(every)), **figures}


def _to_free(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    share = (values - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0])
    return np.log(share / (1 - share))


def _from_free(free: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) / (1 + np.exp(-free))


def five_parameter(
    spectra: np.ndarray, bounds: str, stages: tuple[tuple[int, int], ...] = ((4, 14), (8, 4))
) -> tuple[np.ndarray, np.ndarray]:
    """Fit melanin, blood, oxygenation, bilirubin and scattering to SCI spectra (n, 31).

    Levenberg-Marquardt on cube roots of reflectance, all spectra at once; the logarithm of each parameter (the
    oxygenation itself) is kept within its bounds by a logistic. ``stages`` are (streams of the solver, steps).

    Returns:
        Parameters (n, 5) and modelled spectra (n, 31), those of the last stage's solver.
    """
    limits = np.array(BOUNDS[bounds])
    logarithmic = np.array([name != "oxygenation" for name in FREE])
    inside = np.where(logarithmic[:, None], np.log(limits), limits)

    def values_of(free: np.ndarray) -> np.ndarray:
        values = _from_free(free, inside)
        return np.where(logarithmic, np.exp(values), values)

    def model(free: np.ndarray, streams: int) -> np.ndarray:
        melanin, blood, oxygenation, bilirubin, scattering = values_of(free).T
        return np.cbrt(
            skin_reflectance(
                melanin, blood, oxygenation,
                bilirubin_um=bilirubin, scattering=scattering, specular=True, streams=streams,
            )
        )  # fmt: skip

    free = np.tile(_to_free(np.where(logarithmic, np.log(START), START), inside), (len(spectra), 1))
    free[:, 0] = _to_free_melanin(spectra, inside[0])
    target = np.cbrt(spectra)
    for streams, steps in stages:
        free = _levenberg_marquardt(lambda f, streams=streams: model(f, streams), target, free, steps)
    return values_of(free), model(free, stages[-1][0]) ** 3


def _levenberg_marquardt(model, target: np.ndarray, free: np.ndarray, steps: int) -> np.ndarray:
    """Least squares of every row on its own, with slopes by differences."""
    count = free.shape[1]
    damping = np.full(len(free), 1e-2)
    modelled = model(free)
    for _ in range(steps):
        residual = modelled - target
        slopes = np.stack([(model(free + 1e-3 * unit) - modelled) / 1e-3 for unit in np.eye(count)], -1)
        square = np.einsum("nwi,nwj->nij", slopes, slopes)
        gradient = np.einsum("nwi,nw->ni", slopes, residual)
        scale = np.eye(count) * (square.diagonal(0, 1, 2)[:, None] + 1e-6)
        step = np.linalg.solve(square + damping[:, None, None] * scale, gradient[..., None])[..., 0]
        trial = np.clip(free - np.clip(step, -2, 2), -8, 8)
        tried = model(trial)
        better = ((tried - target) ** 2).sum(1) < (residual**2).sum(1)
        free, modelled = np.where(better[:, None], trial, free), np.where(better[:, None], tried, modelled)
        damping = np.where(better, damping / 4, damping * 6).clip(1e-6, 1e4)
    return free


def _to_free_melanin(spectra: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Start of the melanin: that of the spectrum's tone."""
    tone = np.clip(ita(spectrum_to_lab(spectra)), -74, 69)
    melanin = np.log([ita_to_melanin(float(v)) for v in tone])
    return _to_free(np.clip(melanin, inside[0] + 0.05, inside[1] - 0.05), inside[None])


def fit_figures(spectra: np.ndarray, bounds: str) -> dict:
    """Figures of :func:`five_parameter`, together and by ITA class."""
    values, modelled = five_parameter(spectra, bounds)
    measured = spectrum_to_lab(spectra)
    errors = delta_e(spectrum_to_lab(modelled), measured)
    tone = ita(measured)
    rms = np.sqrt(((modelled - spectra) ** 2).mean(1))
    low, high = np.array(BOUNDS[bounds]).T
    return {
        "all": summary(errors),
        "by_class": by_class(tone, errors),
        "median_rms_reflectance": round(float(np.median(rms)), 4),
        "share_at_upper_blood_bound": round(float((values[:, 1] > 0.98 * high[1]).mean()), 3),
        "share_at_lower_oxygenation_bound": round(float((values[:, 2] < 1.02 * low[2]).mean()), 3),
        "blood_p10_p50_p90": [round(float(v), 4) for v in np.percentile(values[:, 1], (10, 50, 90))],
    }


def read_individuals(path: Path, per_class: int, seed: int = 0) -> np.ndarray:
    """Spectra (n, 31) of single people: at most ``per_class`` of each ITA class, drawn by ``seed``."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    spectra = np.array([[float(row[f"R{nm}"]) / 100 for nm in range(400, 701, 10)] for row in rows])
    tone = ita(spectrum_to_lab(spectra))
    names = np.array([tone_class(v) for v in tone])
    generator = np.random.default_rng(seed)
    chosen = []
    for band in TONE_BANDS:
        found = np.flatnonzero(names == band.name)
        chosen.append(generator.permutation(found)[:per_class])
    return spectra[np.sort(np.concatenate(chosen))]


def issa_figures(individuals: Path | None, per_class: int) -> dict:
    bins, spectra = read_means("issa_ita_bin_spectra.csv", 3)
    groups, class_spectra = read_means("issa_class_mean_spectra.csv", 2)
    twenty = np.array([row[0] != "inner_arm" for row in bins])
    values, modelled = five_parameter(class_spectra, "physiological")
    errors = delta_e(spectrum_to_lab(modelled), spectrum_to_lab(class_spectra))
    figures = {
        "one_parameter": one_parameter(bins, spectra),
        "five_parameters_20_bins": fit_figures(spectra[twenty], "physiological"),
        "five_parameters_class_means": {
            row[0]: {
                "n": int(row[1]),
                "de00": round(float(e), 2),
                **{name: float(f"{v:.3g}") for name, v in zip(FREE, value, strict=True)},
            }
            for row, e, value in zip(groups, errors, values, strict=True)
        },
    }
    if individuals is not None:
        chosen = read_individuals(individuals, per_class)
        figures["five_parameters_individual_faces"] = {name: fit_figures(chosen, name) for name in BOUNDS}
    return figures
