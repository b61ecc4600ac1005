"""``synthderm evaluate quality``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..output import Json, print_json, print_table, progress_bar


def quality(
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTH", help="Folder or zip file of synthetic images.")],
    real: Annotated[Path, typer.Option(metavar="DIR", help="Folder or zip file of real images.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the result.")],
    extractor: Annotated[
        str, typer.Option(help="derm, derm-open, inception, a local folder of a vision model, or module:attr.")
    ] = "derm",
    size: Annotated[
        int | None, typer.Option(help="Bring every image to this side, px; needed where sizes differ.")
    ] = None,
    by: Annotated[str, typer.Option(help="Parts with distances of their own: class,tone, one of them, or none.")] = (
        "class,tone"
    ),
    label_by: Annotated[str, typer.Option(help="diagnosis, label, or a column of the tables.")] = "diagnosis",
    real_split: Annotated[str | None, typer.Option(help="Only this split of the real set.")] = None,
    classifier: Annotated[
        str, typer.Option(help="probe, small, timm:NAME, transformers:FOLDER, module:attr, or none.")
    ] = "probe",
    segmenter: Annotated[
        str, typer.Option(help="A checkpoint, or small or module:attr (trained on real masks), or none.")
    ] = "derm-segmenter",
    require_masks: Annotated[
        bool, typer.Option("--require-masks", help="Refuse a set in which an image lacks its lesion mask.")
    ] = False,
    draws: Annotated[int, typer.Option(help="How often the real set is parted for values and floors.")] = 10,
    halves: Annotated[
        int, typer.Option(help="Half-samples for intervals of precision, recall, density, coverage.")
    ] = 40,
    batch_size: Annotated[int, typer.Option(help="Images in memory at a time; changes no figure.")] = 64,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Also with too few images for a FID.")] = False,
    json: Json = False,
) -> None:
    """Does the set look real, is it diverse, and does it show what was asked for?

    FID, KID, precision, recall, density and coverage beside what real images give against real ones at the same n;
    whether a classifier and a segmenter that know real images agree with labels and masks; measured skin tone.
    Writes quality.json and pictures; features are kept there, a second run is fast.

    \b
    Examples:
      synthderm evaluate quality out/ --real HAM10000/ -o result
      synthderm evaluate quality out/ --real train.zip -o result --size 128 --by class
      synthderm evaluate quality out/ --real train.zip -o result --extractor models/dinov2-small
      synthderm evaluate quality out/ --real train.zip -o result --classifier small --segmenter small
    """  # noqa: D301 - \b keeps the lines of the examples apart
    from synthderm.evaluation.quality import DistanceOptions, QualityOptions
    from synthderm.evaluation.quality import quality as run

    options = QualityOptions(
        by=() if by == "none" else tuple(part.strip() for part in by.split(",")),
        classifier=classifier,
        segmenter=segmenter,
        require_masks=require_masks,
        batch_size=batch_size,
        force=force,
        seed=seed,
        distances=DistanceOptions(draws=draws, halves=halves),
    )
    with Steps() as steps:
        result = run(
            synthetic, real, output, extractor=extractor, size=size, label_by=label_by, real_split=real_split,
            progress=steps, options=options,
        )  # fmt: skip
    if json:
        print_json(result)
    else:
        show(result)
        print(f"wrote {output / 'quality.json'}, pictures in {output / 'pictures'}")


class Steps:
    """A bar on stderr for each step of a long run."""

    def __init__(self) -> None:
        self._name = ""
        self._bar: AbstractContextManager[Callable[[int, int], None]] | None = None
        self._update: Callable[[int, int], None] | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of the step ``name`` are done."""
        if name != self._name or self._update is None:
            self.__exit__()
            self._name, self._bar = name, progress_bar(name)
            self._update = self._bar.__enter__()
        self._update(done, total)


def show(result: Mapping[str, Any]) -> None:
    """Print the figures of a quality result as tables; what a reader must know goes to stderr."""
    figures, context = result["figures"], result["context"]
    _say_what_differs(context["classes"])
    _show_distances(figures["distances"], context["extractor"])
    _show_classes(figures["class_fidelity"])
    _show_tone(figures["tone"])
    _show_masks(figures["masks"])


def _text(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "insufficient"
    interval = figure["interval"]
    ends = f" [{interval[0]:.2g}, {interval[1]:.2g}]" if interval else ""
    return f"{figure['value']:.3g}{ends}"


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return f"insufficient (n = {figure['n'] if figure else 0})"
    interval = figure["interval"]
    ends = f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else ""
    return f"{figure['value']:.1%}{ends} (n = {figure['n']})"


def _say_what_differs(classes: Mapping[str, Any]) -> None:
    for key, where in (("synthetic_only", "the real set lacks"), ("real_only", "the synthetic set lacks")):
        if classes[key]:
            print(f"note: {where} the classes {', '.join(classes[key])}", file=sys.stderr)
    for label, n in classes["real_left_out"].items():
        print(f"note: left out {n} real images with the label {label!r}, which is none of the classes", file=sys.stderr)


def _show_distances(rows: list[Mapping[str, Any]], extractor: Mapping[str, Any]) -> None:
    names = ("fid", "kid", "precision", "recall", "density", "coverage")
    known = [row for row in rows if row["kid"]["value"] is not None]
    lines = []
    for row in known:
        lines.append([_scope(row), row["kid"]["n"], *(_text(row[name]) for name in names)])
        lines.append(["  floor", None, *(_text(row[f"{name}_floor"]) for name in names)])
    title = (
        f"Distances in the features of {extractor['name']}, n synthetic against n real images [95 % interval]; "
        "floor: n real against n real"
    )
    print_table(title, ("images", "n", *names), lines)
    for row in known:
        if row["fid_infinity"]["value"] is not None:
            floor = _text(row["fid_infinity_floor"])
            print(f"FID of {_scope(row)} at infinite n: {_text(row['fid_infinity'])}; floor {floor}")
    small = [f"{_scope(row)} {row['n']}/{row['n_real']}" for row in rows if row["kid"]["value"] is None]
    if small:
        print(f"insufficient (synthetic/real images): {', '.join(small)}")


def _scope(row: Mapping[str, Any]) -> str:
    tone = f"FST {row['fst']}" if row["fst"] else None
    return " ".join(part for part in (row["diagnosis"], tone) if part) or "all"


def _show_classes(section: Mapping[str, Any]) -> None:
    if "synthetic" not in section:
        print(f"\nClass fidelity: {section['note']}")
        return
    held_out = section.get("real_held_out") or {}
    names = list(dict.fromkeys([*section["synthetic"], *section["real"]]))
    rows = [
        [name, _share(section["synthetic"].get(name)), _share(section["real"].get(name)), _share(held_out.get(name))]
        for name in names
    ]
    macro = section["macro"]
    rows.append(["mean of classes", _share(macro["synthetic"]), _share(macro["real"]), ""])
    columns = ["class", "synthetic", "real, other groups", "real, val and test"]
    kept = len(columns) if held_out else len(columns) - 1
    title = f"Share recognised as their class ({section['classifier']['name']}, trained on real images)"
    print_table(title, columns[:kept], [row[:kept] for row in rows])
    print(f"note: {section['note']}", file=sys.stderr)


def _show_tone(section: Mapping[str, Any]) -> None:
    if "confusion" not in section:
        print(f"\nSkin tone: {section['note']}")
        return
    confusion = section["confusion"]
    rows = [
        [name, *counts, _share(section["per_fst"].get(name))]
        for name, counts in zip(confusion["rows"], confusion["counts"], strict=True)
        if sum(counts)
    ]
    title = "Skin tone, requested type against the band of the measured ITA"
    print_table(title, ("requested", *confusion["columns"], "inside the band"), rows)
    where = "; ".join(f"{text} ({n})" for text, n in section["healthy_skin"].items())
    print(f"inside the requested band: {_share(section['share_inside'])}. Measured on: {where}")


def _show_masks(section: Mapping[str, Any]) -> None:
    if "note" in section:
        print(f"\nMasks: {section['note']}")
    names = {
        "boundary_contrast": "contrast across the outline, CIEDE2000",
        "boundary_contrast_shuffled": "the same with masks of other images",
        "dice": "Dice of the segmenter",
    }
    rows = [
        [
            title,
            *(f"{_text(f)} (n = {f['n']})" if (f := section[name].get(role)) else "" for role in ("synthetic", "real")),
        ]
        for name, title in names.items()
        if name in section
    ]
    if rows:
        print_table("Masks", ("", "synthetic", "real"), rows)
