"""Floor 0: the words that every other part of the library speaks. Imports nothing from above."""

from .checks import InputError, MissingExtraError, SynthdermError
from .condition import MODALITIES, Condition, Modality
from .diagnosis import DIAGNOSES, Diagnosis, find_diagnosis, parse_diagnoses, parse_diagnosis
from .parameters import ParameterSpec, ParameterValue, check_parameters
from .registry import generator_names, generator_parameters, load_generator
from .sample import HEALTHY_SKIN, LESION, Sample
from .seeds import image_seed, stream
from .tone import MIN_SKIN_B, TONE_BANDS, ToneBand, ita_to_fst, parse_fst, tone_band

__all__ = [
    "DIAGNOSES",
    "HEALTHY_SKIN",
    "LESION",
    "MIN_SKIN_B",
    "MODALITIES",
    "TONE_BANDS",
    "Condition",
    "Diagnosis",
    "InputError",
    "MissingExtraError",
    "Modality",
    "ParameterSpec",
    "ParameterValue",
    "Sample",
    "SynthdermError",
    "ToneBand",
    "check_parameters",
    "find_diagnosis",
    "generator_names",
    "generator_parameters",
    "image_seed",
    "ita_to_fst",
    "load_generator",
    "parse_diagnoses",
    "parse_diagnosis",
    "parse_fst",
    "stream",
    "tone_band",
]
