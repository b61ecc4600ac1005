"""The simulator floor."""
