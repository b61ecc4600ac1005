"""Metadata that says where an image comes from: PNG text, EXIF and XMP with the IPTC digital source type."""

from .png import encode_chunk, png_chunks
from .reading import FoundTags, is_synthetic_source, read_tags
from .record import (
    ALGORITHMIC,
    COMPOSITE,
    DIGITAL_SOURCE_TYPES,
    NO_WATERMARK,
    SYNTHETIC_SOURCE_TYPES,
    TRAINED,
    Tags,
    source_type_of,
)
from .writing import save_arguments

__all__ = [
    "ALGORITHMIC",
    "COMPOSITE",
    "DIGITAL_SOURCE_TYPES",
    "NO_WATERMARK",
    "SYNTHETIC_SOURCE_TYPES",
    "TRAINED",
    "FoundTags",
    "Tags",
    "encode_chunk",
    "is_synthetic_source",
    "png_chunks",
    "read_tags",
    "save_arguments",
    "source_type_of",
]
