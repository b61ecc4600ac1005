"""The generators floor."""
