"""The data floor: folders of images, read and written."""

from .files import sha256, write_atomic
from .finish import finish_folder
from .manifest import Journal, journal_rows, read_manifest, write_manifest
from .writers import IMAGE_FORMATS, FolderWriter, check_space

__all__ = [
    "IMAGE_FORMATS",
    "FolderWriter",
    "Journal",
    "check_space",
    "finish_folder",
    "journal_rows",
    "read_manifest",
    "sha256",
    "write_atomic",
    "write_manifest",
]
