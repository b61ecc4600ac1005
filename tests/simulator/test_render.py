import pytest
import torch
from scenes import scene

from synthderm.functional.color import linear_to_lab, median_lab, skin_ita_deg
from synthderm.simulator.look import calibrated_lab, draw_cast
from synthderm.simulator.render import MASK_NAMES


@pytest.mark.parametrize("modality", ["dermoscopy", "clinical"])
@pytest.mark.parametrize("ita", [65, 48, 35, 19, -10, -50])
def test_requested_tone_is_measured_on_healthy_skin(ita, modality):
    changes = {"camera__cast": "ham10000", "camera__contrast": 1.2, "camera__saturation": 1.2, "camera__noise": 0.5}
    for seed in (1, 2, 3):
        done = scene(seed=seed, ita=ita, modality=modality, **changes)
        assert skin_ita_deg(done.image, done.masks["healthy_skin"]) == pytest.approx(ita, abs=3)


def test_darker_request_gives_darker_skin_before_any_camera():
    luminances = [sum(scene(ita=ita, size=64).skin_linear) for ita in (65, 48, 35, 19, -10, -50, -70)]
    assert luminances == sorted(luminances, reverse=True)


def test_same_seed_same_pixels():
    assert torch.equal(scene(seed=5).image, scene(seed=5).image)
    assert not torch.equal(scene(seed=5).image, scene(seed=6).image)


def test_the_same_lesion_on_all_tones_has_one_mask():
    masks = [scene(ita=ita).masks["lesion"] for ita in (60, 48, 35, 19, -10, -50)]
    assert all(torch.equal(masks[0], mask) for mask in masks)


def test_masks_are_disjoint_where_they_must_be():
    done = scene(artefact__hairs=20, artefact__field_stop=0.95, artefact__ink=0.8, artefact__bubbles=6)
    healthy = done.masks["healthy_skin"]
    assert set(done.masks) == set(MASK_NAMES)
    for name in ("lesion", "hair", "artefact"):
        assert bool(done.masks[name].any())
        assert not bool((healthy & done.masks[name]).any()), name


def test_hair_mask_lies_on_the_hairs():
    bare, hairy = scene(), scene(artefact__hairs=25, artefact__hair_width_mm=0.1, artefact__hair_melanin=1.2)
    hair = hairy.masks["hair"]
    darker = (bare.image - hairy.image).mean(0)
    assert float(darker[hair].mean()) > 10 * float(darker[~hair].abs().mean())


def test_invisible_structures_are_left_out_of_the_mask():
    """A faint network is seen on light skin, not on dark skin: it stays placed, its visible mask is empty there."""
    changes = {"structure__pigment_network": 0.45, "lesion__pigment": 0.012, "lesion__tone_scaling": 0}
    light, dark = (scene(ita=ita, **changes) for ita in (50, -60))
    assert torch.equal(light.placed["pigment_network"], dark.placed["pigment_network"])
    assert int(light.masks["pigment_network"].sum()) > 4 * int(dark.masks["pigment_network"].sum())
    assert dark.delta_e["pigment_network"] < 2 < light.delta_e["pigment_network"]


def test_a_lesion_is_visible_by_any_of_its_structures():
    """Its body alone adds nothing here; the lagoons do, and the comparison is with bare skin."""
    bare = {"lesion__pigment": 0, "lesion__erythema": 0}
    assert scene(**bare).delta_e["lesion"] < 0.5
    assert scene(**bare, structure__lagoons=0.8).delta_e["lesion"] > 5


def test_visible_masks_are_parts_of_what_was_placed():
    done = scene(structure__globules=1.0, structure__blue_whitish_veil=0.8, structure__milia_like_cyst=1.0)
    for name, placed in done.placed.items():
        assert not bool((done.masks[name] & ~placed).any()), name


def test_keratin_is_white_on_every_skin():
    """Milia brighten the skin they lie on, on dark skin too, and never beyond white."""
    for ita in (50, -50):
        bare, with_milia = scene(ita=ita), scene(ita=ita, structure__milia_like_cyst=1.0)
        where = with_milia.masks["milia_like_cyst"]
        assert bool(where.any())
        assert float((with_milia.image - bare.image)[:, where].mean()) > 0.03
        assert float(with_milia.image.max()) <= 1


def test_lagoons_are_red_or_purple_by_their_oxygen():
    labs = []
    for oxygen in (0.35, 0.95):
        done = scene(lesion__pigment=0, structure__lagoons=1.0, structure__lagoon_oxygenation=oxygen)
        labs.append(median_lab(done.image, done.masks["lagoons"]))
    (_, a_purple, b_purple), (_, a_red, b_red) = labs
    skin = median_lab(done.image, done.masks["healthy_skin"])
    assert a_red > a_purple > skin[1]
    assert b_red > b_purple


def test_clinical_light_casts_the_shadow_away_from_the_lamp():
    changes = {"lesion__elevation": 2.0, "lesion__pigment": 0, "lesion__erythema": 0, "light__ambient": 0.1,
               "light__elevation_deg": 25, "light__gloss": 0, "light__curvature": 0, "light__defocus": 0,
               "camera__field_mm": 20}  # fmt: skip
    right = scene(modality="clinical", light__azimuth_deg=0, **changes)  # the lamp stands to the right
    around = right.masks["lesion"].nonzero()
    row = int(around[:, 0].float().mean())
    left_edge = int(around[around[:, 0] == row, 1].min())
    right_edge = int(around[around[:, 0] == row, 1].max())
    grey = right.image.mean(0)[row - 4 : row + 5]
    shaded = float(grey[:, left_edge - 3 : left_edge + 4].mean())
    lit = float(grey[:, right_edge - 4 : right_edge + 3].mean())
    assert shaded < 0.8 * lit


def test_uncalibrated_cast_is_free():
    values = {"camera__cast": "ham10000", "camera__calibrated": False}
    tones = [skin_ita_deg(s.image, s.masks["healthy_skin"]) for s in (scene(seed=k, **values) for k in range(8))]
    off = [tone for tone in tones if not abs(tone - 48) <= 3]  # nan counts as off
    assert len(off) >= 3


def test_a_recorded_cast_can_be_undone():
    """Without calibration the tone is off, and the recorded gains bring it back."""
    from synthderm.functional.color import ita_deg

    for seed in range(6):
        done = scene(seed=seed, camera__cast="ham10000", camera__calibrated=False)
        lightness, _, b = median_lab(done.image, done.masks["healthy_skin"], done.cast_gains)
        assert ita_deg(lightness, b) == pytest.approx(48, abs=5)
    assert scene(camera__cast="ham10000").cast_gains == (1, 1, 1)


def test_calibrated_colour_keeps_the_angle_and_the_pinkness():
    import numpy as np

    physical = np.array([66.0, 8.0, 14.0])
    lab = calibrated_lab(np.array([70.0, 22.0, 1.0]), physical, 48.0, 0.0)
    assert np.degrees(np.arctan2(lab[0] - 50, lab[2])) == pytest.approx(48)
    assert lab[1] == 22
    neutral = calibrated_lab(physical, physical, float(np.degrees(np.arctan2(16, 14))), 0.0)
    assert neutral == pytest.approx(physical)


def test_casts_follow_their_data_set():
    """Median pinkness of drawn casts over plain skin: HAM10000 is pink, ISIC 2017 is not (see eval/fit_look.py)."""
    import numpy as np

    skin = torch.tensor([0.45, 0.28, 0.20])
    a = {}
    for name in ("ham10000", "isic2017"):
        rng = np.random.default_rng(0)
        gains = torch.from_numpy(np.exp([draw_cast(name, rng) for _ in range(300)])).float()
        a[name] = float(linear_to_lab(skin * gains)[:, 1].median())
    assert a["ham10000"] > a["isic2017"] + 3


def test_tone_changes_nothing_but_the_tone():
    """The same scene on another tone has the same geometry: gradients of lightness agree."""
    light, dark = (scene(ita=ita, structure__globules=0.8).image.mean(0) for ita in (60, 0))
    edges = [(x[1:, 1:] - x[:-1, :-1]).flatten() for x in (light, dark)]
    assert float(torch.corrcoef(torch.stack(edges))[0, 1]) > 0.8
