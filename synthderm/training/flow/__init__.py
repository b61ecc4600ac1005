"""Training of the compact flow: a base on simulated images, adapters on real ones."""
