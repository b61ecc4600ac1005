import pickle

import pytest

from synthderm.core import DIAGNOSES, Condition, InputError, find_diagnosis, parse_diagnoses, parse_diagnosis


@pytest.mark.parametrize(
    ("text", "code"),
    [("mel", "mel"), ("MEL", "mel"), ("Melanoma", "mel"), ("mole", "nv"), ("NEV", "nv"), ("Naevus", "nv"),
     ("basal cell carcinoma", "bcc"), ("ACK", "akiec"), ("Bowen's disease", "akiec"), ("SEK", "bkl"),
     ("seborrheic_keratosis", "bkl"), ("Dermatofibroma", "df"), ("hemangioma", "vasc"), ("VASC", "vasc")],
)  # fmt: skip
def test_spellings(text, code):
    assert parse_diagnosis(text) == code


def test_unknown_class_is_answered_with_near_matches():
    with pytest.raises(InputError, match=r"unknown class 'melenoma'; did you mean 'melanoma'"):
        parse_diagnosis("melenoma")
    with pytest.raises(InputError, match=r"expected one of: .*mel \(melanoma\)"):
        parse_diagnosis("zzz")
    assert find_diagnosis("squamous cell carcinoma") is None


def test_no_spelling_stands_for_two_classes():
    spellings = [alias for d in DIAGNOSES.values() for alias in {d.code, d.name, d.isic_2018.lower(), *d.aliases}]
    assert len(spellings) == len(set(spellings))


def test_lists_of_classes():
    assert parse_diagnoses("all") == tuple(DIAGNOSES)
    assert parse_diagnoses("melanoma, nv,mel") == ("mel", "nv")


def test_condition_normalises_and_checks():
    condition = Condition("Melanoma", ita_deg=-20)
    assert (condition.diagnosis, condition.fst) == ("mel", 5)
    assert pickle.loads(pickle.dumps(condition)) == condition
    with pytest.raises(InputError, match="needs a tone"):
        Condition("mel")
    with pytest.raises(InputError, match="not in the band of fst 2"):
        Condition("mel", fst=2, ita_deg=-20)
    with pytest.raises(InputError, match="unknown modality 'dermascopy'; did you mean 'dermoscopy'"):
        Condition("mel", fst=2, modality="dermascopy")
    with pytest.raises(InputError, match="between -75 and 70 degrees"):
        Condition("mel", ita_deg=80)
