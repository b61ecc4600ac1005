"""The page of a finished folder: one HTML file that needs nothing beside it."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import yaml
from PIL import Image

from synthderm.provenance.card import TITLE, class_names, set_facts
from synthderm.provenance.figures import set_figures

from .charts import panels
from .contact_sheet import outline, tile_pixels
from .images import open_image
from .layout import Layout, arrange, caption, spread

Row = Mapping[str, Any]

_LESION_COLOUR = (0, 229, 255)
_COLOURS = (  # bright, so that they stand out on skin of any tone
    *((255, 214, 10), (255, 45, 146), (48, 209, 88), (191, 90, 242), (255, 159, 10), (10, 132, 255)),
    *((255, 69, 58), (172, 255, 60), (0, 199, 190), (255, 170, 220), (94, 92, 230), (255, 255, 150)),
    *((130, 255, 200), (214, 122, 60), (150, 190, 255), (200, 200, 200), (120, 160, 20), (255, 120, 120)),
)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def _thumbnail(root: Path, row: Row, size: int) -> str:
    buffer = io.BytesIO()
    tile_pixels(root, row, size).save(buffer, format="JPEG", quality=82)
    return _data_uri(buffer.getvalue(), "jpeg")


def _overlay(root: Path, row: Row, column: str, size: int, colour: tuple[int, int, int]) -> str | None:
    """A mask as a small transparent PNG: the lesion as an outline, any other filled; None if it is empty."""
    mask = open_image(root / row[column]).convert("L")
    inside = np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)) > 127
    if not inside.any():
        return None
    shown = outline(inside) if column == "mask_file_name" else inside
    image = Image.fromarray(shown.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, *colour])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", bits=1, transparency=bytes([0, 255 if column == "mask_file_name" else 150]))
    return _data_uri(buffer.getvalue(), "png")


def _mask_columns(rows: Sequence[Row]) -> dict[str, tuple[str, str, tuple[int, int, int]]]:
    """Column -> (CSS name, label, colour) of the masks in a set."""
    names = [name for name in (rows[0] if rows else ()) if name.endswith("_file_name")]
    found = {}
    for i, name in enumerate(names):
        plain = name.removesuffix("_file_name").removeprefix("attribute_")
        label = "lesion outline" if name == "mask_file_name" else plain.replace("_", " ")
        found[name] = (
            f"m{i}",
            label,
            _LESION_COLOUR if plain == "mask" else _COLOURS[(i - 1) % len(_COLOURS)],
        )
    return found


def _figure(root: Path, row: Row, size: int, masks: Mapping[str, Any], varied: str | None) -> str:
    first, second = (escape(text) for text in caption(row, varied))
    pictures = [f'<img src="{_thumbnail(root, row, size)}" alt="{first}" loading="lazy">']
    for column, (name, label, colour) in masks.items():
        if row.get(column) and (uri := _overlay(root, row, column, size, colour)):
            pictures.append(f'<img class="{name}" src="{uri}" alt="{escape(label)}">')
    link = escape(str(row["file_name"]), quote=True)
    return (
        f'<figure><a href="{link}">{"".join(pictures)}</a>'
        f'<figcaption>{first}<br><span class="quiet">{second}</span></figcaption></figure>'
    )


def _lines(layout: Layout, figure: Callable[[Row], str]) -> str:
    """The lines of a layout under their headings; in columns of their own where these have a meaning."""
    style = f' style="grid-template-columns:repeat({len(layout.columns)},minmax(0,1fr))"' if layout.columns else ""
    head = "".join(f"<b>{escape(name)}</b>" for name in layout.columns)
    groups: dict[str, list[str]] = {}
    heading = ""
    for label, line in layout.lines:
        heading = label or heading
        groups.setdefault(heading, []).extend("<i></i>" if row is None else figure(row) for row in line)
    return "".join(
        f'<h3>{escape(label)}</h3><div class="line"{style}>{head}{"".join(figures)}</div>'
        for label, figures in groups.items()
    )


def _gallery(root: Path, rows: Sequence[Row], size: int) -> tuple[str, str]:
    """The toggles with the images, and the style rules that the toggles need."""
    masks = _mask_columns(rows)
    layout = arrange(rows, columns=max(len(rows), 1), limit=len(rows))
    inputs = "".join(f'<input class="show" type="checkbox" id="{name}">' for name, _, _ in masks.values())
    labels = "".join(
        f'<label for="{name}"><b style="background:rgb{colour}"></b>{escape(label)}</label>'
        for name, label, colour in masks.values()
    )
    rules = "\n".join(
        f"#{name}:checked ~ main .{name} {{ visibility: visible; }} "
        f"#{name}:checked ~ .toggles label[for={name}] {{ border-color: var(--accent); font-weight: 600; }}"
        for name, _, _ in masks.values()
    )
    body = _lines(layout, lambda row: _figure(root, row, size, masks, layout.varied))
    toggles = f'<div class="toggles"><span class="quiet">Show masks:</span>{labels}</div>' if masks else ""
    return f"{inputs}{toggles}<main>{body}</main>", rules


def index_html(
    rows: Sequence[Row],
    root: str | Path,
    *,
    recipe: Mapping[str, Any],
    summary: Mapping[str, Any],
    licences: Sequence[str],
    attribution: Sequence[str],
    environment: Mapping[str, Any],
    title: str = TITLE,
    limit: int = 200,
    tile: int = 168,
) -> str:
    """One HTML page with inline style and pictures, no script and no address outside the folder.

    Args:
        rows: the manifest, in the order of its index.
        root: the output folder.
        recipe: the resolved recipe.
        summary: further figures of the run, shown as they are.
        licences: SPDX names.
        attribution: lines that must travel with the images.
        environment: see :func:`synthderm.provenance.environment`.
        title: the heading.
        limit: most images on the page, spread evenly over class x tone; one takes 5 to 15 kB.
        tile: size of the embedded thumbnails, px.

    Raises:
        InputError: if an image file is missing or damaged.
    """
    root, figures = Path(root), set_figures(rows)
    shown = spread(rows, limit)
    gallery, rules = _gallery(root, shown, tile)
    facts = set_facts(figures, recipe, summary, licences, environment)
    some = f"{len(shown)} of {figures.n} images, spread evenly over classes and tones." if shown != list(rows) else ""
    template = files("synthderm.data").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(title),
        subtitle=escape(f"{figures.n} images: {', '.join(class_names(figures).values())}"),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items()),
        panels=panels(figures, rows),
        shown=f"{some} An image links to its file.".strip(),
        gallery=gallery,
        toggle_rules=rules,
        licence="<ul>" + "".join(f"<li>{escape(line)}</li>" for line in [*licences, *attribution]) + "</ul>",
        recipe=escape(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)),
    )
