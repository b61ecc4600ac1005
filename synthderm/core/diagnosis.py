"""The seven diagnoses, their ISIC names and the spellings under which data sets know them."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import unknown


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis.

    Attributes:
        code: HAM10000 code, the name used everywhere in this library (``"mel"``).
        name: plain name (``"melanoma"``).
        isic_2018: column of the ISIC 2018 task 3 table (``"MEL"``).
        diagnosis_1: ISIC archive hierarchy, first level: Benign, Indeterminate or Malignant.
        diagnosis_2: second level.
        diagnosis_3: third level.
        aliases: other spellings that are accepted, lower case.
    """

    code: str
    name: str
    isic_2018: str
    diagnosis_1: str
    diagnosis_2: str
    diagnosis_3: str
    aliases: tuple[str, ...]

    @property
    def malignant(self) -> bool:
        """Whether the diagnosis is malignant (actinic keratosis counts as indeterminate, not malignant)."""
        return self.diagnosis_1 == "Malignant"


DIAGNOSES: dict[str, Diagnosis] = {
    d.code: d
    for d in (
        Diagnosis(
            "nv",
            "melanocytic nevus",
            "NV",
            "Benign",
            "Benign melanocytic proliferations",
            "Nevus",
            (
                "nevus",
                "naevus",
                "nevi",
                "naevi",
                "nev",
                "mole",
                "melanocytic naevus",
                "benign nevus",
                "melanocytic nevi",
                "common nevus",
                "atypical nevus",
                "dysplastic nevus",
            ),
        ),
        Diagnosis(
            "mel",
            "melanoma",
            "MEL",
            "Malignant",
            "Malignant melanocytic proliferations (Melanoma)",
            "Melanoma, NOS",
            ("malignant melanoma", "mm", "melanoma in situ", "melanoma invasive", "melanomas"),
        ),
        Diagnosis(
            "bcc",
            "basal cell carcinoma",
            "BCC",
            "Malignant",
            "Malignant epidermal proliferations",
            "Basal cell carcinoma",
            ("basal-cell carcinoma", "basalioma", "basal cell carcinomas", "basal cell"),
        ),
        Diagnosis(
            "akiec",
            "actinic keratosis / intraepithelial carcinoma",
            "AKIEC",
            "Indeterminate",
            "Indeterminate epidermal proliferations",
            "Solar or actinic keratosis",
            (
                "actinic keratosis",
                "actinic keratoses",
                "solar keratosis",
                "ak",
                "ack",
                "aks",
                "bowen",
                "bowen's disease",
                "bowens disease",
                "bowen disease",
                "intraepithelial carcinoma",
                "intraepithelial carcinoma / bowen's disease",
                "scc in situ",
                "squamous cell carcinoma in situ",
                "actinic keratosis / intraepithelial carcinoma (bowen)",
                "actinic keratosis intraepithelial carcinoma",
                "solar or actinic keratosis",
            ),
        ),
        Diagnosis(
            "bkl",
            "benign keratosis",
            "BKL",
            "Benign",
            "Benign epidermal proliferations",
            "Seborrheic keratosis",
            (
                "benign keratosis-like lesion",
                "benign keratosis-like lesions",
                "benign keratosis like lesion",
                "seborrheic keratosis",
                "seborrhoeic keratosis",
                "seborrheic keratoses",
                "sk",
                "sek",
                "sebk",
                "lichen planus-like keratosis",
                "lichenoid keratosis",
                "lplk",
                "solar lentigo",
                "lentigo",
                "keratosis",
            ),
        ),
        Diagnosis(
            "df",
            "dermatofibroma",
            "DF",
            "Benign",
            "Benign soft tissue proliferations - Fibro-histiocytic",
            "Dermatofibroma",
            ("fibrous histiocytoma", "histiocytoma", "dermatofibromas"),
        ),
        Diagnosis(
            "vasc",
            "vascular lesion",
            "VASC",
            "Benign",
            "Benign soft tissue proliferations - Vascular",
            "Hemangioma",
            (
                "vascular",
                "vascular lesions",
                "angioma",
                "hemangioma",
                "haemangioma",
                "cherry angioma",
                "angiokeratoma",
                "pyogenic granuloma",
                "hemorrhage",
                "haemorrhage",
            ),
        ),
    )
}
"""Diagnoses by code, in the order of the HAM10000 paper's table."""

_BY_ALIAS = {
    alias: d.code
    for d in DIAGNOSES.values()
    for alias in (d.code, d.name.lower(), d.isic_2018.lower(), d.diagnosis_3.lower(), *d.aliases)
}


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def find_diagnosis(text: str) -> str | None:
    """The code for any accepted spelling of a diagnosis, or None."""
    plain = _plain(str(text))
    return _BY_ALIAS.get(plain) or _BY_ALIAS.get(plain.replace("-", " "))


def parse_diagnosis(text: str) -> str:
    """The code ("mel") for a code, name, ISIC column or common spelling ("Melanoma", "MEL", "mole").

    Raises:
        InputError: for an unknown name, with near matches.
    """
    code = find_diagnosis(text)
    if code is None:
        codes = ", ".join(f"{d.code} ({d.name})" for d in DIAGNOSES.values())
        raise unknown("class", text, _BY_ALIAS, codes)
    return code


def parse_diagnoses(text: str | list[str]) -> tuple[str, ...]:
    """Codes from one name, a comma-separated list or ``"all"``, without repeats.

    Raises:
        InputError: for an unknown name, with near matches.
    """
    parts = text if isinstance(text, (list, tuple)) else str(text).split(",")
    codes: list[str] = []
    for part in parts:
        codes += DIAGNOSES if _plain(part) == "all" else [parse_diagnosis(part)]
    return tuple(dict.fromkeys(codes))
