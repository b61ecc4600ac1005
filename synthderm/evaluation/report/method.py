"""How the figures were measured: protocol, sets, options, versions, and the files themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .layout import panel, panels
from .pictures import data_uri
from .read import Result, mapping
from .tables import listing, table, text_cell
from .text import plain, safe

_TITLES = {"gain": "Training experiment", "quality": "Quality", "audit": "Audit"}


def result_title(result: Result) -> str:
    """The plain name of a result's kind, with its folder."""
    return f"{_TITLES[result.kind]}: {result.name}"


def method_part(result: Result) -> str:
    """Everything that a result says about how it was made."""
    context = dict(mapping(result.part("context")))
    sets = context.pop("sets", None)
    command = context.pop("command", None)
    protocol = result.part("protocol")
    rest = [panel(_title(name), listing(value)) for name, value in context.items() if value not in (None, {}, [])]
    more = {
        name: value
        for name, value in result.body.items()
        if name not in ("kind", "protocol", "context", "figures", "pictures")
    }
    return (
        f"<h3 class='run'>{safe(result_title(result))}</h3>"
        + (f"<p>{safe(protocol)}</p>" if isinstance(protocol, str) else listing(protocol) if protocol else "")
        + (f'<pre class="command">{safe(_command(command))}</pre>' if command else "")
        + panels([_sets_panel(sets), *rest, panel("File", listing(more))])
    )


def _title(name: Any) -> str:
    text = plain(name).replace("_", " ")
    return text[:1].upper() + text[1:]


def _command(command: Any) -> str:
    return " ".join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)


def _sets_panel(sets: Any) -> str:
    """The sets side by side: names, digests, counts."""
    described = {
        role: value if isinstance(value, Mapping) else {"name": value} for role, value in mapping(sets).items()
    }
    names = dict.fromkeys(name for value in described.values() for name in value)
    lines = [
        [
            text_cell(plain(name).replace("_", " "), head=True),
            *(_set_cell(value.get(name)) for value in described.values()),
        ]
        for name in names
    ]
    return panel("Image sets", table("", ["", *described], lines, label="Image sets"), wide=True)


def _set_cell(value: Any) -> str:
    return f'<td class="text wrapped">{safe(value)}</td>'


def raw_part(results: Sequence[Result]) -> str:
    """The result files, to read and to save."""
    return "".join(
        f"<details><summary>{safe(result.kind)}.json of {safe(result.name)}</summary>"
        f'<p><a download="{safe(result.name)}-{result.kind}.json" '
        f'href="{data_uri(result.text.encode(), "application/json")}">Save this file</a></p>'
        f'<pre tabindex="0">{safe_lines(result.text)}</pre></details>'
        for result in results
    )


def safe_lines(text: str) -> str:
    """Several lines of text for HTML."""
    return "\n".join(safe_line(line) for line in text.splitlines())


def safe_line(line: str) -> str:
    """One line for HTML, its indentation kept."""
    kept = line.lstrip(" ")
    return " " * (len(line) - len(kept)) + safe(kept)
