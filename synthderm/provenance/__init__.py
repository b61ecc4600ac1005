"""The provenance floor."""
