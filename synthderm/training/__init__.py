"""Training: compact classifiers and segmenters, from scratch, the same way every time."""

from .augmentation import AUGMENTATIONS, AugmentationRange, augment
from .classifier import ClassifierConfig, predict, train_classifier
from .segmenter import SegmenterConfig, predict_masks, train_segmenter
from .zoo import make_classifier, make_segmenter

__all__ = [
    "AUGMENTATIONS",
    "AugmentationRange",
    "ClassifierConfig",
    "SegmenterConfig",
    "augment",
    "make_classifier",
    "make_segmenter",
    "predict",
    "predict_masks",
    "train_classifier",
    "train_segmenter",
]
