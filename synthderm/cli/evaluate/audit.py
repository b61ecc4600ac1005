"""``synthderm evaluate audit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..output import Json, print_json, print_table
from .quality import Steps

STOPPED = 3
_SHOWN = 10


def audit(
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTH", help="Folder or zip file of synthetic images.")],
    train: Annotated[Path, typer.Option(metavar="DIR", help="Real images that the generator has seen.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the result.")],
    test: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Real test images: look for leaks into them.")
    ] = None,
    train_split: Annotated[str | None, typer.Option(help="Only this split of --train is training images.")] = None,
    hold_out_split: Annotated[
        str | None, typer.Option(help="Split of --train that sets the copy threshold; else 15 % of its groups do.")
    ] = None,
    test_split: Annotated[str | None, typer.Option(help="Only this split of --test.")] = None,
    exclude_hold_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of hold-out images, one per line, that are left out.")
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="derm, derm-open, inception, a local folder, module:attr, or none.")
    ] = "derm",
    false_alarm_rate: Annotated[float, typer.Option(help="Share of new real images that may be called copies.")] = 0.01,
    size: Annotated[
        int | None, typer.Option(help="Bring every image to this side, px; needed where sizes differ.")
    ] = None,
    label_by: Annotated[str, typer.Option(help="diagnosis, label, or a column of the tables.")] = "diagnosis",
    pairs: Annotated[int, typer.Option(help="Most alike pairs that are written as pictures.")] = 12,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Also with too few hold-out images, at the finest rate they allow.")
    ] = False,
    json: Json = False,
) -> None:
    """Is the set honest: copies of training images, backgrounds that tell the class, leaks of test images?

    The copy threshold is set on real images of other lesions or patients. Look at the pictures of hold-out pairs: where
    they show one lesion twice, the real set leaks, and --exclude-hold-out makes the threshold sharper.

    Exit status: 0 pass or warn, 3 fail, 2 an error.

    \b
    Examples:
      synthderm evaluate audit out/ --train HAM10000/ -o result
      synthderm evaluate audit out/ --train train.zip --hold-out-split val -o result --size 128
      synthderm evaluate audit out/ --train train/ --test test/ -o result
    """  # noqa: D301
    from synthderm.evaluation.audit import AuditOptions
    from synthderm.evaluation.audit import audit as run

    options = AuditOptions(
        false_alarm_rate=false_alarm_rate,
        hold_out_exclude=_names(exclude_hold_out),
        pairs=pairs,
        seed=seed,
        force=force,
    )
    with Steps() as steps:
        result = run(
            synthetic, train, output, test=test, train_split=train_split, hold_out_split=hold_out_split,
            test_split=test_split, extractor=None if extractor == "none" else extractor, size=size, label_by=label_by,
            options=options, progress=steps,
        )  # fmt: skip
    if json:
        print_json(result)
    else:
        show(result["figures"])
        print(f"wrote {output / 'audit.json'}, pictures in {output / 'pictures'}")
    if result["figures"]["verdict"] == "fail":
        raise typer.Exit(STOPPED)


def _names(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def show(figures: Mapping[str, Any]) -> None:
    """Print a result: the tables of its sections, then the verdict with its reasons."""
    copies, shortcut = figures["copies"], figures["shortcut"]
    features = copies["features"] or {"share": None, "threshold": None}
    rows = [
        ["aligned detail (decides)", _share(copies["share"]), _number(copies["threshold"])],
        ["perceptual hash", _share(copies["perceptual_hash"]["share"]), copies["perceptual_hash"]["threshold_bits"]],
        ["feature distance", _share(features["share"]), _number(features["threshold"])],
        ["pixel for pixel", copies["exact"], ""],
    ]
    rate, n = copies["false_alarm_rate"], copies["hold_out_n"]
    title = f"Copies of training images, false-alarm rate {rate:.2g} set on {n} hold-out images"
    print_table(title, ("by", "share of the synthetic images", "threshold"), rows)
    print(
        f"false alarms on hold-out images that did not set the threshold: {_share(copies['hold_out']['false_alarms'])}"
    )
    rows = [["all classes", _auc(shortcut["synthetic"]), _auc(shortcut["real"])]]
    rows += [[name, _auc(row["synthetic"]), _auc(row["real"])] for name, row in shortcut["per_class"].items()]
    print_table("Class told from the background alone, AUC (0.5: chance)", ("", "synthetic", "real"), rows)
    print(f"seen: {shortcut['seen']}")
    _show_leakage(figures["leakage"])
    mark = figures["watermark"]
    print(f"\nWatermark: {mark['reason'] if not mark['checked'] else _share(mark['share'])}")
    print(f"rows that say the image is synthetic: {_share(mark['metadata_says_synthetic'])}")
    print(f"\nVerdict: {figures['verdict']}")
    for reason in figures["reasons"]:
        print(f"  {reason}")


def _show_leakage(leakage: Mapping[str, Any]) -> None:
    if leakage.get("checked") is False:
        print(f"\nLeakage: {leakage['reason']}")
        return
    found = {name: items for name, items in leakage.items() if isinstance(items, Sequence)}
    rows = [[name.replace("_", " "), len(items)] for name, items in found.items()]
    print_table("Leakage", ("", "found"), rows)
    for name, items in found.items():
        for item in items[:_SHOWN]:
            print(
                f"  {name.replace('_', ' ')}: {' = '.join(map(str, item.values())) if isinstance(item, dict) else item}"
            )
        if len(items) > _SHOWN:
            print(f"  {name.replace('_', ' ')}: {len(items) - _SHOWN} more in audit.json")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    if figure["value"] is None:
        return f"insufficient (n = {figure['n']})"
    low, high = figure["interval"]
    return f"{figure['value']:.2%} ({low:.2%} to {high:.2%}, n = {figure['n']})"


def _auc(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "" if figure is None else f"insufficient (n = {figure['n']})"
    ends = figure["interval"]
    return f"{figure['value']:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f}, n = {figure['n']})" if ends else "")
