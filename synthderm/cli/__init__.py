"""Floor 7: the command line. Commands only parse and call; what is heavy is imported inside them."""

from .app import app, main

__all__ = ["app", "main"]
