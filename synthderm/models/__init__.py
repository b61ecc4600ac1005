"""Networks and their weights: feature extractors, a compact classifier, a compact segmenter."""

from .checkpoints import load_classifier, load_segmenter
from .features import EXTRACTORS, FeatureExtractor, load_extractor
from .networks import ResNet, UNet

__all__ = ["EXTRACTORS", "FeatureExtractor", "ResNet", "UNet", "load_classifier", "load_extractor", "load_segmenter"]
