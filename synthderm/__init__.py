"""Synthetic dermatology images with exact masks, measured skin tone and a record of every pixel's origin."""

__version__ = "0.1.0"
