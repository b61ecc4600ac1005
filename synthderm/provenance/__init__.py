"""The provenance floor: where images come from, and what must be said with them."""

from .card import dataset_card
from .figures import SetFigures, ToneFigures, set_figures
from .licences import licence_text, write_licences
from .versions import environment

__all__ = [
    "SetFigures",
    "ToneFigures",
    "dataset_card",
    "environment",
    "licence_text",
    "set_figures",
    "write_licences",
]
