"""The data floor: folders of images, read and written."""

from .contact_sheet import contact_sheet
from .dataset import FolderDataset, collate
from .export import to_coco, to_isic, to_webdataset
from .files import sha256, write_atomic
from .finish import finish_folder
from .images import open_image
from .inspection import find_tones
from .manifest import Journal, journal_rows, read_manifest, write_manifest
from .page import index_html
from .plan_file import read_plan, write_plan
from .planning import Plan, PlanCell, make_plan
from .readers import READERS, read_dataset
from .records import LeftOut, Note, RealSet, Record
from .splits import split_by_group
from .tone_table import ToneTable, format_table, tone_table
from .writers import IMAGE_FORMATS, FolderWriter, check_space

__all__ = [
    "IMAGE_FORMATS",
    "READERS",
    "FolderDataset",
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
    "collate",
    "contact_sheet",
    "find_tones",
    "finish_folder",
    "format_table",
    "index_html",
    "journal_rows",
    "make_plan",
    "open_image",
    "read_dataset",
    "read_manifest",
    "read_plan",
    "sha256",
    "split_by_group",
    "to_coco",
    "to_isic",
    "to_webdataset",
    "tone_table",
    "write_atomic",
    "write_manifest",
    "write_plan",
]
