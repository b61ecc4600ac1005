"""The skin model: constants, limits, tone, and measured skin."""

import numpy as np
import pytest
import torch

from synthderm.core import InputError
from synthderm.functional.color import delta_e_2000
from synthderm.simulator import tissue
from synthderm.simulator.spectra import ILLUMINANTS, spectrum_to_xyz_matrix, standard_spectra
from synthderm.simulator.tissue import ita_to_melanin, melanin_to_ita, skin_reflectance, spectrum_to_lab


def test_absorption_has_the_published_values():
    at_500 = np.array([500.0])
    assert tissue.melanosome_absorption(at_500) == pytest.approx(6.6e11 * 500**-3.33)
    assert tissue.reduced_scattering(0, at_500) == pytest.approx(68.7)
    assert tissue.reduced_scattering(2, at_500) == pytest.approx(45.3)
    assert tissue.anisotropy(at_500) == pytest.approx(0.765)
    spectra = standard_spectra()
    assert spectra.wavelength_nm.tolist() == list(range(400, 701, 10))
    i = list(spectra.wavelength_nm).index(540)
    assert spectra.oxyhaemoglobin[i] == 53236  # Prahl
    # blood of 150 g/l at 700 nm absorbs little, so that packing it into vessels changes little
    assert tissue.blood_absorption(1.0)[-1] == pytest.approx(2.303 * 290 * 150 / 64500, rel=0.01)
    assert tissue.blood_absorption(1.0)[1] < 0.5 * 2.303 * 466840 * 150 / 64500


def test_a_layer_has_its_weight_of_little_blood_and_room_for_no_more_than_all():
    for layer in tissue.LAYERS[1:]:
        assert tissue.layer_blood(0.001, layer) == pytest.approx(0.001 * layer.blood_weight, rel=2e-3)
        shares = tissue.layer_blood(np.linspace(0, 1, 11), layer)
        assert (shares <= 1 + 1e-12).all()
    assert tissue.layer_blood(1.0, tissue.LAYERS[2]) == pytest.approx(1.0)


@pytest.mark.parametrize("illuminant", ILLUMINANTS)
def test_white_is_white_under_every_lamp(illuminant):
    assert spectrum_to_lab(np.ones(31), illuminant) == pytest.approx([100, 0, 0], abs=1e-3)


def test_unknown_lamps_are_refused():
    with pytest.raises(InputError, match="LED_B3"):
        spectrum_to_xyz_matrix("LED-B3")


def test_lamps_change_skin_after_white_balance():
    skin = skin_reflectance(0.03, specular=True)
    colours = np.stack([spectrum_to_lab(skin, name) for name in ILLUMINANTS])
    apart = np.linalg.norm(colours - colours[0], axis=1)
    assert (apart[1:] > 0.5).all()
    assert (apart < 7).all()


def test_pigment_darkens_blood_reddens_and_depth_turns_brown_into_grey():
    plain = skin_reflectance(0.03)
    assert (skin_reflectance(0.06) < plain).all()
    lab = {
        "plain": spectrum_to_lab(plain),
        "blood": spectrum_to_lab(skin_reflectance(0.03, 0.05)),
        "epidermis": spectrum_to_lab(skin_reflectance(0.10)),
        "deep": spectrum_to_lab(skin_reflectance(0.03, deep_melanin=0.05)),
    }
    assert lab["blood"][1] > lab["plain"][1] + 5
    assert lab["epidermis"][2] > lab["deep"][2] + 5  # Tyndall: deep melanin takes the yellow away
    assert lab["deep"][0] < lab["plain"][0] - 5


def test_the_surface_adds_its_reflection():
    assert skin_reflectance(0.1, specular=True) - skin_reflectance(0.1) == pytest.approx(0.0278, abs=1e-4)


def test_mixtures_broadcast():
    got = skin_reflectance(np.array([[0.02], [0.2]]), np.array([0.005, 0.01, 0.02]), streams=4)
    assert got.shape == (2, 3, 31)
    assert got[1, 2] == pytest.approx(skin_reflectance(0.2, 0.02, streams=4))


@pytest.mark.parametrize("site", ["body", "face"])
@pytest.mark.parametrize("specular", [True, False])
def test_melanin_falls_as_ita_rises_and_gives_the_tone_back(site, specular):
    tones = np.arange(-75, 66, 5)
    melanin = np.array([ita_to_melanin(float(t), site, specular=specular) for t in tones])
    assert (np.diff(melanin) < 0).all()
    constants = tissue.SITES[site]
    lab = spectrum_to_lab(
        skin_reflectance(
            melanin, constants.blood, constants.oxygenation,
            bilirubin_um=constants.bilirubin_um, scattering=constants.scattering, specular=specular,
        )
    )  # fmt: skip
    assert np.degrees(np.arctan2(lab[:, 0] - 50, lab[:, 2])) == pytest.approx(tones, abs=0.1)
    assert melanin_to_ita(melanin[7], site, specular=specular) == pytest.approx(tones[7], abs=1e-6)


def test_tones_that_no_skin_has_are_refused():
    with pytest.raises(InputError, match="-75 and 70"):
        ita_to_melanin(85)
    with pytest.raises(InputError, match="body"):
        ita_to_melanin(30, "bodi")


def issa_rows(repository):
    text = (repository / "eval" / "tables" / "issa_ita_bin_spectra.csv").read_text()
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    return [(row[0], float(row[1]), np.array([float(v) for v in row[6:]])) for row in rows]


def test_one_parameter_reaches_measured_skin(repository):
    """Only the melanin follows the tone: dE00 of the 20 ISSA means of arm and face, light to dark."""
    errors = []
    for place, _, spectrum in issa_rows(repository):
        if place == "inner_arm":
            continue
        measured = spectrum_to_lab(spectrum)
        site = "face" if place == "face" else "body"
        constants = tissue.SITES[site]
        tone = float(np.degrees(np.arctan2(measured[0] - 50, measured[2])))
        modelled = skin_reflectance(
            ita_to_melanin(tone, site), constants.blood, constants.oxygenation,
            bilirubin_um=constants.bilirubin_um, scattering=constants.scattering, specular=True,
        )  # fmt: skip
        errors.append(float(delta_e_2000(torch.from_numpy(spectrum_to_lab(modelled)), torch.from_numpy(measured))))
    assert len(errors) == 20
    assert np.mean(errors) < 1.5
    assert max(errors) < 2.7
