"""Floor 2: the compact rectified flow, a diffusers pipeline small enough for a processor."""

from .conditions import CLASSES, STYLES, ConditionEncoder, FlowConditions
from .front_end import LappedKLT
from .network import Velocity
from .pipeline import SkinFlowOutput, SkinFlowPipeline

__all__ = [
    "CLASSES",
    "STYLES",
    "ConditionEncoder",
    "FlowConditions",
    "LappedKLT",
    "SkinFlowOutput",
    "SkinFlowPipeline",
    "Velocity",
]
