import sys
import types

import pytest
import torch
from torch import nn

from synthderm.core import InputError, MissingExtraError
from synthderm.models import FeatureExtractor, load_extractor


class Tiny(FeatureExtractor):
    def __init__(self):
        super().__init__("tiny", 8, 32, "0" * 64, "CC0-1.0", ())
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def encode(self, x):
        return self.network(x)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (70, 3, 40, 50), dtype=torch.uint8, generator=generator)


def test_features_do_not_depend_on_the_batches(images):
    extractor = Tiny()
    whole = extractor(images)
    for size in (1, 7, 33):
        assert torch.equal(torch.cat([extractor(part) for part in images.split(size)]), whole)
    turned = extractor(images.flip(0)).flip(0)
    assert torch.equal(turned, whole)


def test_no_images_give_no_features():
    assert Tiny()(torch.empty(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 8)


def test_wrong_images_and_wrong_promises():
    with pytest.raises(InputError, match="expected \\(N, 3, H, W\\) uint8 images"):
        Tiny()(torch.rand(2, 3, 32, 32))
    liar = Tiny()
    liar.num_features = 9
    with pytest.raises(InputError, match="must give 9 features per image, but gave \\(2, 8\\)"):
        liar(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


def test_torchmetrics_takes_it(images):
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Tiny())
    metric.update(images[:35], real=True)
    metric.update(images[35:], real=False)
    assert metric.compute() < 0.1 * metric_against_black(images)


def metric_against_black(images):
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Tiny())
    metric.update(images, real=True)
    metric.update(images // 8, real=False)
    return metric.compute()


@pytest.fixture
def outside(monkeypatch):
    """A module of a user with an extractor, a function that makes one, and something else."""

    class Mean(nn.Module):
        num_features = 3

        def forward(self, images):
            return images.double().mean((2, 3))

    module = types.ModuleType("users_extractor")
    module.Mean, module.mean, module.number = Mean, Mean(), lambda: 5
    monkeypatch.setitem(sys.modules, "users_extractor", module)


def test_any_module_by_import_path(outside, images):
    for name in ("users_extractor:Mean", "users_extractor:mean"):
        extractor = load_extractor(name)
        assert torch.allclose(extractor(images), images.float().mean((2, 3)), atol=1e-3)
        assert extractor.describe()["name"] == name
        assert len(extractor.weights_sha256) == 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("users_extractor:number", "must be a torch module with num_features, got int"),
        ("users_extractor:nothing", "cannot load the extractor"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("dern", "unknown extractor 'dern'; did you mean 'derm'"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
    ],
)
def test_what_cannot_be_loaded_is_said(outside, name, message):
    with pytest.raises(InputError, match=message):
        load_extractor(name)


def test_inception_needs_its_extra():
    try:
        import torch_fidelity  # noqa: F401
    except Exception:
        with pytest.raises(MissingExtraError, match=r"torch-fidelity.*pip install 'synthderm\[inception\]'"):
            load_extractor("inception")
    else:
        pytest.skip("torch-fidelity is installed here")


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
def test_a_local_hugging_face_folder(kind, tmp_path, images):
    """Tiny random models, saved as their owners save them and loaded without a network."""
    import transformers as t

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    if kind == "dinov2":
        model = t.Dinov2Model(t.Dinov2Config(**small))
    else:
        vision = t.CLIPVisionConfig(**small, intermediate_size=16)
        text = t.CLIPTextConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        model = t.CLIPModel(t.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))
    model.save_pretrained(tmp_path)
    extractor = load_extractor(str(tmp_path))
    assert (extractor.num_features, extractor.input_size) == (16, 28)
    found = extractor(images)
    assert found.shape == (70, 16)
    assert torch.equal(extractor(images[:3]), found[:3])


def test_a_folder_without_a_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot load a vision model from the folder"):
        load_extractor(str(tmp_path))
