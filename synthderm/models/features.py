"""Feature extractors behind one interface: ours, Inception, a local Hugging Face folder, anybody's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from synthderm.core import InputError, MissingExtraError
from synthderm.core.checks import unknown
from synthderm.core.threads import one_thread

from .checkpoints import load_checkpoint, prepare

EXTRACTORS: dict[str, str] = {
    "derm": "compact residual network, trained here on HAM10000, ISIC 2017 and PAD-UFES-20 (CC BY-NC 4.0)",
    "derm-open": "the same, trained on ISIC 2017, PAD-UFES-20 and simulated images only (CC BY 4.0)",
    "inception": "Inception v3 of the FID's authors, if torch-fidelity is installed with its weights",
}
"""Name of every extractor that can be loaded without a path -> what it is."""

CHUNK = 32


class FeatureExtractor(nn.Module):
    """(N, 3, H, W) uint8 sRGB images of any size to (N, num_features) float32 features.

    Also what torchmetrics takes as a custom ``feature`` of its image metrics. Images go through the network in chunks
    of a fixed size and with one thread, so that features do not depend on how a caller batches them.

    Subclasses implement :meth:`encode`.

    Attributes:
        name: how results name it.
        num_features: length of a feature vector.
        input_size: side that images are brought to (centre square, antialiased), px.
        weights_sha256: of the weights file or of all parameters, 64 hexadecimal digits.
        licence: SPDX name of the weights' licence, or "unknown".
        trained_on: names of the data sets that its weights have seen, as far as known.
    """

    def __init__(
        self,
        name: str,
        num_features: int,
        input_size: int,
        weights_sha256: str,
        licence: str,
        trained_on: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.name, self.num_features, self.input_size = name, num_features, input_size
        self.weights_sha256, self.licence, self.trained_on = weights_sha256, licence, trained_on

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(CHUNK, 3, input_size, input_size) float sRGB 0 to 1 to (CHUNK, num_features)."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of a batch.

        Args:
            images: (N, 3, H, W) uint8, sRGB.

        Returns:
            (N, num_features) float32.

        Raises:
            InputError: for images of another shape or type, or features of another shape than declared.
        """
        x = prepare(images, self.input_size)
        with one_thread():
            parts = [self.encode(chunk)[:kept] for chunk, kept in _chunks(x)]
        found = torch.cat(parts).float() if parts else torch.empty(0, self.num_features)
        if found.shape != (len(images), self.num_features):
            raise InputError(
                f"the extractor {self.name!r} must give {self.num_features} features per image, "
                f"but gave {tuple(found.shape)} for {len(images)} images"
            )
        return found

    def describe(self) -> dict[str, object]:
        """JSON values that go beside every figure made with it."""
        return {
            "name": self.name,
            "num_features": self.num_features,
            "input_size": self.input_size,
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "trained_on": list(self.trained_on),
        }


def _chunks(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Chunks of exactly CHUNK images, the last one filled up with black, and how many of each count."""
    for part in x.split(CHUNK):
        yield F.pad(part, (0, 0, 0, 0, 0, 0, 0, CHUNK - len(part))), len(part)


class DermExtractor(FeatureExtractor):
    """Pooled features of a shipped classifier."""

    def __init__(self, name: str) -> None:
        checkpoint = load_checkpoint(name)
        config, network = checkpoint.config, checkpoint.network
        trained_on = tuple(config.get("data", ())) + (("simulator",) if config.get("n_simulated") else ())
        super().__init__(
            checkpoint.name, network.num_features, config["input_size"], checkpoint.weights_sha256, config["licence"],
            trained_on,
        )  # fmt: skip
        self.network = network.eval()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Global average of the last feature maps."""
        return self.network.features(x)


class HuggingFaceExtractor(FeatureExtractor):
    """The pooled output (or class token) of a vision model in a local folder: DINOv2, CLIP, ViT and so on."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoConfig, AutoModel

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            network = AutoModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load a vision model from the folder {folder}: {_one_line(error)}") from error
        network = getattr(network, "vision_model", network).eval()
        config = getattr(config, "vision_config", config)
        size, width = getattr(config, "image_size", 224), getattr(config, "hidden_size", None)
        if width is None:
            raise InputError(f"{folder} is no vision model with a hidden_size: it is a {type(network).__name__}")
        super().__init__(str(folder.name), width, size, _hash(network), "unknown", ())
        self.network = network
        mean, deviation = _preprocessing(folder)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The model's pooled output, or its first token where it has none."""
        found = self.network(pixel_values=(x - self.mean) / self.deviation)
        pooled = getattr(found, "pooler_output", None)
        return found.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


def _preprocessing(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the folder's preprocessor_config.json; ImageNet's where there is none."""
    import json

    file = folder / "preprocessor_config.json"
    stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    mean = stated.get("image_mean", (0.485, 0.456, 0.406))
    deviation = stated.get("image_std", (0.229, 0.224, 0.225))
    return torch.tensor(mean)[:, None, None], torch.tensor(deviation)[:, None, None]


class InceptionExtractor(FeatureExtractor):
    """Inception v3 with 2,048 features (Heusel et al. 2017) as torch-fidelity loads it."""

    def __init__(self) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except Exception as error:  # it needs torchvision, which fails in many ways where it does not fit torch
            raise MissingExtraError("torch-fidelity, with a torchvision that fits torch", "inception") from error
        try:
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval()
        except Exception as error:  # it downloads its weights on first use
            raise InputError(f"torch-fidelity cannot load its Inception weights: {_one_line(error)}") from error
        super().__init__("inception", 2048, 299, _hash(network), "Apache-2.0", ("imagenet",))
        self.network = network

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Pool features of uint8 values, as the network expects them."""
        return self.network((x * 255).round().to(torch.uint8))[0]


class OutsideExtractor(FeatureExtractor):
    """Any ``torch.nn.Module`` with ``num_features`` that takes uint8 images, named "module:attr"."""

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__(name, network.num_features, 0, _hash(network), "unknown", ())
        self.network = network.eval()

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the module gives; preprocessing and batching are its own."""
        found = self.network(images)
        if found.shape != (len(images), self.num_features):
            raise InputError(
                f"the extractor {self.name!r} must give {self.num_features} features per image, "
                f"but gave {tuple(found.shape)} for {len(images)} images"
            )
        return found.float()


def load_extractor(name: str = "derm") -> FeatureExtractor:
    """A feature extractor by name.

    Args:
        name: one of :data:`EXTRACTORS`; a local Hugging Face folder of a vision model (nothing is downloaded); or
            "module:attr": a module with ``num_features`` that takes (N, 3, H, W) uint8, or a function that returns one.

    Raises:
        MissingExtraError: if a package is missing.
        InputError: if it cannot be loaded, saying where it was looked for.
    """
    if name == "inception":
        return InceptionExtractor()
    if name in EXTRACTORS:
        return DermExtractor(name)
    folder = Path(name)
    if (folder / "model.safetensors").is_file() and _is_ours(folder):
        return DermExtractor(str(folder.resolve()))
    if folder.is_dir():
        return HuggingFaceExtractor(folder)
    if ":" in name:
        return _outside(name)
    if "/" in name:
        raise InputError(
            f"there is no folder {name}; expected a local folder of a vision model (nothing is downloaded)"
        )
    raise unknown("extractor", name, EXTRACTORS, ", ".join((*EXTRACTORS, "a local folder", "module:attr")))


def _is_ours(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and '"weights_sha256"' in config.read_text(encoding="utf-8")


def _outside(name: str) -> FeatureExtractor:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load the extractor {name!r}: {error}") from error
    network = found if isinstance(found, nn.Module) else found()
    if not isinstance(network, nn.Module) or not hasattr(network, "num_features"):
        raise InputError(
            f"the extractor {name!r} must be a torch module with num_features, got {type(network).__name__}"
        )
    return network if isinstance(network, FeatureExtractor) else OutsideExtractor(name, network)


def _hash(network: nn.Module) -> str:
    """SHA-256 over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
