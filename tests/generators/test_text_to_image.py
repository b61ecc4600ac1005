"""FLUX, Stable Diffusion 3 and Stable Diffusion as generators, on tiny pipelines."""

import pytest
import tiny
import torch
from flows import skin_images
from peft import LoraConfig

from synthderm.core import Condition, InputError, SynthdermError, load_generator
from synthderm.generators import Generator
from synthderm.generators.likeness import ClassGate, CopyGate, LesionGate
from synthderm.generators.text_inputs import fill_prompt
from synthderm.models.adapters import save_adapter
from synthderm.models.bases import find_base
from synthderm.models.copy_index import COPIES, CopyIndex
from synthderm.models.pipelines import SAFETY_NOTE, denoiser_of

MEL = Condition("mel", 5)
QUICK = {"size": 64, "resolution": 64, "num_inference_steps": 2, "device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {family: str(tiny.save_tiny(family, root / family, licence="apache-2.0")) for family in tiny.FAMILIES}


@pytest.fixture(scope="module")
def made(bases):
    """Family -> (generator, its samples of three seeds)."""
    found = {}
    for family in tiny.FAMILIES:
        generator = load_generator(family, base=bases[family], **QUICK)
        found[family] = generator, list(generator.sample([1, 2, 3], [MEL, Condition("nv", 2), MEL]))
    return found


@pytest.fixture(scope="module")
def adapter(bases, tmp_path_factory):
    """Folder of a strong adapter for the tiny FLUX."""
    pipeline = tiny.tiny_pipeline("flux")
    network = denoiser_of(pipeline)[1]
    network.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))
    folder = tmp_path_factory.mktemp("adapter") / "derma"
    save_adapter(
        pipeline, folder, licence="CC-BY-NC-4.0", attribution=["Images of HAM10000"], base="tiny", resolution=64,
        base_fingerprint=find_base(bases["flux"]).fingerprint, classes=["mel"], tones=[5],
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_samples_are_whole_and_told_how_they_were_made(made, bases, family):
    generator, samples = made[family]
    assert isinstance(generator, Generator)
    assert [s.seed for s in samples] == [1, 2, 3]
    for sample in samples:
        assert sample.size == (64, 64)
        assert not (sample.masks["lesion"] & sample.masks["healthy_skin"]).any()
        assert sample.metadata["lesion_visible"] == bool(sample.masks["lesion"].any())
    assert samples[0].metadata["prompt"] == "dermoscopic image of melanoma, brown skin"
    assert samples[1].metadata["prompt"] == "dermoscopic image of melanocytic nevus, light skin"
    facts = samples[0].metadata
    assert (facts["base"], facts["num_inference_steps"], facts["resolution"]) == (bases[family], 2, 64)
    assert facts["base_fingerprint"] == find_base(bases[family]).fingerprint
    assert generator.licence == "Apache-2.0"
    assert SAFETY_NOTE in generator.attribution
    assert len(generator.version) == 10


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_image_depends_on_its_own_seed_and_condition_alone(made, bases, family):
    generator, samples = made[family]
    assert not torch.equal(samples[0].image, samples[2].image)
    again = load_generator(family, base=bases[family], batch_size=1, **QUICK)
    for i, condition in ((2, MEL), (1, Condition("nv", 2))):
        assert torch.equal(next(again.sample([i + 1], condition)).image, samples[i].image)
    other = next(generator.sample([1], Condition("nv", 2)))
    assert not torch.equal(other.image, samples[0].image)


def test_it_is_what_the_pipeline_itself_draws(made):
    for family, (_, samples) in made.items():
        more = {} if family == "sd" else {"max_sequence_length": 512 if family == "flux" else 256}
        scale = {"flux": 3.5, "sd3": 7.0, "sd": 7.5}[family]
        direct = tiny.tiny_pipeline(family)(
            "dermoscopic image of melanoma, brown skin", height=64, width=64, num_inference_steps=2,
            guidance_scale=scale, generator=torch.Generator().manual_seed(1), output_type="pt", **more,
        ).images[0]  # fmt: skip
        assert ((direct * 255) - samples[0].image).abs().max() <= 1


def test_what_is_drawn_is_resized(bases):
    big = next(load_generator("sd", base=bases["sd"], **{**QUICK, "size": 96}).sample([1], MEL))
    own = next(load_generator("sd", base=bases["sd"], **QUICK).sample([1], MEL))
    assert big.size == (96, 96)
    small = torch.nn.functional.interpolate(big.image[None].float(), size=64, mode="area")[0]
    assert (small - own.image).abs().mean() < 6
    assert load_generator("sd", base=bases["sd"]).resolution == 64  # the base's own
    assert load_generator("flux", base=bases["flux"]).resolution == 1024


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_negative_prompt_and_guidance_change_the_image(made, bases, family):
    plain = made[family][1][0].image
    for options in ({"negative_prompt": "hair"}, {"guidance_scale": 2.0}, {"num_inference_steps": 3}):
        other = load_generator(family, base=bases[family], **{**QUICK, **options})
        assert not torch.equal(next(other.sample([1], MEL)).image, plain)


def test_an_adapter_changes_images_licence_version_and_is_told(made, bases, adapter):
    plain = made["flux"][0]
    generator = load_generator("flux", base=bases["flux"], adapter=str(adapter), **QUICK)
    sample = next(generator.sample([1], MEL))
    assert not torch.equal(sample.image, made["flux"][1][0].image)
    assert generator.licence == "Apache-2.0 AND CC-BY-NC-4.0"
    assert generator.version.startswith(plain.version + "-")
    assert "Images of HAM10000" in generator.attribution
    assert (sample.metadata["adapter"], sample.metadata["adapter_weight"]) == ("derma", 1.0)
    off = load_generator("flux", base=bases["flux"], adapter=str(adapter), adapter_weight=0.0, **QUICK)
    difference = next(off.sample([1], MEL)).image.float() - made["flux"][1][0].image
    assert difference.abs().max() <= 1


def test_classes_and_tones_that_an_adapter_never_saw_are_said(bases, adapter):
    generator = load_generator("flux", base=bases["flux"], adapter=str(adapter))
    assert generator.resolution == 64
    assert generator.notes([MEL]) == ()
    notes = generator.notes([MEL, Condition("df", 1, modality="clinical")])
    assert [note.split(" (")[0] for note in notes[1:]] == [
        "the adapter was never trained on class df; the base alone knows it",
        "the adapter was never trained on skin type 1",
    ]


def test_a_caption_is_as_long_as_it_was_in_the_adapters_training(bases, tmp_path):
    pipeline = tiny.tiny_pipeline("flux")
    pipeline.transformer.add_adapter(LoraConfig(r=1, target_modules=["to_q"]))
    save_adapter(pipeline, tmp_path, licence="MIT", training={"max_sequence_length": 24})
    made = next(load_generator("flux", base=bases["flux"], adapter=str(tmp_path), **QUICK).sample([1], MEL)).image
    for tokens, same in ((24, True), (512, False)):
        direct = tiny.tiny_pipeline("flux")(
            "dermoscopic image of melanoma, brown skin", height=64, width=64, num_inference_steps=2,
            max_sequence_length=tokens, generator=torch.Generator().manual_seed(1), output_type="pt",
        ).images[0]  # fmt: skip
        assert (float(((direct * 255) - made).abs().max()) <= 1) == same


def test_an_adapter_of_another_base_of_the_same_shape_is_said(adapter, tmp_path):
    other = tiny.save_tiny("flux", tmp_path / "other", seed=8)
    notes = load_generator("flux", base=str(other), adapter=str(adapter)).notes([MEL])
    assert "another base of the same shape" in notes[1]
    assert "licence is unknown" in notes[0]


def test_a_template_is_filled_for_each_image_and_plain_text_stays():
    condition = Condition("bcc", 6, parameters={"border": 1.0})
    assert fill_prompt("sks {diagnosis}, {tone}: {attributes}", condition) == (
        "sks basal cell carcinoma, dark skin: irregular border"
    )
    assert fill_prompt("plain", condition) == "plain"
    assert fill_prompt("{caption}!", condition).endswith("dark skin, irregular border!")
    with pytest.raises(InputError, match=r"unknown place holder; expected \{caption\}"):
        fill_prompt("{colour}", condition)


def test_an_image_that_is_black_or_no_number_is_drawn_again_and_then_an_error(bases, monkeypatch):
    generator = load_generator("sd", base=bases["sd"], **QUICK)
    right = generator._images
    asked = []

    def flaky(seeds, prompts):
        asked.append(list(seeds))
        images = right(seeds, prompts)
        return [image * float("nan") if seed == 1 else image for image, seed in zip(images, seeds, strict=True)]

    monkeypatch.setattr(generator, "_images", flaky)
    sample = next(generator.sample([1], MEL))
    assert sample.metadata["draws"] == 2
    assert torch.equal(sample.image, next(generator.sample([asked[1][0]], MEL)).image)
    monkeypatch.setattr(generator, "_images", lambda seeds, _: [torch.zeros(3, 64, 64)] * len(seeds))
    with pytest.raises(SynthdermError, match=r"seed 1 is black or not a number after 4 draws in torch\.float32"):
        next(generator.sample([1], MEL))


def test_its_gates_judge_class_size_and_copies(bases, adapter):
    def kinds(modality, **options):
        return [type(gate) for gate in load_generator("flux", base=bases["flux"], **QUICK, **options).gates(modality)]

    assert kinds("dermoscopy") == [LesionGate, ClassGate]
    assert kinds("clinical", adapter=str(adapter)) == [LesionGate]
    images = skin_images(40).images
    CopyIndex.fit([images[:20]], [images[20:]], 0.1).save(adapter / COPIES)
    assert kinds("clinical", adapter=str(adapter)) == [LesionGate, CopyGate]
    (adapter / COPIES).unlink()


def test_out_of_memory_says_what_helps(bases, monkeypatch):
    generator = load_generator("sd", base=bases["sd"], **QUICK)

    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    monkeypatch.setattr(type(generator.pipeline), "__call__", full)
    with pytest.raises(SynthdermError, match=r"out of memory on cpu .*--resolution 32"):
        next(generator.sample([1], MEL))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "sd needs --base"),
        ({"base": "no/where"}, "no model 'no/where' on this machine"),
        ({"maps": True}, "makes no float maps"),
        ({"adapter_weight": 0.5}, "without an adapter"),
        ({"adapter": "no/where"}, "no adapter 'no/where'"),
        ({"prompt": "{thing}"}, "unknown place holder"),
        ({"resolution": 100}, "multiple of 16 px, but got 100; try 96"),
        ({"negative_prompt": "hair", "guidance_scale": 1.0}, "needs a guidance above 1"),
        ({"device": "gpu"}, "device must be"),
        ({"style": "ham"}, "the generator sd takes no style"),
    ],
)
def test_a_bad_option_is_one_clear_line(bases, options, says):
    given = {"base": bases["sd"], **options} if options else {}
    with pytest.raises(InputError, match=says):
        load_generator("sd", **given)


def test_a_number_of_conditions_that_does_not_fit_is_refused(made):
    with pytest.raises(InputError, match="one condition or 2"):
        list(made["sd"][0].sample([1, 2], [MEL]))
