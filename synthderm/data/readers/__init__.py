"""Reading public data sets: which one it is is found out from its table, and said."""

from .read import READERS, read_dataset

__all__ = ["READERS", "read_dataset"]
