"""Measure the skin model: solver against Monte Carlo, colour table against solver, model against measured skin.

``python eval/physics.py [--issa-spectra FILE]`` writes eval/results/physics.json in about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from common import write_result
from issa_fit import delta_e, issa_figures, ita, summary

from synthderm.functional.adding import slab_reflectance_transmittance, stack_reflectance, stack_slab
from synthderm.functional.color import linear_to_lab, xyz_to_lab
from synthderm.functional.monte_carlo import absorb_paths, white_monte_carlo
from synthderm.functional.optics import quadrature, specular_reflectance
from synthderm.simulator import tissue
from synthderm.simulator.colour_table import bake, colour_table
from synthderm.simulator.spectra import Spectra, standard_spectra
from synthderm.simulator.tissue import ita_to_melanin, skin_reflectance, spectrum_to_lab
from synthderm.simulator.transport import lateral_transport, spread_dermis

TABLES = Path(__file__).resolve().parent / "tables"


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def reference_cases(photons: int) -> dict:
    """Van de Hulst's slab (1980) and Giovanelli's half space (1955, with its specular 0.04), as in the MCML manual."""
    generator = torch.Generator().manual_seed(1)
    slab = white_monte_carlo([90.0], 0.75, [0.02], photons, generator, n_inside=1.0)
    half = white_monte_carlo([90.0], 0.0, [float("inf")], photons // 4, generator, n_inside=1.5, longest_cm=2.0)
    reflected, transmitted, error = (float(v) for v in absorb_paths(slab, torch.tensor([10.0])))
    half_reflected, _, half_error = (float(v) for v in absorb_paths(half, torch.tensor([10.0])))
    directions = quadrature(16, 1.0, 1.0)
    solver = slab_reflectance_transmittance(stack_slab([10.0], [90.0], 0.75, [0.02], directions), directions)
    closed = quadrature(16)
    lossless = stack_slab([0.0] * 3, [300.0, 200.0, 100.0], 0.8, [0.01, 0.1, 0.3], closed)
    return {
        "van_de_hulst": {
            "reference": [0.09739, 0.66096],
            "monte_carlo": [round(reflected, 5), round(transmitted, 5)],
            "monte_carlo_standard_error": round(error, 6),
            "photons": photons,
            "solver_16": [round(float(v), 6) for v in solver],
        },
        "giovanelli_with_specular": {
            "reference": 0.2600,
            "monte_carlo": round(half_reflected + specular_reflectance(1.5), 5),
            "monte_carlo_standard_error": round(half_error, 6),
            "photons": photons // 4,
            "solver_16": round(
                float(stack_reflectance([10.0], [90.0], 0.0, [np.inf], streams=16, n_inside=1.5, specular=True)),
                6,
            ),
        },
        "energy_lost_without_absorption": float(
            abs(sum(slab_reflectance_transmittance(lossless, closed)) - 1 + specular_reflectance())
        ),
    }


def random_mixtures(n: int, seed: int) -> dict[str, np.ndarray]:
    """Skin and lesions: half of them with melanin in the dermis."""
    g = np.random.default_rng(seed)

    def spread(low: float, high: float) -> np.ndarray:
        return np.exp(g.uniform(np.log(low), np.log(high), n))

    dermal = g.random(n) < 0.5
    return {
        "melanin": spread(0.01, 0.4),
        "blood": spread(0.002, 0.07),
        "oxygenation": g.uniform(0.3, 0.99, n),
        "papillary_melanin": np.where(dermal, spread(5e-4, 0.02), 0),
        "deep_melanin": np.where(dermal, spread(5e-4, 0.02), 0),
        "bilirubin_um": g.uniform(0, 20, n),
    }


def solver_against_monte_carlo(stacks: int, photons: int) -> dict:
    """Random five-layer skins at 31 wavelengths; the photons of a wavelength serve all of them."""
    mixtures = random_mixtures(stacks, seed=2)
    wavelength = standard_spectra().wavelength_nm
    absorption = np.stack(tissue.layer_absorption(**mixtures), -1)  # stacks, 31, 5
    scattering, g = tissue.scattering_coefficients(), tissue.anisotropy(wavelength)
    generator = torch.Generator().manual_seed(3)
    carlo, error = np.empty((2, stacks, len(wavelength)))
    for i, nm in enumerate(wavelength):
        started = time.perf_counter()
        paths = white_monte_carlo(
            [float(s[i]) for s in scattering], g[i], tissue.THICKNESS_CM, photons, generator, surface_below=False
        )
        for j in range(stacks):
            reflected, _, se = absorb_paths(paths, torch.from_numpy(absorption[j, i]))
            carlo[j, i], error[j, i] = float(reflected), float(se)
        log(f"Monte Carlo {nm:.0f} nm: {time.perf_counter() - started:.0f} s")
    figures: dict[str, dict] = {"stacks": stacks, "photons_per_wavelength": photons}
    for streams in (4, 8, 12, 16):
        solver = skin_reflectance(**mixtures, streams=streams)
        difference = solver - carlo
        figures[f"streams_{streams}"] = {
            "de00": summary(delta_e(spectrum_to_lab(solver), spectrum_to_lab(carlo))),
            "max_abs_difference": round(float(abs(difference).max()), 5),
            "mean_abs_difference": round(float(abs(difference).mean()), 5),
            "max_in_standard_errors": round(float(abs(difference / error).max()), 2),
        }
    noise = error * np.random.default_rng(7).standard_normal(len(wavelength))  # one draw serves all, as photons do
    figures["de00_of_noise_alone"] = summary(delta_e(spectrum_to_lab(solver + noise), spectrum_to_lab(solver)))
    figures["mean_standard_error"] = round(float(error.mean()), 5)
    return figures


def table_against_solver(n: int) -> dict:
    """Colours read from the table at random mixtures, and those of the solver there."""
    g = np.random.default_rng(4)
    table = colour_table()

    def spread(low: float, high: float) -> np.ndarray:
        return np.exp(g.uniform(np.log(low), np.log(high), n))

    figures = {}
    for name, most_blood in (("skin_and_lesions", 0.3), ("blood_lakes", 0.9)):
        melanin = spread(0.004, 0.5)
        blood = spread(0.001 if most_blood < 0.5 else 0.3, most_blood)
        papillary, deep = (np.where(g.random(n) < 0.5, spread(4e-4, 0.12), 0) for _ in range(2))
        errors, at_8, groups = [], [], np.array_split(np.arange(n), 20)
        for part in groups:
            oxygenation = float(g.uniform(0.3, 0.95))
            maps = [torch.from_numpy(m[part]).float()[None] for m in (melanin, papillary, deep, blood)]
            rgb = table.for_light("D65", oxygenation)(*maps)[:, 0].double()
            read = linear_to_lab(rgb.T).numpy()
            for streams, into in ((8, at_8), (16, errors)):
                exact = skin_reflectance(
                    melanin[part], blood[part], oxygenation,
                    papillary_melanin=papillary[part], deep_melanin=deep[part], streams=streams,
                )  # fmt: skip
                into.append(delta_e(read, spectrum_to_lab(exact)))
        figures[name] = {
            "against_8_streams": summary(np.concatenate(at_8)),
            "against_16_streams": summary(np.concatenate(errors)),
        }
    return figures


def read_columns(name: str) -> dict[str, np.ndarray]:
    lines = [line for line in (TABLES / name).read_text().splitlines() if not line.startswith("#")]
    values = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    return dict(zip(lines[0].split(","), values.T, strict=True))


def ten_against_two_nm(n: int) -> dict:
    """Colour from 31 wavelengths against 201 between 380 and 780 nm; bilirubin left out, as it is tabled at 10 nm."""
    blood, cie = read_columns("haemoglobin_2nm.csv"), read_columns("cie_5nm.csv")
    wavelength = blood["wavelength_nm"]
    fine = Spectra(wavelength, blood["oxyhaemoglobin"], blood["deoxyhaemoglobin"], np.zeros_like(wavelength))
    light, *observer = (np.interp(wavelength, cie["wavelength_nm"], cie[k]) for k in ("D65", "x_bar", "y_bar", "z_bar"))
    matrix = light[:, None] * np.stack(observer, 1)
    white = np.array([0.95047, 1.0, 1.08883])
    mixtures = random_mixtures(n, seed=5) | {"bilirubin_um": np.zeros(n)}
    xyz = skin_reflectance(**mixtures, spectra=fine) @ matrix / matrix.sum(0) * white
    reference = xyz_to_lab(torch.from_numpy(xyz)).numpy()
    return summary(delta_e(spectrum_to_lab(skin_reflectance(**mixtures)), reference))


def tone_loop() -> dict:
    """Ask for a tone, colour the skin from the table, read the tone: with and without the light off the surface."""
    skin = colour_table().for_light("D65", 0.75)
    figures = {}
    for name, specular in (("sci", True), ("sce", False)):
        errors = {}
        asked = np.arange(-75, 66, 5)
        for tone in asked:
            melanin = torch.full((2, 2), ita_to_melanin(float(tone), specular=specular))
            nothing = torch.zeros(2, 2)
            rgb = skin(melanin, nothing, nothing, torch.full((2, 2), 0.0075))
            rgb = rgb + (tissue.SPECULAR if specular else 0.0)
            errors[int(tone)] = float(ita(linear_to_lab(rgb[:, 0, 0].double()).numpy()) - tone)
        melanin = [ita_to_melanin(float(tone), specular=specular) for tone in asked]
        figures[name] = {
            "max_abs_error_deg": round(max(abs(e) for e in errors.values()), 3),
            "error_deg": {k: round(v, 3) for k, v in errors.items()},
            "monotone": bool((np.diff(melanin) < 0).all()),
        }
    return figures


def speed() -> dict:
    """Milliseconds on one thread at 256 x 256 (least and median of 100)."""
    started, started_cpu = time.perf_counter(), time.process_time()
    bake()
    baking, baking_cpu = time.perf_counter() - started, time.process_time() - started_cpu
    g = torch.Generator().manual_seed(6)
    side = 256
    melanin, blood = (torch.exp(torch.rand(side, side, generator=g) * 4 - 5) for _ in range(2))
    papillary = torch.rand(side, side, generator=g) * 0.05
    column = torch.arange(side)[None].expand(side, side)
    skin = colour_table().for_light("D65", 0.75)
    rgb = skin(melanin, papillary, papillary * 0, blood)

    def clock(call) -> dict[str, float]:
        call()
        times = []
        for _ in range(100):
            begun = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - begun))
        return {"least": round(min(times), 2), "median": round(float(np.median(times)), 2)}

    figures: dict = {"bake_s": round(baking, 2), "bake_cpu_s": round(baking_cpu, 2)}
    for share in (0.0, 0.2, 1.0):
        deep = torch.where(column < share * side, 0.02, 0.0)
        figures[f"colour_ms_deep_melanin_on_{share:.0%}"] = clock(
            lambda deep=deep: skin(melanin, papillary, deep, blood)
        )
    dermis = (papillary, papillary / 2, blood)
    figures["spread_dermis_ms_field_9_mm"] = clock(lambda: spread_dermis(*dermis, 9 / side))
    for field_mm in (9, 18):
        figures[f"transport_ms_field_{field_mm}_mm"] = clock(
            lambda field_mm=field_mm: lateral_transport(rgb, field_mm / side)
        )
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--issa-spectra", type=Path, help="CSV of single ISSA face spectra, columns R400-R700 in percent"
    )
    parser.add_argument("--per-class", type=int, default=70, help="single spectra of each ITA class at most")
    parser.add_argument("--photons", type=int, default=8_000_000, help="of the reference slab")
    parser.add_argument("--stack-photons", type=int, default=150_000, help="for each wavelength of the random skins")
    parser.add_argument("--stacks", type=int, default=64)
    parser.add_argument("--only", help="one part by name; it goes into eval/results/physics_NAME.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "speed": speed,
        "tone_loop": tone_loop,
        "table_against_solver": lambda: table_against_solver(4000),
        "ten_against_two_nm": lambda: ten_against_two_nm(200),
        "issa": lambda: issa_figures(options.issa_spectra, options.per_class),
        "reference_cases": lambda: reference_cases(options.photons),
        "solver_against_monte_carlo": lambda: solver_against_monte_carlo(options.stacks, options.stack_photons),
    }
    if options.only:
        parts = {options.only: parts[options.only]}
    figures = {}
    for name, part in parts.items():
        started = time.perf_counter()
        figures[name] = part()
        log(f"{name}: {time.perf_counter() - started:.0f} s {str(figures[name])[:2000]}")
    write_result("_".join(["physics", *filter(None, [options.only])]), figures, device="cpu, 1 thread")
