"""Pictures beside a result, as data inside the page."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

from .text import safe

_MOST_PIXELS = 1600


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def picture(folder: Path, name: object, caption: str, alt: str, most: int = _MOST_PIXELS) -> str:
    """A ``<figure>`` with a picture of a result's folder; where it cannot be shown, a line that says why.

    Args:
        folder: of the result.
        name: path inside it, as the JSON tells; a path that leads out of the folder is not opened.
        caption: HTML under the picture.
        alt: what it shows, plain text.
        most: longest side, px; a larger picture is made smaller.
    """
    from PIL import Image

    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return f'<p class="missing">The picture {safe(name)} is not in the folder of the result.</p>'
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return f'<p class="missing">The picture {safe(name)} cannot be read.</p>'
    image.thumbnail((most, most), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88, subsampling=0)
    return (
        f'<figure class="picture"><img src="{data_uri(buffer.getvalue(), "image/jpeg")}" alt="{safe(alt)}" '
        f'width="{image.width}" height="{image.height}" loading="lazy"><figcaption>{caption}</figcaption></figure>'
    )
