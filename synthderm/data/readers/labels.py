"""Words of public data sets turned into diagnoses, skin types and modalities."""

from __future__ import annotations

import re

from synthderm.core import find_diagnosis

_OTHER_SPELLINGS = {
    # ISIC archive, diagnosis_3 to diagnosis_5
    "nevus, nos": "nv",
    "nevus, atypical, dysplastic, or clark": "nv",
    "nevus, congenital": "nv",
    "nevus, spitz": "nv",
    "nevus, combined": "nv",
    "nevus, recurrent or persistent": "nv",
    "nevus, reed": "nv",
    "blue nevus": "nv",
    "melanoma, nos": "mel",
    "melanoma in situ, lentigo maligna type": "mel",
    "melanoma in situ, superficial spreading": "mel",
    "melanoma invasive, superficial spreading": "mel",
    "melanoma invasive, nodular": "mel",
    "basal cell carcinoma, nos": "bcc",
    "basal cell carcinoma, nodular": "bcc",
    "basal cell carcinoma, superficial": "bcc",
    "basal cell carcinoma, infiltrating": "bcc",
    "squamous cell carcinoma in situ, bowen's disease": "akiec",
    "scc in situ, bowen's disease": "akiec",
    "pigmented benign keratosis": "bkl",
    "lichen planus like keratosis": "bkl",
    "hemangioma, nos": "vasc",
    "cherry hemangioma": "vasc",
    # Fitzpatrick17k (Groh et al. 2021), column label
    "superficial spreading melanoma ssm": "mel",
    "lentigo maligna": "mel",
    "nevocytic nevus": "nv",
    "congenital nevus": "nv",
    "halo nevus": "nv",
    "solid cystic basal cell carcinoma": "bcc",
    "basal cell carcinoma morpheiform": "bcc",
    # DDI (Daneshjou et al. 2022), column disease, hyphens as spaces
    "melanoma acral lentiginous": "mel",
    "nodular melanoma (nm)": "mel",
    "pigmented spindle cell nevus of reed": "nv",
    "basal cell carcinoma nodular": "bcc",
    "basal cell carcinoma superficial": "bcc",
    "seborrheic keratosis irritated": "bkl",
    "arteriovenous hemangioma": "vasc",
}

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_NO_LABEL = frozenset({"", "unknown", "unk", "not applicable"})


def label_to_diagnosis(label: str) -> str | None:
    """The code of the seven diagnoses that a label of a public data set means, or None.

    Names of other lesions with a similar word (epidermal nevus, invasive squamous cell carcinoma, melanoma
    metastasis) are None: they are not what the code stands for.
    """
    code = find_diagnosis(label)
    if code is not None:
        return code
    plain = " ".join(label.lower().replace("_", " ").split())
    return _OTHER_SPELLINGS.get(plain) or _OTHER_SPELLINGS.get(plain.replace("-", " "))


def says_nothing(label: str | None) -> bool:
    """Whether a label is empty or a word for "not known"."""
    return label is None or label.strip().lower() in _NO_LABEL


def parse_skin_type(text: str | None) -> int | None:
    """Fitzpatrick type from "3", "3.0", "III", "Type IV", "fst_5"; None for -1, empty or anything else."""
    if text is None:
        return None
    plain = re.sub(r"^((fitzpatrick|skin|fst|type)[\s_:-]*)+", "", text.strip().lower())
    if plain in _ROMAN:
        return _ROMAN[plain]
    try:
        value = float(plain)
    except ValueError:
        return None
    return int(value) if value in range(1, 7) else None


def parse_modality(text: str | None) -> str | None:
    """Dermoscopy or clinical, from an ISIC image_type or other wording; None if it says neither."""
    plain = (text or "").lower()
    if "dermosc" in plain or "dermatosc" in plain:
        return "dermoscopy"
    if any(word in plain for word in ("clinical", "close-up", "phone", "photo", "macroscopic", "tbp")):
        return "clinical"
    return None
