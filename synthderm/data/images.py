"""Opening image files that nobody has checked; the code stands in :mod:`synthderm.core.images`."""

from synthderm.core.images import (
    FORMATS,
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    OpenedImage,
    check_header,
    is_image_name,
    open_image,
    open_mask,
    read_image,
)

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "OpenedImage",
    "check_header",
    "is_image_name",
    "open_image",
    "open_mask",
    "read_image",
]
