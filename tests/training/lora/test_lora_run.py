"""Whole runs on tiny bases: train, save, load, draw, stop, continue."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from synthderm.core import InputError, MissingExtraError
from synthderm.training.lora import Interrupted, LoraConfig, train_lora
from synthderm.training.lora import loop as loop_module
from synthderm.training.lora import validation as validation_module

FAMILIES = ("flux", "sd3", "sd")
WEIGHTS = "pytorch_lora_weights.safetensors"


def config(base, data, output, **changes):
    options = dict(
        data=data, base=base, output=output, rank=2, alpha=4.0, steps=6, batch_size=2, resolution=64,
        learning_rate=1e-2, validate_every=3, samples=0, max_sequence_length=16, gradient_accumulation=2,
        dropout=0.2, hold_out=0.25, save_every=100, device="cpu", mixed_precision="no",
    )  # fmt: skip
    return LoraConfig(**{**options, **changes})


def journal(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return [(row["step"], row["loss"]) for row in journal(folder) if "loss" in row]


class StopAt:
    """A report that does something after a step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def __call__(self, what, done, total):
        if what == "training" and done == self.step:
            self.action()


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def crash():
    raise RuntimeError("the machine is gone")


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation_module, "LEAST_DRAWS", 4)
        yield


@pytest.fixture(scope="module")
def runs(bases, data, tmp_path_factory):
    """Family -> (folder, result) of a run without interruption."""
    root, made = tmp_path_factory.mktemp("runs"), {}

    def make(family):
        if family not in made:
            folder = root / family
            made[family] = folder, train_lora(config(bases(family), data, folder))
        return made[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupted_run_ends_bit_for_bit_like_one_that_was_not(bases, data, runs, tmp_path, family):
    whole, _ = runs(family)
    options = config(bases(family), data, tmp_path / "out")
    with pytest.raises(Interrupted, match="stopped after step 2, and all is saved"):
        train_lora(options, StopAt(2, interrupt))
    said = []
    train_lora(options, say=said.append)
    assert "continuing after step 2 of 6" in said
    straight, resumed = (load_file(str(folder / WEIGHTS)) for folder in (whole, tmp_path / "out"))
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert losses(whole) == losses(tmp_path / "out")
    assert len(losses(whole)) == 6


def test_a_killed_run_goes_on_from_its_last_state(bases, data, runs, tmp_path):
    whole, _ = runs("sd")
    options = config(bases("sd"), data, tmp_path / "out")
    with pytest.raises(RuntimeError, match="the machine is gone"):
        train_lora(options, StopAt(5, crash))
    assert [step for step, _ in losses(tmp_path / "out")] == [1, 2, 3, 4, 5]
    train_lora(config(bases("sd"), data, tmp_path / "out", resume=True))
    straight, resumed = (load_file(str(folder / WEIGHTS)) for folder in (whole, tmp_path / "out"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert losses(whole) == losses(tmp_path / "out")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_adapter_is_loaded_and_changes_the_images(bases, runs, family):
    from synthderm.models.adapters import load_adapter
    from synthderm.models.pipelines import load_pipeline

    folder, result = runs(family)
    pipeline = load_pipeline(bases(family), dtype="float32")

    def draw():
        return pipeline(
            "dermoscopic image of melanoma", height=64, width=64, num_inference_steps=2, guidance_scale=2.0,
            generator=torch.Generator().manual_seed(0), output_type="pt",
            **({} if family == "sd" else {"max_sequence_length": 16}),
        ).images  # fmt: skip

    before = draw()
    info = load_adapter(pipeline, folder)
    assert (info.rank, info.alpha, info.scale_known) == (2, 4.0, True)
    assert info.classes == ("nv", "mel")
    assert info.tones == (2,)
    assert info.resolution == 64
    assert (draw() - before).abs().max() > 1e-4
    assert result.parameters == sum(value.numel() for value in load_file(str(folder / WEIGHTS)).values())


def test_training_lowers_the_held_out_loss(runs):
    for family in ("flux", "sd3"):
        _, result = runs(family)
        assert result.after["held_out_loss"] < result.before["held_out_loss"]
        assert result.kept_step in (3, 6)


def test_an_adapter_that_learns_nothing_is_said_to(bases, data, tmp_path, monkeypatch):
    values = iter([1.0, 1.5, 1.25])
    monkeypatch.setattr(loop_module.Validation, "held_out_loss", lambda self: next(values))
    said = []
    options = config(bases("sd"), data, tmp_path, steps=2, validate_every=1)
    result = train_lora(options, say=said.append)
    assert result.kept_step == 2
    assert any("never fell below that of the base" in line for line in said)
    assert "learnt nothing that generalises" in (tmp_path / "README.md").read_text()


def test_the_folder_says_what_was_done(runs):
    folder, result = runs("flux")
    card = (folder / "README.md").read_text()
    assert "| `nv` melanocytic nevus | 3 |" in card
    assert "no image of bcc, akiec, bkl, df, vasc" in card
    assert "LicenseRef-unknown" in card
    facts = json.loads((folder / "adapter.json").read_text())
    assert facts["counts"]["classes"] == {"nv": 3, "mel": 3}
    assert facts["metrics"]["after"]["held_out_loss"] == result.after["held_out_loss"]
    assert facts["training"]["data"] == "data0"
    assert facts["training"]["max_sequence_length"] == 16
    record = json.loads((folder / "config.json").read_text())
    assert record["lora"]["rank"] == 2
    assert len((folder / "captions.jsonl").read_text().splitlines()) == 8
    assert [row["step"] for row in journal(folder) if "held_out_loss" in row] == [0, 3, 6]


def test_text_encoders_are_dropped_and_captions_encoded_once(bases, data, tmp_path, monkeypatch):
    from synthderm.training.lora.targets.stable_diffusion import StableDiffusionTarget

    encoded, released = [], []
    encode, release = StableDiffusionTarget.encode_texts, StableDiffusionTarget.release_encoders

    def counting(self, texts):
        encoded.extend(texts)
        return encode(self, texts)

    def noting(self):
        release(self)
        released.append(self.pipeline.text_encoder is None and self.pipeline.tokenizer is None)

    monkeypatch.setattr(StableDiffusionTarget, "encode_texts", counting)
    monkeypatch.setattr(StableDiffusionTarget, "release_encoders", noting)
    train_lora(config(bases("sd"), data, tmp_path, steps=1))
    captions = {json.loads(line)["caption"] for line in (tmp_path / "captions.jsonl").read_text().splitlines()}
    assert sorted(encoded) == sorted({*captions, ""})
    assert released == [True]
    encoded.clear()
    train_lora(config(bases("sd"), data, tmp_path, steps=2))
    assert encoded == []


def test_samples_and_kid_are_measured_before_and_during(bases, data, tmp_path):
    result = train_lora(config(bases("sd"), data, tmp_path, steps=1, samples=3, sample_steps=1, validate_every=1))
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-000000.png", "step-000001.png"]
    assert result.before["samples"] == 3
    assert (result.before["kid_images"], result.before["kid_train_images"]) == (2, 6)
    assert result.before["kid"] > 0
    assert result.before["kid_interval"] is None
    assert "| kernel distance (KID) to training images |" in (tmp_path / "README.md").read_text()


def test_training_stops_when_patience_runs_out(bases, data, tmp_path, monkeypatch):
    values = iter([0.4, 0.5, 0.9, 0.8, 0.7, 0.6, 0.6])
    monkeypatch.setattr(loop_module.Validation, "held_out_loss", lambda self: next(values))
    said = []
    options = config(bases("sd"), data, tmp_path, steps=50, validate_every=1, patience=2, ema=0.0)
    result = train_lora(options, say=said.append)
    assert result.stopped_early
    assert (result.steps, result.kept_step) == (3, 1)
    assert result.after["held_out_loss"] == 0.5
    assert any("stopped early after step 3" in line for line in said)
    more = train_lora(config(bases("sd"), data, tmp_path, steps=5, validate_every=1, patience=4, ema=0.0))
    assert (more.steps, more.stopped_early, more.kept_step) == (5, True, 1)
    values = iter([0.4, 0.5])
    alone = train_lora(config(bases("sd"), data, tmp_path / "alone", steps=1, validate_every=1, ema=0.0))
    kept, first = (load_file(str(folder / WEIGHTS)) for folder in (tmp_path, alone.folder))
    assert all(torch.equal(kept[name], first[name]) for name in first)


@pytest.mark.parametrize(("bad", "kept"), [("loss", 1), ("gradient", 2)])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good(bases, data, tmp_path, monkeypatch, bad, kept):
    """A loss that is no number condemns the weights that gave it, a gradient only the next ones."""
    from synthderm.training.lora.targets.stable_diffusion import StableDiffusionTarget

    loss, calls = StableDiffusionTarget.loss, []

    def failing(self, *arguments):
        calls.append(1)
        value = loss(self, *arguments)
        if len(calls) <= 4:
            return value
        if bad == "loss":
            return value * float("nan")
        value.register_hook(lambda gradient: gradient * float("inf"))
        return value

    monkeypatch.setattr(StableDiffusionTarget, "loss", failing)
    options = config(bases("sd"), data, tmp_path, validate_every=0, gradient_accumulation=2, hold_out=0.25)
    with pytest.raises(InputError, match=rf"the {bad} is .* at step 3; the adapter of step {kept} is kept .*lower"):
        train_lora(options)
    assert all(value.isfinite().all() for value in load_file(str(tmp_path / WEIGHTS)).values())
    assert "The run broke off" in (tmp_path / "README.md").read_text()


def test_out_of_memory_names_the_options_that_help(bases, data, tmp_path, monkeypatch):
    from synthderm.training.lora.targets.stable_diffusion import StableDiffusionTarget

    def full(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(StableDiffusionTarget, "loss", full)
    with pytest.raises(InputError) as caught:
        train_lora(config(bases("sd"), data, tmp_path, validate_every=0, gradient_checkpointing=True))
    message = str(caught.value)
    assert message.startswith("out of memory while training; what helps: --batch-size 1 --gradient-accumulation 4")
    assert "--mixed-precision bf16" in message
    assert "--gradient-checkpointing" not in message


def test_a_folder_of_another_run_is_refused(bases, data, runs, tmp_path):
    folder, _ = runs("sd")
    with pytest.raises(InputError, match=r"holds a run of another configuration.*at step 6"):
        train_lora(config(bases("sd"), data, folder, seed=9))
    with pytest.raises(InputError, match="nothing to resume"):
        train_lora(config(bases("sd"), data, tmp_path, resume=True))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds another run or a model"):
        train_lora(config(bases("sd"), data, tmp_path))


def test_changed_images_are_noticed(bases, tmp_path):
    import lora_sets

    folder = lora_sets.class_folders(tmp_path / "data", {"nv": 3})
    train_lora(config(bases("sd"), folder, tmp_path / "out", steps=1))
    lora_sets.draw_lesion(folder / "nv" / "0.png", seed=99)
    with pytest.raises(InputError, match="the images, captions or the base have changed"):
        train_lora(config(bases("sd"), folder, tmp_path / "out", steps=2))


def test_options_that_need_what_is_not_here(bases, data, tmp_path):
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        train_lora(config(bases("sd"), data, tmp_path, mixed_precision="fp16"))
    with pytest.raises(InputError, match="the adapter cannot be made"):
        train_lora(config(bases("sd"), data, tmp_path / "a", target_modules=("nothing",)))
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"synthderm\[quantize\]"):
            train_lora(config(bases("sd"), data, tmp_path / "b", optimizer="adamw8bit"))


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_with_checkpointing_trains_and_samples(bases, data, tmp_path, family):
    options = config(
        bases(family), data, tmp_path, mixed_precision="bf16", gradient_checkpointing=True, steps=2, validate_every=2,
        samples=2, sample_steps=1,
    )  # fmt: skip
    result = train_lora(options)
    assert result.after["held_out_loss"] > 0
    assert all(value.dtype == torch.float32 for value in load_file(str(tmp_path / WEIGHTS)).values())


def test_checkpointing_changes_no_weight(bases, data, runs, tmp_path):
    whole, _ = runs("sd3")
    train_lora(config(bases("sd3"), data, tmp_path, gradient_checkpointing=True))
    plain, checkpointed = (load_file(str(folder / WEIGHTS)) for folder in (whole, tmp_path))
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value, atol=1e-6, rtol=1e-4)


def test_accumulated_batches_are_the_mean_of_one_large_batch(bases, data, tmp_path):
    """With the same noise, two batches of one and one of two give the same gradient; noise is fixed here to zero."""
    from synthderm.training.lora.targets.stable_diffusion import StableDiffusionTarget

    def plain(self, model, latents, conditions, generator):
        steps = torch.full((len(latents),), 500)
        found = model(latents, steps, encoder_hidden_states=conditions["prompt_embeds"], return_dict=False)[0]
        return ((found - latents) ** 2).flatten(1).mean(1)

    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StableDiffusionTarget, "loss", plain)
        for batch_size, accumulation in ((2, 1), (1, 2)):
            folders[batch_size] = tmp_path / str(batch_size)
            options = config(
                bases("sd"), data, folders[batch_size], batch_size=batch_size, gradient_accumulation=accumulation,
                dropout=0.0, condition_dropout=0.0, augmentation="none", validate_every=0, ema=0.0, steps=3,
            )  # fmt: skip
            train_lora(options)
    one, two = (load_file(str(folder / WEIGHTS)) for folder in folders.values())
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-3)


def test_the_running_average_is_what_is_kept(bases, data, tmp_path):
    """After one step it lies 2/11 of the way back to the first weights: decay min(0.5, 2/11)."""
    last = train_lora(config(bases("sd"), data, tmp_path / "last", ema=0.0, steps=1, validate_every=0))
    mean = train_lora(config(bases("sd"), data, tmp_path / "mean", ema=0.5, steps=1, validate_every=0))
    own, averaged = (load_file(str(result.folder / WEIGHTS)) for result in (last, mean))
    up = [name for name in own if "lora_B" in name or ".up." in name]
    assert up
    for name in up:
        torch.testing.assert_close(averaged[name], own[name] * (1 - 2 / 11))
