import json

import pytest
import torch

from synthderm.core import DIAGNOSES, Condition, InputError, image_seed, load_generator
from synthderm.functional.color import skin_ita_deg
from synthderm.generators.base import Generator
from synthderm.generators.simulated import SimulatorGenerator
from synthderm.simulator.render import MASK_NAMES


def one(condition, seed=1, **options):
    return next(SimulatorGenerator(**{"size": 64, **options}).sample([seed], condition))


def test_answers_the_protocol():
    generator = load_generator("simulator", size=64)
    assert isinstance(generator, Generator)
    assert set(generator.attributes) == set(MASK_NAMES) - {"lesion", "healthy_skin"}


@pytest.mark.parametrize("modality", ["dermoscopy", "clinical"])
@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_every_class_in_both_modalities(diagnosis, modality):
    sample = one(Condition(diagnosis, fst=4, modality=modality), masks="all", maps=True)
    assert sample.size == (64, 64)
    assert set(sample.masks) == set(MASK_NAMES)
    assert bool(sample.masks["lesion"].any())
    assert json.loads(json.dumps(sample.metadata)) == sample.metadata
    assert {"melanin", "blood", "height_mm", "normals"} <= set(sample.maps)
    assert sample.maps["normals"].norm(dim=0).sub(1).abs().max() < 1e-4


def test_a_sample_depends_on_its_own_seed_and_condition_alone():
    seeds = [image_seed(0, i) for i in range(6)]
    conditions = [
        Condition(d, fst=f) for d, f in zip(["mel", "bcc", "vasc", "nv", "df", "bkl"], range(1, 7), strict=True)
    ]
    together = list(SimulatorGenerator(size=64).sample(seeds, conditions))
    for i in (5, 0, 3):
        alone = one(conditions[i], seeds[i])
        assert torch.equal(alone.image, together[i].image)
        assert alone.metadata == together[i].metadata


def test_bytes_do_not_depend_on_the_number_of_threads():
    condition, threads = Condition("mel", fst=5), torch.get_num_threads()
    try:
        images = []
        for n in (1, 2):
            torch.set_num_threads(n)
            images.append(one(condition, size=128).image)
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*images)


def test_masks_and_maps_that_were_not_asked_for_change_nothing():
    condition = Condition("mel", fst=3)
    plain, full = one(condition), one(condition, masks="all", maps=True)
    assert torch.equal(plain.image, full.image)
    assert set(plain.masks) == {"lesion", "healthy_skin"}
    assert plain.maps == {}
    assert plain.metadata == full.metadata


def test_same_lesion_on_six_tones_has_the_same_mask_and_its_own_tone():
    samples = [one(Condition("nv", fst=f), size=128) for f in range(1, 7)]
    assert all(torch.equal(samples[0].masks["lesion"], s.masks["lesion"]) for s in samples)
    for fst, sample in enumerate(samples, start=1):
        assert sample.metadata["fst_scene"] == fst
        assert skin_ita_deg(sample.image, sample.masks["healthy_skin"]) == pytest.approx(
            sample.metadata["ita_requested_deg"], abs=4
        )


def test_held_parameters_reach_the_scene_and_leave_the_rest():
    free = one(Condition("mel", fst=2)).metadata
    held = one(Condition("mel", fst=2, parameters={"lesion.asymmetry": 0.9, "artefact.hairs": "7"})).metadata
    assert (held["lesion.asymmetry"], held["artefact.hairs"]) == (0.9, 7)
    parameters = SimulatorGenerator.parameters
    changed = {name for name in parameters if free[name] != held[name]}
    assert changed <= {"lesion.asymmetry", "artefact.hairs"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimulatorGenerator(size=32), "size must be 64 to 1024 px, but got 32"),
        (lambda: SimulatorGenerator(masks="lesions"), "unknown mask 'lesions'; did you mean 'lesion'"),
        (lambda: one(Condition("nv", fst=1, parameters={"lesion.asymetry": 1})), "did you mean 'lesion.asymmetry'"),
        (lambda: one(Condition("nv", fst=1, parameters={"lesion.asymmetry": 2})), "between 0 and 1, but got 2"),
        (lambda: one(Condition("nv", fst=1, parameters={"camera.light": "sun"})), "unknown value for camera.light"),
        (lambda: list(SimulatorGenerator(size=64).sample([1, 2], [Condition("nv", fst=1)])), "one condition or 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
