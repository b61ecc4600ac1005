"""The figures of ``eval/README.md`` and ``README.md``, from ``eval/results``: python eval/summary.py [--write].

Without ``--write`` the tables are printed. The test suite compares the tables in the documents with this script's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
FRONT_PAGE = HERE.parent / "README.md"
BEGIN, END = "<!-- {}: python eval/summary.py --write -->", "<!-- end of {} -->"
Row = tuple[str, str, str, str]

GAINS = {
    "gain_real": "simulated",
    "gain_flow_dermoscopy": "flow (dermoscopy)",
    "gain_flow_dermoscopy-open": "flow (dermoscopy-open)",
}
"""Results of ``eval/gain_real.py``, and what their synthetic images are."""


def result(name: str) -> dict[str, Any] | None:
    """The record of one evaluation, or None if it has not been run."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def rows() -> list[Row]:
    """(what, figure, target of the design, result file) of everything that has been measured."""
    makers = (
        _solver,
        _table,
        _people,
        _transport,
        _tone,
        _speed,
        _realism,
        _segmentation,
        _checkpoints,
        _gain,
        _gain_differences,
        _agreement,
        _degradations,
        _null,
        _audit_copies,
        _audit_shortcut,
        _audit_leakage,
        _coverage,
        _metric_speed,
        _flow_distance,
        _flow_fidelity,
        _flow_rest,
    )
    return [row for make in makers for row in make()]


def _solver() -> list[Row]:
    cases, stacks = result("physics_reference_cases"), result("physics_solver_against_monte_carlo")
    found: list[Row] = []
    if cases:
        name, cases = "physics_reference_cases", cases["figures"]["reference_cases"]
        slab, half = cases["van_de_hulst"], cases["giovanelli_with_specular"]
        rd, se = slab["monte_carlo"][0], slab["monte_carlo_standard_error"]
        found.append(("van de Hulst slab, Monte Carlo Rd", f"{rd} ± {se:.5f}", ".09739 within 3 se, se ≤ 1e-4", name))
        found.append(("Giovanelli half space, Monte Carlo", f"{half['monte_carlo']}", ".2600 ± .0006", name))
        found.append(("the same, solver with 16 streams", f"{half['solver_16']}", ".2600 ± 1e-4", name))
    if stacks:
        name, stacks = "physics_solver_against_monte_carlo", stacks["figures"]["solver_against_monte_carlo"]
        de = stacks["streams_16"]["de00"]
        found.append((f"solver against Monte Carlo, {de['n']} stacks, max dE00", f"{de['max']}", "≤ 0.10", name))
    return found


def _table() -> list[Row]:
    physics = result("physics")
    if not physics:
        return []
    de = physics["figures"]["table_against_solver"]["skin_and_lesions"]["against_8_streams"]
    loop = physics["figures"]["tone_loop"]["sci"]["max_abs_error_deg"]
    return [
        ("colour table against solver, mean / max dE00", f"{de['mean']} / {de['max']}", "≤ .15 / .7", "physics"),
        ("requested ITA against rendered, neutral camera, max", f"{loop} deg", "≤ 3 deg", "physics"),
    ]


def _people() -> list[Row]:
    physics = result("physics")
    if not physics:
        return []
    issa = physics["figures"]["issa"]
    one = issa["one_parameter"]["arm_and_face"]
    found: list[Row] = [
        (
            "ISSA mean skin, melanin alone, 20 bins, mean / max dE00",
            f"{one['mean']} / {one['max']}",
            "≤ 1.5 / 2.7",
            "physics",
        )
    ]
    faces = issa["five_parameters_individual_faces"]["physiological"]["by_class"]
    for name, de in faces.items():
        figure = f"{de['median']} ({de['share_below_2']:.0%} below 2, n = {de['n']})"
        found.append((f"ISSA faces, {name}: median dE00, five parameters", figure, "≤ 1.0 pooled", "physics"))
    return found


def _transport() -> list[Row]:
    fit = result("fit_transport")
    if not fit:
        return []
    return [
        (
            f"spread of light against 3-D Monte Carlo, {group}",
            f"{models['both steps, constants of the package']['relative_rmse']:.3f}"
            f" (table alone {models['table alone']['relative_rmse']:.2f})",
            "≤ .08" if group == "epidermis, light" else "none set",
            "fit_transport",
        )
        for group, models in fit["figures"]["by_group"].items()
    ]


def _tone() -> list[Row]:
    tone = result("tone")
    if not tone:
        return []
    return [
        (
            f"{modality}, type {key[-1]}: measured inside the requested band, before any redraw",
            f"{value['share_inside']:.1%} of {value['n']}",
            "≥ 95 %",
            "tone",
        )
        for modality, types in tone["figures"].items()
        for key, value in types.items()
    ]


def _speed() -> list[Row]:
    speed = result("speed")
    if not speed:
        return []
    targets = {"dermoscopy_128": "≥ 29", "dermoscopy_256": "≥ 12"}
    figures = speed["figures"]
    found: list[Row] = [
        (f"{key.replace('_', ' ')} px, all masks, images per second and core", f"{value['images_per_core_second']}",
         targets.get(key, "none set"), "speed")
        for key, value in figures.items() if "images_per_core_second" in value
    ]  # fmt: skip
    memory = " / ".join(str(v) for v in figures["memory_128px"].values())
    return [*found, ("peak memory after 40 / 400 images", f"{memory} MB", "flat", "speed")]


def _realism() -> list[Row]:
    realism = result("realism")
    if not realism:
        return []
    return [
        (f"Frechet distance to real HAM10000: {name}", f"{value['frechet']} (n = {value['n']})", "none set", "realism")
        for name, value in realism["figures"].items()
        if isinstance(value, dict) and "frechet" in value
    ]


def _flow_distance() -> list[Row]:
    found: list[Row] = []
    for part, target in (("distance", "flow: at most twice the floor"), ("steps", "8 steps: within 10 % of 40")):
        record = result(f"flow_{part}")
        for name, value in record["figures"].items() if record else ():
            figure = f"{value['frechet']:.2f} / {value['kid']:.4f} (n = {value['n']})"
            figure += f", {value['ms_per_image']:.0f} ms per image and core" if "ms_per_image" in value else ""
            what = f"Frechet distance / KID to HAM10000 hold-out images, no gate: {name}"
            found.append((what, figure, target, f"flow_{part}"))
    return found


def _flow_fidelity() -> list[Row]:
    record = result("flow_fidelity")
    if not record:
        return []
    figures = record["figures"]
    shares = [(name, value["balanced"]) for name, value in figures.items() if name.startswith("recognised")]
    found: list[Row] = [
        (f"class {name}, mean of the classes", f"{value:.3f}", "flow: 0.9 of the real images", "flow_fidelity")
        for name, value in shares
    ]
    n, inside, accepted = figures["n"], figures["inside the band, before gates"], figures["accepted by all gates"]
    return [
        *found,
        ("flow, seven classes x six types: tone inside its band, before gates", f"{inside:.1%} of {n}", "none set",
         "flow_fidelity"),
        ("flow, the same: accepted by all gates at the first draw", f"{accepted:.1%} of {n}", "≥ 70 %",
         "flow_fidelity"),
    ]  # fmt: skip


def _flow_rest() -> list[Row]:
    masks, copies, speed = result("flow_masks"), result("flow_copies"), result("flow_speed")
    found: list[Row] = []
    for name, value in masks["figures"].items() if masks else ():
        figure = f"{value['mean']:.3f} (median {value['median']:.3f}, n = {value['n']})"
        found.append((f"mean Dice, {name}", figure, "none set", "flow_masks"))
    for name, value in copies["figures"].items() if copies else ():
        if isinstance(value, dict):
            figure = f"{value['share above the 1 % threshold']:.1%} of {value['n']}"
            found.append((f"above the 1 % threshold of the copy detector: {name}", figure, "≤ 1 %", "flow_copies"))
    for name, value in speed["figures"].items() if speed else ():
        if "wall_s" in value:
            figure = f"{value['wall_s']} s"
            what = f"{value['images']} images of 128 px with masks and files, two processes: {name}"
            found.append((what, figure, "< 90 s" if name == "flow" else "none set", "flow_speed"))
    return found


def _segmentation() -> list[Row]:
    segmentation = result("segmentation")
    if not segmentation:
        return []
    return [
        (
            f"U-Net trained on {arm} ({len(value['by_seed'])} seed), scored on 775 real masks: mean Dice",
            f"{value['mean_dice']:.3f} ({value['interval_95'][0]:.3f} to {value['interval_95'][1]:.3f})",
            "at least real-100" if arm == "simulated" else "none set",
            "segmentation",
        )
        for arm, value in segmentation["figures"].items()
        if isinstance(value, dict) and "mean_dice" in value
    ]


def _checkpoints() -> list[Row]:
    found: list[Row] = []
    for name in ("derm", "derm-open", "derm-segmenter"):
        record = result(f"checkpoint_{name}")
        for dataset, values in (record["figures"] if record else {}).items():
            shown = [
                f"{key.replace('_', ' ')} {value:.3f}" for key, value in values.items() if isinstance(value, float)
            ]
            what = f"checkpoint {name}, validation split of {dataset} (n = {values['n']})"
            found.append((what, ", ".join(shown), "none set", f"checkpoint_{name}"))
    return found


def _interval(figure: dict[str, Any], sign: str = "") -> str:
    """A figure of an evaluation with its interval."""
    if figure["value"] is None:
        return f"insufficient (n = {figure['n']})"
    low, high = figure["interval"] or (float("nan"),) * 2
    return f"{figure['value']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _gain() -> list[Row]:
    return [
        (
            f"{arm['n_real']} real images, {_arm(arm['arm'], source)}, {arm['n_seeds']} seeds: balanced accuracy; "
            "macro AUROC",
            "; ".join(_interval(arm["scores"][score]) for score in ("balanced_accuracy", "macro_auroc")),
            "none set",
            name,
        )
        for name, source in GAINS.items()
        for arm in _gain_figures(name, "arms")
    ]


def _gain_differences() -> list[Row]:
    return [
        (
            f"{row['n_real']} real images: {_arm(row['arm'], source)} less {row['against']}, "
            f"{row['score'].replace('_', ' ')}",
            f"{_interval(row['difference'], '+')}: {row['verdict']}",
            "an interval above 0",
            name,
        )
        for name, source in GAINS.items()
        for row in _gain_figures(name, "differences")
        if row["fst"] is None and row["score"] in ("balanced_accuracy", "macro_auroc") and "synthetic" in row["arm"]
    ]


def _gain_figures(name: str, part: str) -> list[dict[str, Any]]:
    record = result(name)
    return record["figures"][part] if record else []


def _arm(name: str, source: str) -> str:
    """The name of an arm with the source of its synthetic images."""
    return name.replace("synthetic", source)


def _agreement() -> list[Row]:
    agreement = result("agreement")
    return [
        (
            f"{name.replace('_', ' ')} against {value['other']}: largest relative difference",
            f"{value['largest_relative_difference']:.1e}",
            f"≤ {value['aim']:g}",
            "agreement",
        )
        for name, value in (agreement["figures"] if agreement else {}).items()
        if "largest_relative_difference" in value and not name.endswith("_weighted")
    ]


def _degradations() -> list[Row]:
    found: list[Row] = []
    for name in ("derm", "derm-open"):
        record = result(f"degradations_{name}")
        if record:
            totals = record["figures"]["totals"]
            turned = f"{totals['inversions']} inversions in {totals['pairs']} pairs"
            figure = f"{totals['in_order']} of {totals['kinds']} ({turned})"
            what = f"{name}: kinds of damage whose four levels the Frechet distance puts in order"
            found.append((what, figure, "all", f"degradations_{name}"))
    return found


def _null() -> list[Row]:
    null = result("gain_null")
    aims = {"null": "≤ .05", "new": "none set"}
    return [
        (
            f"{name.split('_')[0]} set called a gain, {value['repetitions']} repetitions, {score.replace('_', ' ')}",
            _interval(figures["gain"]),
            aims[name.split("_")[0]],
            "gain_null",
        )
        for name, value in (null["figures"] if null else {}).items()
        for score, figures in value["scores"].items()
    ]


def _audit_copies() -> list[Row]:
    audit = result("audit_controls")
    copies = audit["figures"].get("copies") if audit else None
    if not copies:
        return []
    found: list[Row] = []
    for name in ("all hold-out images", "without the same lesions"):
        detail = copies[name]["aligned detail"]
        head = f"copies, {name}, threshold for {copies['rate']:.0%}"
        found.append((f"{head}: false alarms", _interval(detail["false_alarms"]), "≤ .01", "audit_controls"))
        found += [
            (f"{head}: found after {change}", _interval(recall), "none set", "audit_controls")
            for change, recall in detail["recall"].items()
        ]
    return found


def _audit_shortcut() -> list[Row]:
    audit = result("audit_controls")
    shortcut = audit["figures"].get("shortcut") if audit else None
    return [
        (
            f"class from the background alone, AUC: {name}",
            f"{value['auc']:.3f} ({value['interval'][0]:.3f} to {value['interval'][1]:.3f})",
            "about .5" if "clean" in name else "none set",
            "audit_controls",
        )
        for name, value in (shortcut or {}).items()
        if isinstance(value, dict) and "auc" in value
    ]


def _coverage() -> list[Row]:
    found: list[Row] = []
    for part in ("difference", "distances", "proportions"):
        record = result(f"coverage_{part}")
        for cell, statistics in (record["figures"] if record else {}).items():
            for score, kinds in statistics.items():
                for kind, value in kinds.items() if isinstance(kinds, dict) else ():
                    if isinstance(value, dict) and "coverage" in value:
                        what = f"coverage of 95 % intervals, {cell}, {score}, {kind}".replace("_", " ")
                        shown = f"{value['coverage']:.3f} of {value['experiments']}"
                        aim = ".93 to .97" if kind != "percentile" else "none: shown for comparison"
                        found.append((what, shown, aim, f"coverage_{part}"))
    return found


def _audit_leakage() -> list[Row]:
    audit = result("audit_controls")
    leakage = audit["figures"].get("leakage") if audit else None
    return [
        (
            f"verdict of the audit, {name}",
            f"{value['verdict']} (exact {value['found']['exact_synthetic_and_test']}, "
            f"near {value['found']['near_synthetic_and_test']} of {value['n']})",
            "fail" if "hidden" in name else "not fail",
            "audit_controls",
        )
        for name, value in (leakage or {}).items()
        if isinstance(value, dict) and "verdict" in value
    ]


def _metric_speed() -> list[Row]:
    record, name = result("metric_speed"), "metric_speed"
    if not record:
        return []
    speed = record["figures"]["speed"]
    what = f"FID, KID and PRDC of {speed['images_per_set']} + {speed['images_per_set']} images, processor seconds"
    return [
        (what, f"{speed['ours_fid_kid_prdc_total']:.1f}", "none set", name),
        ("torchmetrics' FID and KID of the same", f"{speed['torchmetrics_fid_kid_total']:.1f}", "none set", name),
        (
            "the same, if both shared one extraction",
            f"{speed['torchmetrics_fid_kid_total_less_one_extraction']:.1f}",
            "none set",
            name,
        ),
        (
            "images per processor second through the derm extractor",
            f"{speed['features_per_cpu_second']:.0f}",
            "none set",
            name,
        ),
    ]


def table() -> str:
    """The table in Markdown."""
    head = "| what | measured | aim | file in `results/` |\n|---|---|---|---|\n"
    return head + "".join(f"| {what} | {figure} | {aim} | `{name}.json` |\n" for what, figure, aim, name in rows())


def gain_table() -> str:
    """What synthetic images do for a classifier, in Markdown; arms without any stand once."""
    lines = [
        "| real images | arm | balanced accuracy | macro AUROC | balanced accuracy less replay's |",
        "|---|---|---|---|---|",
    ]
    for name, source in GAINS.items():
        against = {
            (row["n_real"], row["arm"]): row
            for row in _gain_figures(name, "differences")
            if row["fst"] is None and row["score"] == "balanced_accuracy" and row["against"].startswith("real+replay@")
        }
        for arm in _gain_figures(name, "arms"):
            row = against.get((arm["n_real"], arm["arm"]))
            told = f"{_interval(row['difference'], '+')}: {row['verdict']}" if row else ""
            scores = [_interval(arm["scores"][score]) for score in ("balanced_accuracy", "macro_auroc")]
            lines.append(f"| {arm['n_real']} | {_arm(arm['arm'], source)} | {' | '.join(scores)} | {told} |")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def flow_table() -> str:
    """How near the images of the flow come to real ones, in Markdown."""
    record = result("flow_distance")
    keys = ("frechet", "kid", "precision", "recall", "coverage")
    lines = ["| images | Frechet distance | KID | precision | recall | coverage |", "|---|---|---|---|---|---|"]
    for name, value in record["figures"].items() if record else ():
        lines.append(f"| {name} | {' | '.join(f'{value[key]:.3g}' for key in keys)} |")
    return "\n".join(lines) + "\n"


def _between(text: str, name: str, content: str) -> str:
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{content}\n{end}{rest.split(end)[1]}"


def documents() -> dict[Path, str]:
    """``eval/README.md`` and ``README.md`` with the present tables."""
    front = _between(FRONT_PAGE.read_text(), "gain", gain_table())
    return {
        README: _between(README.read_text(), "figures", table()),
        FRONT_PAGE: _between(front, "flow", flow_table()),
    }


def main() -> None:
    """Print the tables, or put them into the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="update eval/README.md and README.md")
    if parser.parse_args().write:
        for path, text in documents().items():
            path.write_text(text)
    else:
        print(table(), gain_table(), flow_table(), sep="\n")


if __name__ == "__main__":
    main()
