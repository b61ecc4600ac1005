"""Fit the lateral transport filter to three-dimensional Monte Carlo runs of striped and spotted skin.

Two steps. ``python eval/fit_transport.py --simulate`` runs the cases (about half an hour on one core; it goes on
where it stopped) and keeps their colours in tests/reference/transport_monte_carlo.json. ``python
eval/fit_transport.py`` fits the constants to the stored cases and writes eval/results/fit_transport.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common import write_result
from scipy.optimize import minimize

from synthderm.functional.color import XYZ_TO_LINEAR_SRGB, delta_e_2000, linear_to_lab
from synthderm.functional.monte_carlo import column_monte_carlo
from synthderm.simulator import tissue
from synthderm.simulator.colour_table import colour_table
from synthderm.simulator.spectra import spectrum_to_xyz_matrix, standard_spectra
from synthderm.simulator.transport import DermalSpread, Transport, lateral_transport, spread_dermis

CASES = Path(__file__).resolve().parent.parent / "tests" / "reference" / "transport_monte_carlo.json"
PIXELS = 20  # of a tile's side
TO_RGB = spectrum_to_xyz_matrix("D65") @ np.array(XYZ_TO_LINEAR_SRGB).T  # (31, 3)


@dataclass(frozen=True)
class Mixture:
    """Content of a column of skin: arguments of ``skin_reflectance``."""

    melanin: float = 0.03
    blood: float = 0.008
    papillary_melanin: float = 0.0
    deep_melanin: float = 0.0
    oxygenation: float = 0.8


@dataclass(frozen=True)
class Case:
    """A tile: ``inclusion`` covers ``share`` of it, ``background`` the rest."""

    group: str
    background: Mixture
    inclusion: Mixture
    period_mm: float
    share: float
    pattern: str = "stripes"

    @property
    def name(self) -> str:
        """What the case is stored under."""
        return f"{self.group} {self.pattern} {self.period_mm:g} mm {self.share:g}"

    def columns(self) -> torch.Tensor:
        """(H, W) int64, 1 where the inclusion is."""
        if self.pattern == "stripes":
            return (torch.arange(PIXELS)[None] < round(self.share * PIXELS)).long()
        centre = (torch.arange(PIXELS) + 0.5) / PIXELS - 0.5
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        if self.pattern == "discs":
            return (x**2 + y**2 < self.share / np.pi).long()
        width = 1 - np.sqrt(1 - self.share)  # network: lines along both axes
        return ((x.abs() < width / 2) | (y.abs() < width / 2)).long()


def cases() -> list[Case]:
    light, dark = Mixture(), Mixture(melanin=0.15)
    listed = [
        ("epidermis, light", light, Mixture(melanin=0.30), (0.2, 0.3, 0.6, 1.2, 3.0), (0.15, 0.35)),
        ("papillary, light", light, Mixture(papillary_melanin=0.03), (0.3, 0.6, 1.2, 3.0), (0.35,)),
        ("deep, light", light, Mixture(deep_melanin=0.05), (0.3, 0.6, 1.2, 3.0), (0.35,)),
        ("blood, light", light, Mixture(blood=0.30), (0.3, 0.6, 1.2, 3.0), (0.35,)),
        ("epidermis, dark", dark, Mixture(melanin=0.45), (0.2, 0.6, 1.2), (0.35,)),
        ("papillary, dark", dark, Mixture(melanin=0.15, papillary_melanin=0.03), (0.3, 1.2), (0.35,)),
        ("deep, dark", dark, Mixture(melanin=0.15, deep_melanin=0.05), (0.6, 1.2), (0.35,)),
        ("blood, dark", dark, Mixture(melanin=0.15, blood=0.30), (0.6, 1.2), (0.35,)),
        ("epidermis, weak", light, Mixture(melanin=0.10), (0.3, 0.6, 1.2), (0.35,)),
        ("papillary, light", light, Mixture(papillary_melanin=0.03), (0.6,), (0.15,)),
        ("deep, light", light, Mixture(deep_melanin=0.05), (0.6,), (0.15,)),
        ("blood, light", light, Mixture(blood=0.30), (0.6,), (0.15,)),
    ]
    stripes = [Case(g, b, i, p, s) for g, b, i, periods, shares in listed for s in shares for p in periods]
    nest = Mixture(melanin=0.12, papillary_melanin=0.03, blood=0.02)
    spots = [
        Case("epidermis, held out", light, Mixture(melanin=0.30), 0.6, 0.25, "discs"),
        Case("epidermis, held out", light, Mixture(melanin=0.30), 0.4, 0.45, "network"),
        Case("blood, held out", light, Mixture(blood=0.40), 0.9, 0.25, "discs"),
        Case("all layers, held out", light, nest, 0.7, 0.3, "discs"),
    ]
    return stripes + spots


def simulate(case: Case, photons: int, seed: int) -> dict:
    """Linear sRGB of the tile by Monte Carlo, and of the two columns alone by the layer solver."""
    wavelength = standard_spectra().wavelength_nm
    mixtures = (case.background, case.inclusion)
    absorption = np.stack([tissue.layer_absorption(**asdict(m)) for m in mixtures])  # K, L, C
    scattering = np.stack(tissue.scattering_coefficients(), 1)  # C, L
    columns = case.columns()
    started = time.perf_counter()
    mean, error = column_monte_carlo(
        columns,
        torch.from_numpy(absorption.transpose(2, 0, 1).copy()),
        torch.from_numpy(scattering),
        torch.from_numpy(tissue.anisotropy(wavelength)),
        tissue.THICKNESS_CM,
        case.period_mm / 10 / PIXELS,
        photons * (1 if case.pattern == "stripes" else 4),
        torch.Generator().manual_seed(seed),
        n_inside=tissue.REFRACTIVE_INDEX,
    )
    to_rgb = torch.from_numpy(TO_RGB)
    rgb = torch.einsum("chw,cr->rhw", mean, to_rgb)
    noise = torch.einsum("chw,cr->rhw", error**2, to_rgb**2).sqrt()
    alone = np.stack([tissue.skin_reflectance(**asdict(m)) for m in mixtures]) @ TO_RGB
    print(f"{case.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return {
        **asdict(case),
        "photons": photons,
        "alone_rgb": np.round(alone, 6).tolist(),
        "rgb": np.round(rgb.numpy(), 5).tolist(),
        "noise": np.round(noise.numpy(), 5).tolist(),
    }


def simulate_all(photons: int) -> None:
    stored = json.loads(CASES.read_text()) if CASES.is_file() else {"cases": {}}
    stored["command"] = "python eval/fit_transport.py --simulate"
    for i, case in enumerate(cases()):
        if case.name not in stored["cases"]:
            stored["cases"][case.name] = simulate(case, photons, seed=i)
            CASES.write_text(json.dumps(stored) + "\n")


@dataclass(frozen=True)
class Measured:
    """A stored case."""

    case: Case
    rgb: torch.Tensor  # (3, H, W), Monte Carlo
    noise: torch.Tensor  # (3, H, W), its standard error

    @property
    def mm_per_px(self) -> float:
        """Millimetres per pixel of the tile."""
        return self.case.period_mm / PIXELS


def read_cases() -> list[Measured]:
    measured = []
    for record in json.loads(CASES.read_text())["cases"].values():
        fields = {k: record[k] for k in ("group", "period_mm", "share", "pattern")}
        mixtures = {k: Mixture(**record[k]) for k in ("background", "inclusion")}
        measured.append(
            Measured(Case(**fields, **mixtures), torch.tensor(record["rgb"]), torch.tensor(record["noise"]))
        )
    return measured


def maps(case: Case) -> list[torch.Tensor]:
    """Melanin, papillary melanin, deep melanin and blood of a tile, (H, W) each."""
    inside = case.columns().bool()
    names = ("melanin", "papillary_melanin", "deep_melanin", "blood")
    return [
        torch.where(inside, torch.tensor(getattr(case.inclusion, k)), torch.tensor(getattr(case.background, k)))
        for k in names
    ]


def per_pixel(m: Measured) -> torch.Tensor:
    """Colours straight from the table."""
    return colour_table().for_light("D65", m.case.background.oxygenation)(*maps(m.case))


def filtered(m: Measured, transport: Transport, spread: DermalSpread | None) -> torch.Tensor:
    """Colours with the filter of colours and, unless None, the one of the dermis."""
    melanin, *dermis = maps(m.case)
    if spread is not None:
        dermis = spread_dermis(*dermis, m.mm_per_px, constants=spread, periodic=True)
    rgb = colour_table().for_light("D65", m.case.background.oxygenation)(melanin, *dermis)
    return lateral_transport(rgb, m.mm_per_px, constants=transport, periodic=True)


def relative_square_error(rgb: torch.Tensor, m: Measured) -> torch.Tensor:
    """Mean square error of a channel over the square of its mean, (3,)."""
    return ((rgb - m.rgb) ** 2).mean((1, 2)) / m.rgb.mean((1, 2)) ** 2


def figures_of(model, cases: list[Measured]) -> dict[str, float]:
    """How far a model is from Monte Carlo: n counts cases times channels.

    ``relative_rmse_without_noise`` has the Monte Carlo noise taken out of the squares. ``de00`` is the colour error
    of single pixels (it holds the noise, of which ``de00_of_noise`` gives the size), ``bias`` that of the mean.
    """
    square = torch.cat([relative_square_error(model(m), m) for m in cases])
    noise = torch.cat([(m.noise**2).mean((1, 2)) / m.rgb.mean((1, 2)) ** 2 for m in cases])
    bias = torch.cat([model(m).mean((1, 2)) / m.rgb.mean((1, 2)) - 1 for m in cases])
    pairs = [(model(m), m.rgb, m.noise) for m in cases]

    def lab(rgb: torch.Tensor) -> torch.Tensor:
        return linear_to_lab(rgb.clamp_min(0).movedim(0, -1).double())

    difference = torch.cat([delta_e_2000(lab(a), lab(b)).flatten() for a, b, _ in pairs])
    generator = torch.Generator().manual_seed(0)
    shaken = torch.cat(
        [delta_e_2000(lab(b + n * torch.randn(b.shape, generator=generator)), lab(b)).flatten() for _, b, n in pairs]
    )
    return {
        "n": len(square),
        "relative_rmse": round(float(square.mean().sqrt()), 4),
        "relative_rmse_without_noise": round(float((square - noise).mean().clamp_min(0).sqrt()), 4),
        "noise": round(float(noise.mean().sqrt()), 4),
        "mean_abs_bias": round(float(bias.abs().mean()), 4),
        "de00_mean": round(float(difference.mean()), 2),
        "de00_of_noise": round(float(shaken.mean()), 2),
    }


def loss(model, cases: list[Measured]) -> float:
    return float(torch.cat([relative_square_error(model(m), m) for m in cases]).mean().sqrt())


def search(objective, start: list[float]) -> np.ndarray:
    options = {"maxiter": 1500, "xatol": 2e-4, "fatol": 2e-5}
    return minimize(objective, start, method="Nelder-Mead", options=options).x


def fit_epidermis(cases: list[Measured], darkening: bool) -> Transport:
    def constants(theta: np.ndarray) -> Transport:
        direct, blur, *rest = (abs(float(v)) for v in theta)
        return Transport(direct, blur, tuple(rest[:3]), rest[3] if darkening else 0.0)

    start = [0.39, 0.015, 0.4, 0.18, 0.1] + ([0.5] if darkening else [])
    return constants(search(lambda t: loss(lambda m: filtered(m, constants(t), None), cases), start))


def fit_dermis(cases: list[Measured], index: int, transport: Transport) -> tuple[float, float]:
    """Direct share and length of one of the three maps."""

    def constants(theta: np.ndarray) -> DermalSpread:
        direct, length = [0.0] * 3, [0.0] * 3
        direct[index], length[index] = float(np.clip(theta[0], 0, 1)), abs(float(theta[1]))
        return DermalSpread(tuple(direct), tuple(length))

    theta = search(lambda t: loss(lambda m: filtered(m, transport, constants(t)), cases), [0.2, 0.15])
    return float(np.clip(theta[0], 0, 1)), abs(float(theta[1]))


def blurred(m: Measured, sigma_mm: tuple[float, ...]) -> torch.Tensor:
    """Baseline: a Gaussian blur of the table's colours."""
    rgb = per_pixel(m)
    f = [torch.fft.fftfreq(n, m.mm_per_px) for n in rgb.shape[1:]]
    square = (2 * np.pi) ** 2 * (f[0][:, None] ** 2 + f[1][None] ** 2)
    gain = torch.exp(-0.5 * square * torch.tensor(sigma_mm)[:, None, None] ** 2)
    return torch.fft.ifft2(torch.fft.fft2(rgb) * gain).real


def fit_all() -> dict:
    measured = read_cases()
    groups: dict[str, list[Measured]] = {}
    for m in measured:
        groups.setdefault(m.case.group, []).append(m)
    epidermis = [m for g in ("epidermis, light", "epidermis, dark", "epidermis, weak") for m in groups[g]]
    transport = fit_epidermis(epidermis, darkening=True)
    spread = DermalSpread(*zip(
        *(fit_dermis(groups[f"{part}, light"] + groups[f"{part}, dark"], i, transport)
          for i, part in enumerate(("papillary", "deep", "blood"))), strict=True,
    ))  # fmt: skip
    one_set = fit_epidermis(groups["epidermis, light"], darkening=False)
    sigma = search(
        lambda t: loss(lambda m: blurred(m, tuple(float(v) for v in t)), groups["epidermis, light"]),
        [0.05, 0.05, 0.05],
    )
    models = {
        "table alone": per_pixel,
        "best Gaussian blur for epidermis, light": lambda m: blurred(m, tuple(float(v) for v in sigma)),
        "colour filter alone, fitted to epidermis, light": lambda m: filtered(m, one_set, None),
        "colour filter alone, fitted constants": lambda m: filtered(m, transport, None),
        "both steps, fitted constants": lambda m: filtered(m, transport, spread),
        "both steps, constants of the package": lambda m: filtered(m, Transport(), DermalSpread()),
    }
    return {
        "fitted": {"transport": asdict(transport), "dermal_spread": asdict(spread)},
        "of_the_package": {"transport": asdict(Transport()), "dermal_spread": asdict(DermalSpread())},
        "by_group": {
            group: {name: figures_of(model, cases) for name, model in models.items()} for group, cases in groups.items()
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulate", action="store_true", help="run the Monte Carlo cases that are not stored yet")
    parser.add_argument("--photons", type=int, default=300_000, help="photons for each case of stripes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.simulate:
        simulate_all(options.photons)
    else:
        write_result("fit_transport", fit_all(), device="cpu, 1 thread")
