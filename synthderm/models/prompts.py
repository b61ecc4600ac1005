"""Captions of images, and the way back from a caption or a person's prompt to what it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from synthderm.core import DIAGNOSES, InputError, ita_to_fst, parse_diagnosis, tone_band
from synthderm.core.checks import check_range, unknown

ATTRIBUTES: dict[str, tuple[str, str, str]] = {
    "asymmetry": ("symmetric", "slightly asymmetric", "asymmetric"),
    "border": ("regular border", "slightly irregular border", "irregular border"),
    "colour": ("uniform colour", "two colours", "many colours"),
    "size": ("small", "medium-sized", "large"),
    "darkness": ("pale lesion", "moderately dark lesion", "dark lesion"),
}
"""The ABCD scheme of dermoscopy and how dark the lesion is: the words of a caption for low, middle and high.

Asymmetry, border, colour and diameter are those of the ABCD rule (Stolz et al. 1994, Eur J Dermatol 4:521)."""

LEVELS = (0.15, 0.5, 0.85)
"""What the three words of an attribute stand for, 0 to 1."""

_VERY = {0.15: 0.0, 0.5: 0.5, 0.85: 1.0}

MODALITY_WORDS = {"dermoscopy": "dermoscopic image", "clinical": "clinical photograph"}


@dataclass(frozen=True)
class PromptRequest:
    """What a prompt asks for.

    Attributes:
        diagnosis: code, or None if the prompt names no class.
        fst: skin type 1 to 6, or None.
        modality: "dermoscopy", "clinical" or None.
        attributes: names of :data:`ATTRIBUTES` -> 0 (low) to 1 (high), those that are mentioned.
        ignored: words that were not understood, in order.
    """

    diagnosis: str | None = None
    fst: int | None = None
    modality: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def caption(
    diagnosis: str,
    *,
    fst: int | None = None,
    ita_deg: float | None = None,
    modality: str = "dermoscopy",
    attributes: Mapping[str, float] | None = None,
    site: str | None = None,
    age: float | None = None,
    sex: str | None = None,
) -> str:
    """The one caption of an image: "dermoscopic image of melanoma, brown skin, asymmetric, irregular border".

    It is the same for training and for generation, and :func:`parse_prompt` reads it back.

    Args:
        diagnosis: any spelling of a class.
        fst: skin type 1 to 6; it is named by its ITA band.
        ita_deg: ITA in degrees, used where ``fst`` is None.
        modality: "dermoscopy" or "clinical".
        attributes: names of :data:`ATTRIBUTES` -> 0 to 1; thirds of the range have a word each.
        site: part of the body, as the data set has it.
        age: years.
        sex: as the data set has it.

    Raises:
        InputError: for an unknown class, modality or attribute, or an attribute outside 0 to 1.
    """
    if modality not in MODALITY_WORDS:
        raise unknown("modality", modality, MODALITY_WORDS)
    parts = [f"{MODALITY_WORDS[modality]} of {_class_words()[parse_diagnosis(diagnosis)]}"]
    if fst is None and ita_deg is not None:
        fst = ita_to_fst(ita_deg)
    parts += [f"{tone_band(fst).name} skin"] if fst is not None else []
    parts += attribute_words(attributes or {})
    parts += [f"on the {site.lower()}"] if site else []
    parts += [f"{age:.0f} years old"] if age is not None else []
    parts += [sex.lower()] if sex else []
    return ", ".join(parts)


def attribute_words(attributes: Mapping[str, float]) -> list[str]:
    """The words for attribute values, in the order of :data:`ATTRIBUTES`.

    Raises:
        InputError: for an unknown attribute or a value outside 0 to 1.
    """
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise unknown("attribute", name, ATTRIBUTES)
        check_range(name, value, 0, 1)
    return [words[min(int(attributes[name] * 3), 2)] for name, words in ATTRIBUTES.items() if name in attributes]


def parse_prompt(text: str, strict: bool = True) -> PromptRequest:
    """What a prompt asks for: "irregular dark melanoma on brown skin" is mel, type 5, border and darkness high.

    The longest known phrase counts at each place ("dark skin" is a tone, "dark melanoma" is a dark lesion). Words in
    braces are place holders and are left out.

    Args:
        text: English, any case.
        strict: whether it is an error if nothing is understood; if not, all words are then in ``ignored``.

    Raises:
        InputError: if nothing in it is understood (where ``strict``), if it denies something ("no hair",
            "non-melanoma"), or if it names two classes, tones or modalities. Of two values of one attribute the first
            counts.
    """
    found: dict[str, object] = {}
    ignored: list[str] = []
    for phrase, meaning in _phrases_of(text):
        if meaning is None:
            ignored.append(phrase)
            continue
        what, value = meaning
        if what == "deny":
            raise InputError(
                f"the prompt {text!r} says {phrase!r}, which a prompt cannot: say what the image shows, and "
                "put the rest into a negative prompt (--negative-prompt, for flux, sd3 and sd)"
            )
        if what and found.setdefault(what, value) != value:
            if what not in ATTRIBUTES:
                raise InputError(f"the prompt {text!r} asks for {what} {found[what]} and for {what} {value}; name one")
            ignored.append(phrase)
    if not found and strict:
        raise InputError(
            f"nothing in the prompt {text!r} is understood; name a class and a skin tone, such as "
            "'irregular dark melanoma on brown skin'"
        )
    return PromptRequest(
        diagnosis=found.pop("class", None),
        fst=found.pop("skin type", None),
        modality=found.pop("modality", None),
        attributes=MappingProxyType({name: found[name] for name in ATTRIBUTES if name in found}),
        ignored=tuple(ignored),
    )


def _phrases_of(text: str) -> Iterator[tuple[str, tuple[str, object] | None]]:
    """The phrases of a text from left to right, the longest first, with what they mean."""
    plain = re.sub(r"\{[^}]*\}", " ", text.lower()).replace("’", "'")
    words = re.findall(r"[\w'.]+", plain.replace("-", " ").replace("_", " "))
    words = [word.strip(".'") for word in words if word.strip(".'")]
    table = _phrases()
    longest = max(len(phrase) for phrase in table)
    i = 0
    while i < len(words):
        for n in range(min(longest, len(words) - i), 0, -1):
            phrase = tuple(words[i : i + n])
            meaning = table.get(phrase)
            if meaning:
                break
        yield " ".join(phrase), meaning
        i += n


_FILLERS = (
    "a an the of on in with and is at to from by for this that it its has having shows showing "
    "image images picture photo photograph photography view lesion lesions skin patient person people appearance "
    "medical dermatology dermatological"
).split()

_DENIALS = "no not without non never".split()

_MODALITIES = {
    "dermoscopy": "dermoscopic dermoscopy dermatoscopic dermatoscopy dermoscope dermatoscope epiluminescence".split(),
    "clinical": ["clinical", "smartphone", "phone", "macroscopic", "close up", "closeup"],
}

_TONES = {
    1: ("very light", "very fair", "very pale", "ivory", "porcelain"),
    2: ("light", "fair", "pale", "white"),
    3: ("intermediate", "medium", "beige", "light brown"),
    4: ("tan", "tanned", "olive", "moderate brown", "medium brown"),
    5: ("brown", "dark brown"),
    6: ("dark", "very dark", "deep", "black", "ebony", "very dark brown", "deeply pigmented"),
}
"""Words for each type: the names of the ITA bands, and those of the Fitzpatrick scale ("olive", "dark brown")."""

_LOW_WORDS: dict[str, tuple[str, ...]] = {
    "asymmetry": ("symmetric", "symmetrical"),
    "border": ("regular", "smooth", "well defined", "sharp"),
    "colour": ("uniform colour", "uniform", "uniformly coloured", "one colour", "single colour", "homogeneous"),
    "size": ("small", "tiny", "little"),
    "darkness": ("pale", "light", "faint", "lightly pigmented", "hypopigmented", "amelanotic", "light brown"),
}
_MIDDLE_WORDS: dict[str, tuple[str, ...]] = {
    "colour": ("two colours", "two coloured", "bicoloured", "two tone"),
    "size": ("medium sized", "medium size"),
    "darkness": ("moderately dark", "medium brown"),
}
_HIGH_WORDS: dict[str, tuple[str, ...]] = {
    "asymmetry": ("asymmetric", "asymmetrical"),
    "border": ("irregular", "irregularly shaped", "jagged", "ragged", "notched", "scalloped"),
    "colour": (
        "many colours", "several colours", "multiple colours", "varied colours", "multicoloured", "multi coloured",
        "variegated", "heterogeneous",
    ),
    "size": ("large", "big", "huge"),
    "darkness": ("dark", "black", "deeply pigmented", "heavily pigmented", "dark brown"),
}  # fmt: skip
_OUTLINE = ("border", "borders", "edge", "edges", "outline", "margin", "margins", "shape")
_SLIGHTLY = ("slightly", "mildly", "somewhat", "moderately")
_STRONGLY = ("very", "highly", "strongly", "extremely", "markedly")


@lru_cache(maxsize=1)
def _class_words() -> dict[str, str]:
    words = {code: diagnosis.name for code, diagnosis in DIAGNOSES.items()}
    return {**words, "akiec": "actinic keratosis"}


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], tuple[str, object]]:
    """Every phrase that is understood, as words, and (what, value); ("", None) for those that ask for nothing."""
    found: dict[str, tuple[str, object]] = {}
    for words, meaning in (*_attribute_phrases(), *_tone_phrases(), *_class_phrases()):
        found[words] = meaning
    for modality, words in _MODALITIES.items():
        found |= {word: ("modality", modality) for word in words}
    found |= {word: ("", None) for word in _FILLERS}
    found |= {word: ("deny", word) for word in _DENIALS}
    spelled = {words.replace("colour", "color"): meaning for words, meaning in found.items()}
    return {tuple(words.replace("-", " ").split()): meaning for words, meaning in {**spelled, **found}.items()}


def _attribute_phrases() -> Iterator[tuple[str, tuple[str, object]]]:
    for level, table in zip(LEVELS, (_LOW_WORDS, _MIDDLE_WORDS, _HIGH_WORDS), strict=True):
        for name, all_words in table.items():
            for words in all_words:
                nouns = _OUTLINE if name == "border" else ("lesion",) if name == "darkness" else ()
                for form in (words, *(f"{words} {noun}" for noun in nouns)):
                    yield form, (name, level)
                    yield from ((f"{how} {form}", (name, _VERY[level])) for how in _STRONGLY)
                    if level == LEVELS[2]:
                        yield from ((f"{how} {form}", (name, LEVELS[1])) for how in _SLIGHTLY)


def _tone_phrases() -> Iterator[tuple[str, tuple[str, object]]]:
    for fst, all_words in _TONES.items():
        for words in all_words:
            yield from ((f"{words} {noun}", ("skin type", fst)) for noun in ("skin", "skin tone", "complexion"))
            yield from ((f"{words} {noun}", ("skin type", fst)) for noun in ("skinned", "coloured skin"))
    heads = ("skin type", "fitzpatrick", "fitzpatrick type", "fitzpatrick skin type", "fst", "phototype", "type")
    for fst, roman in enumerate(("i", "ii", "iii", "iv", "v", "vi"), start=1):
        for number in (str(fst), roman):
            yield from ((f"{head} {number}", ("skin type", fst)) for head in heads)
            yield from ((f"{head} {number} skin", ("skin type", fst)) for head in heads)
        yield f"fst{fst}", ("skin type", fst)


def _class_phrases() -> Iterator[tuple[str, tuple[str, object]]]:
    for code, diagnosis in DIAGNOSES.items():
        names = (code, diagnosis.name, _class_words()[code], diagnosis.diagnosis_3, *diagnosis.aliases)
        for name in names:
            plain = " ".join(re.findall(r"[\w']+", name.lower()))
            if plain != "mm":  # far more often millimetres
                yield plain, ("class", code)
    for words in ("lentigo maligna", "lentigo maligna melanoma", "superficial spreading melanoma", "nodular melanoma"):
        yield words, ("class", "mel")
    yield "moles", ("class", "nv")
