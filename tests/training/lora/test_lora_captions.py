import json
from collections import Counter

import pytest
import torch
from PIL import Image

from synthderm.core import InputError, tone_band
from synthderm.data.tone import pixel_tone
from synthderm.functional.tone_shift import apply_gains
from synthderm.training.lora.examples import make_examples, read_captions, write_captions
from synthderm.training.lora.images import open_images
from synthderm.training.lora.looks import ranks


@pytest.fixture
def images(data):
    return open_images(data, hold_out=0.2, seed=0)


def test_captions_say_class_tone_and_abcd(images):
    examples, notes = make_examples(images)
    assert notes == []
    texts = [example.caption for example in examples]
    for example in examples:
        name = "melanoma" if example.diagnosis == "mel" else "melanocytic nevus"
        assert example.caption.startswith(f"dermoscopic image of {name}, light skin")
    assert 0 < sum("border" in text for text in texts) < len(texts)
    assert sum(example.held_out for example in examples) == len(images.held_out)


def test_a_written_file_is_read_back_and_edited(images, tmp_path):
    examples, _ = make_examples(images)
    file = tmp_path / "captions.jsonl"
    write_captions(file, examples)
    assert read_captions(file) == {example.file: example.caption for example in examples}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["part"] for line in lines} == {"train", "held out"}
    lines[0]["caption"] = "a mole of mine"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines[:1]))
    edited, notes = make_examples(images, file)
    assert edited[0].caption == "a mole of mine"
    assert edited[1].caption == examples[1].caption
    assert notes == [f"7 images have no caption in {file} and get a generated one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense\n", "line 1: expected"),
        ('{"file": "a.png"}\n', "line 1: expected"),
        ('{"file": "a.png", "caption": " "}\n', "not empty"),
        ('{"file": "a.png", "caption": "x"}\n' * 2, "line 2: expected one line for each file"),
    ],
)
def test_bad_captions_name_their_line(tmp_path, text, message):
    file = tmp_path / "captions.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_captions(file)


def test_captions_for_other_files_are_refused(images, tmp_path):
    file = tmp_path / "captions.jsonl"
    file.write_text('{"file": "elsewhere.png", "caption": "x"}\n')
    with pytest.raises(InputError, match=r"1 files that the data set does not hold.*elsewhere\.png"):
        make_examples(images, file)


def test_ranks_are_shares_of_lower_values():
    nan = float("nan")
    looks = [(50.0, 10.0, 15.0, *(float(v),) * 5) for v in (3, 1, 2, 4)] + [(nan,) * 8]
    found = ranks(looks)
    assert [row.get("size") for row in found] == [0.5, 0.0, 0.25, 0.75, None]
    assert found[-1] == {}


def test_training_images_come_on_other_tones_too(images, tmp_path):
    examples, _ = make_examples(images, tones=40, seed=1)
    train = [example for example in examples if not example.held_out]
    assert sum(example.held_out for example in examples) == len(images.held_out)
    assert len(train) == 41 * len(images.train)
    shifted = [example for example in train if example.gains]
    found = Counter(example.fst for example in shifted)
    assert min(found[fst] for fst in range(1, 7)) > len(shifted) / 12
    for example in shifted:
        name = tone_band(example.fst).name
        assert f"{name} skin" in example.caption
        assert "#" in example.file
    file = tmp_path / "captions.jsonl"
    write_captions(file, examples)
    assert make_examples(images, file, tones=40, seed=1)[0] == examples


def test_a_version_has_the_skin_that_it_is_said_to_have(images):
    """Measured on the shifted pixels, by the library's own tone of an image."""
    examples, _ = make_examples(images, tones=6, seed=2)
    for example in examples:
        if example.gains:
            pixels = apply_gains(images.pixels(images.all[example.place], 64), torch.tensor(example.gains))
            measured = pixel_tone(Image.fromarray(pixels.permute(1, 2, 0).numpy())).ita_deg
            assert measured == pytest.approx(example.ita_deg, abs=4)
