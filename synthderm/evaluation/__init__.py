"""The evaluator: quality, honesty and downstream gain of a set of synthetic images, and the report."""
