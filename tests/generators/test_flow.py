"""The flow as a generator: tones, attributes, adapters, gates and errors, with a tiny flow on disk."""

import pytest
import torch
from flows import skin_images, tiny_flow

from synthderm.core import HEALTHY_SKIN, LESION, Condition, InputError, Sample, load_generator
from synthderm.functional.color import ita_deg
from synthderm.generators.flow import FlowGenerator, precision
from synthderm.generators.likeness import ClassGate, CopyGate, LesionGate
from synthderm.models.adapters import save_adapter
from synthderm.models.copy_index import CopyIndex
from synthderm.training.flow.adapter import add_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    tiny_flow().save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    """An adapter that does something, with an index of copies."""
    flow, folder = tiny_flow(), tmp_path_factory.mktemp("adapter")
    add_adapter(flow.velocity, rank=2)
    torch.manual_seed(1)
    for name, parameter in flow.transformer.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    save_adapter(flow, folder, licence="CC-BY-NC-4.0", attribution=["Somebody's images"], classes=["nv", "mel"])
    data = skin_images(40).images
    CopyIndex.fit([data[:20]], [data[20:]], 0.1).save(folder / "training_images.safetensors")
    return folder


def generator(base, **options):
    return FlowGenerator(64, base=base, **{"adapter": "none", "num_inference_steps": 2, "dtype": "fp32"} | options)


def test_it_answers_the_protocol(base):
    made = list(generator(base).sample([1, 2], [Condition("nv", fst=2), Condition("mel", fst=5)]))
    assert [sample.seed for sample in made] == [1, 2]
    for sample in made:
        assert isinstance(sample, Sample)
        assert sample.image.shape == (3, 64, 64)
        assert {LESION, HEALTHY_SKIN} <= set(sample.masks)
        assert not (sample.masks[LESION] & sample.masks[HEALTHY_SKIN]).any()
        assert sample.metadata["base_sha256"]
        assert sample.metadata["native_size_px"] == 32


def test_a_sample_depends_on_its_seed_and_condition_alone(base):
    conditions = [Condition("nv", fst=1 + i % 6) for i in range(18)]
    many = list(generator(base).sample(list(range(18)), conditions))
    alone = next(generator(base).sample([17], conditions[17]))
    assert torch.equal(many[17].image, alone.image)
    assert many[17].metadata == alone.metadata


@pytest.mark.parametrize("fst", [1, 3, 6])
def test_the_skin_that_is_asked_for_has_the_angle_of_the_request(base, fst):
    metadata = next(generator(base).sample([3], Condition("nv", fst=fst))).metadata
    lightness, _, b = metadata["skin_lab_requested"]
    assert ita_deg(lightness, b) == pytest.approx(metadata["ita_requested_deg"], abs=0.1)
    exact = next(generator(base).sample([3], Condition("nv", ita_deg=12.0))).metadata
    assert exact["ita_requested_deg"] == 12.0


def test_attributes_can_be_asked_for(base):
    plain = next(generator(base).sample([4], Condition("mel", fst=3)))
    large = next(generator(base).sample([4], Condition("mel", fst=3, parameters={"size": 0.9})))
    assert not torch.equal(plain.image, large.image)
    assert large.metadata["size_requested"] == 0.9
    with pytest.raises(InputError, match="asymmetry"):
        next(generator(base).sample([4], Condition("mel", fst=3, parameters={"asymetry": 0.9})))


def test_an_adapter_changes_images_licence_and_attribution(base, adapter):
    own, bare = generator(base, adapter=adapter), generator(base)
    condition = Condition("nv", fst=2)
    changed, plain = next(own.sample([1], condition)), next(bare.sample([1], condition))
    assert not torch.equal(changed.image, plain.image)
    assert (own.licence, bare.licence) == ("CC-BY-NC-4.0", "CC0-1.0")
    assert "Somebody's images" in own.attribution
    assert changed.metadata["adapter_sha256"]
    half = next(generator(base, adapter=adapter, adapter_weight=0.0).sample([1], condition))
    assert (half.image.int() - plain.image.int()).abs().max() <= 1


def test_gates_of_an_adapter_with_an_index(base, adapter):
    dermoscopy = generator(base, adapter=adapter).gates("dermoscopy")
    assert [type(gate) for gate in dermoscopy] == [LesionGate, ClassGate, CopyGate]
    clinical = generator(base).gates("clinical")
    assert [type(gate) for gate in clinical] == [LesionGate]


def sample_of(image, mask):
    return Sample(image=image, masks={LESION: mask, HEALTHY_SKIN: ~mask}, metadata={}, seed=0)


def test_the_lesion_gate_turns_down_specks_and_floods():
    image = torch.full((3, 64, 64), 150, dtype=torch.uint8)
    disc, speck = torch.zeros(64, 64, dtype=torch.bool), torch.zeros(64, 64, dtype=torch.bool)
    disc[20:40, 20:40], speck[3, 3] = True, True
    condition = Condition("nv", fst=2)
    assert LesionGate()(image, sample_of(image, disc), condition).reason == ""
    for mask in (speck, ~speck):
        assert LesionGate()(image, sample_of(image, mask), condition).reason == "lesion size"


def test_the_copy_gate_turns_down_a_training_image_even_turned(adapter):
    data = skin_images(40)
    gate = CopyGate(CopyIndex.load(adapter / "training_images.safetensors"))
    training = data.images[5].rot90(1, (1, 2)).flip(2)
    finding = gate(training, sample_of(training, data.masks[5]), Condition("nv", fst=2))
    assert finding.reason == "copy of a training image"
    assert "training image 5" in finding.detail
    assert finding.facts["copy_score"] > gate.index.threshold


class _Says(torch.nn.Module):
    """A classifier that is told what to say, and keeps what it saw."""

    classes = ("nv", "mel")

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, images):
        self.saw = images
        return self.logits


def test_the_class_gate_compares_the_probability_of_the_class_with_its_threshold():
    data = skin_images(1)
    image, sample = data.images[0], sample_of(data.images[0], data.masks[0])
    gate = ClassGate(_Says(2.0, 0.0), {"nv": 0.5, "mel": 0.3})
    assert gate(image, sample, Condition("nv", fst=2)).reason == ""
    finding = gate(image, sample, Condition("mel", fst=2))
    assert finding.reason == "class not recognised"
    assert finding.facts == {"class_probability": pytest.approx(0.1192, abs=1e-4), "class_recognised": "nv"}
    assert gate(image, sample, Condition("bcc", fst=2)).reason == ""  # a class that the classifier does not know


def test_dark_skin_is_turned_light_before_the_classifier_sees_it():
    dark = torch.tensor([70, 45, 35], dtype=torch.uint8)[:, None, None].expand(3, 64, 64).clone()
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:40, 20:40] = True
    says = _Says(0.0, 0.0)
    ClassGate(says, {})(dark, sample_of(dark, mask), Condition("nv", fst=6))
    assert says.saw.float().mean() > 100 > dark.float().mean()


def test_shipped_thresholds_cover_every_class():
    gate = ClassGate.shipped()
    assert set(gate.least) == set(gate.classifier.classes)
    assert all(0 < least < 1 for least in gate.least.values())


def test_the_look_is_that_of_the_modality_or_what_the_adapter_saw(base, tmp_path):
    flow = tiny_flow()
    add_adapter(flow.velocity, rank=2)
    seen = {}
    for styles in (["isic2017"], ["isic2017", "ham10000"]):
        folder = save_adapter(flow, tmp_path / str(len(styles)), licence="CC0-1.0", styles=styles).parent
        sample = next(generator(base, adapter=folder).sample([1], Condition("nv", fst=2)))
        seen[len(styles)] = sample.metadata["style"]
    assert seen == {1: "isic2017", 2: "ham10000"}
    assert next(generator(base).sample([1], Condition("nv", fst=2))).metadata["style"] == "ham10000"


def test_precision_is_what_is_asked_for():
    assert precision("fp32") == "fp32"
    assert precision("bf16") == "bf16"
    assert precision("auto") in ("fp32", "bf16")
    with pytest.raises(InputError, match="fp8"):
        precision("fp8")


def test_errors_say_what_to_do(base, tmp_path):
    with pytest.raises(InputError, match="size must be 64 to 512 px"):
        FlowGenerator(32, base=base)
    with pytest.raises(InputError, match="no float maps"):
        FlowGenerator(64, maps=True, base=base)
    with pytest.raises(InputError, match=r"no compact flow in .*model_index\.json"):
        next(generator(tmp_path).sample([1], Condition("nv", fst=2)))
    with pytest.raises(InputError, match="adapter"):
        next(generator(base, adapter="nobody").sample([1], Condition("nv", fst=2)))
    with pytest.raises(InputError, match="has seen no image of style 'padufes20'"):
        next(generator(base).sample([1], Condition("nv", fst=2, modality="clinical")))
    with pytest.raises(InputError, match="expected one condition or 2, but got 1"):
        list(generator(base).sample([1, 2], [Condition("nv", fst=2)]))


def test_it_says_what_the_adapter_never_saw_and_what_is_resampled(base, adapter):
    notes = generator(base, adapter=adapter).notes([Condition("nv", fst=2), Condition("bcc", fst=2)])
    assert "trained on no image of bcc" in notes[0]
    assert "makes 32 px; images of 64 px are resampled" in notes[1]


def test_it_is_registered():
    assert load_generator("flow", size=128).name == "flow"
