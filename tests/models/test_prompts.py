"""Captions and prompts: what is written is read back."""

import itertools

import pytest

from synthderm.core import DIAGNOSES, MODALITIES, InputError
from synthderm.models.prompts import ATTRIBUTES, LEVELS, caption, parse_prompt


def test_a_caption_is_one_plain_line():
    attributes = {"border": 0.9, "asymmetry": 0.7, "size": 0.1}
    assert caption("MEL", fst=5, attributes=attributes) == (
        "dermoscopic image of melanoma, brown skin, asymmetric, irregular border, small"
    )
    assert caption("mole", ita_deg=60, modality="clinical", site="Back", age=61.0, sex="Female") == (
        "clinical photograph of melanocytic nevus, very light skin, on the back, 61 years old, female"
    )


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_class_tone_and_modality_come_back(diagnosis):
    for fst, modality in itertools.product((None, *range(1, 7)), MODALITIES):
        request = parse_prompt(caption(diagnosis, fst=fst, modality=modality))
        assert (request.diagnosis, request.fst, request.modality) == (diagnosis, fst, modality)
        assert dict(request.attributes) == {}
        assert request.ignored == ()


@pytest.mark.parametrize("values", list(itertools.product(LEVELS, repeat=len(ATTRIBUTES))))
def test_attributes_come_back(values):
    attributes = dict(zip(ATTRIBUTES, values, strict=True))
    for modality in MODALITIES:
        request = parse_prompt(caption("bkl", fst=6, attributes=attributes, modality=modality))
        assert dict(request.attributes) == attributes
        assert (request.diagnosis, request.fst, request.ignored) == ("bkl", 6, ())


@pytest.mark.parametrize("value", [0.0, 0.2, 0.34, 0.5, 0.66, 0.67, 1.0])
def test_an_attribute_keeps_its_third(value):
    once = parse_prompt(caption("nv", attributes={"darkness": value}))
    assert abs(once.attributes["darkness"] - value) <= 1 / 3 - 0.15
    assert caption("nv", attributes=once.attributes) == caption("nv", attributes={"darkness": value})


@pytest.mark.parametrize(
    ("text", "diagnosis", "fst", "modality", "attributes"),
    [
        ("irregular dark melanoma on brown skin", "mel", 5, None, {"border": 0.85, "darkness": 0.85}),
        ("Dark melanoma, dark skin", "mel", 6, None, {"darkness": 0.85}),
        ("a dermatoscopic photo of a very small nevus in Fitzpatrick type IV", "nv", 4, "dermoscopy", {"size": 0.0}),
        ("light brown mole on light brown skin", "nv", 3, None, {"darkness": 0.15}),
        ("clinical image, basal-cell carcinoma, skin type 2", "bcc", 2, "clinical", {}),
        ("variegated lentigo maligna, slightly irregular edges", "mel", None, None, {"colour": 0.85, "border": 0.5}),
        ("multi-colored seborrheic keratosis, dark-skinned patient", "bkl", 6, None, {"colour": 0.85}),
        ("8 mm nevus", "nv", None, None, {}),
        ("large asymmetrical", None, None, None, {"asymmetry": 0.85, "size": 0.85}),
        ("haemangioma FST3", "vasc", 3, None, {}),
    ],
)  # fmt: skip
def test_what_a_person_writes_is_understood(text, diagnosis, fst, modality, attributes):
    request = parse_prompt(text)
    assert (request.diagnosis, request.fst, request.modality) == (diagnosis, fst, modality)
    assert dict(request.attributes) == attributes


def test_what_is_not_understood_is_reported_and_braces_are_place_holders():
    request = parse_prompt("a beautiful {class} melanoma, 4k, {tone}, small and large")
    assert (request.diagnosis, request.ignored) == ("mel", ("beautiful", "4k", "large"))
    assert request.attributes == {"size": 0.15}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a cat on a sofa", "nothing in the prompt .* is understood"),
        ("", "nothing in the prompt"),
        ("the skin", "nothing in the prompt"),
        ("melanoma or nevus", "asks for class mel and for class nv"),
        ("nevus on light skin and dark skin", "skin type 2 and for skin type 6"),
        ("non-melanoma skin cancer", "'non', which a prompt cannot"),
        ("melanoma without hair", "negative prompt"),
    ],
)
def test_a_prompt_that_cannot_be_followed_is_one_clear_line(text, says):
    with pytest.raises(InputError, match=says) as caught:
        parse_prompt(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"diagnosis": "melanom"}, "did you mean 'melanoma'"),
        ({"diagnosis": "mel", "attributes": {"bordr": 1}}, "did you mean 'border'"),
        ({"diagnosis": "mel", "attributes": {"border": 1.2}}, "border must be between 0 and 1"),
        ({"diagnosis": "mel", "modality": "xray"}, "unknown modality"),
    ],
)
def test_a_caption_of_nonsense_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        caption(**options)
