"""Looks for the mark and for metadata of origin in files, folders, zip and tar files."""

from .results import FileResult, FileVerdict, Summary, json_pieces
from .run import Check, check

__all__ = ["Check", "FileResult", "FileVerdict", "Summary", "check", "json_pieces"]
