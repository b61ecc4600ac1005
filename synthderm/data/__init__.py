"""The data floor: folders of images, read and written."""

from .files import sha256, write_atomic
from .finish import finish_folder
from .images import open_image
from .manifest import Journal, journal_rows, read_manifest, write_manifest
from .plan_file import read_plan, write_plan
from .planning import Plan, PlanCell, make_plan
from .readers import READERS, read_dataset
from .records import LeftOut, Note, RealSet, Record
from .tone_table import ToneTable, format_table, tone_table
from .writers import IMAGE_FORMATS, FolderWriter, check_space

__all__ = [
    "IMAGE_FORMATS",
    "READERS",
    "FolderWriter",
    "Journal",
    "LeftOut",
    "Note",
    "Plan",
    "PlanCell",
    "RealSet",
    "Record",
    "ToneTable",
    "check_space",
    "finish_folder",
    "format_table",
    "journal_rows",
    "make_plan",
    "open_image",
    "read_dataset",
    "read_manifest",
    "read_plan",
    "sha256",
    "tone_table",
    "write_atomic",
    "write_manifest",
    "write_plan",
]
