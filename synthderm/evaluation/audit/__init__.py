"""Is a set of synthetic images honest: copies, shortcuts in the background, leaks, and what says it is synthetic."""

from .options import AuditOptions
from .run import audit

__all__ = ["AuditOptions", "audit"]
