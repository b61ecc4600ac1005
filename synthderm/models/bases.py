"""Large text-to-image models on this machine: where they lie, which family they are, what is known of them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from synthderm.core import InputError
from synthderm.core.checks import unknown

INDEX = "model_index.json"
UNKNOWN_LICENCE = "LicenseRef-unknown"

_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


@dataclass(frozen=True)
class Family:
    """What the pipelines of one family have in common.

    Attributes:
        name: as in ``--generator``.
        title: plain name.
        pipeline: the class of diffusers.
        denoiser: the component that an adapter is trained on.
        quantised: the components that are worth it.
        num_inference_steps, guidance_scale: used where a person gives none; those of the model cards.
        resolution: px per side that published models of the family were trained at.
    """

    name: str
    title: str
    pipeline: str
    denoiser: str
    quantised: tuple[str, ...]
    num_inference_steps: int
    guidance_scale: float
    resolution: int


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("flux", "FLUX.1", "FluxPipeline", "transformer", ("transformer", "text_encoder_2"), 28, 3.5, 1024),
        Family(
            "sd3", "Stable Diffusion 3", "StableDiffusion3Pipeline", "transformer", ("transformer", "text_encoder_3"),
            28, 7.0, 1024,
        ),
        Family("sd", "Stable Diffusion 1.x/2.x", "StableDiffusionPipeline", "unet", ("unet",), 30, 7.5, 512),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A base model that was found.

    Attributes:
        name: as the person gave it: a path or an id of the hub.
        place: the folder in diffusers layout, or a single .safetensors file.
        family: one of :data:`FAMILIES`.
    """

    name: str
    place: Path
    family: Family

    @cached_property
    def header(self) -> dict[str, Any]:
        """The YAML block of the model card, {} if there is none."""
        return card_header(self.place)

    @property
    def licence(self) -> str:
        """The card's licence, or :data:`UNKNOWN_LICENCE`."""
        return licence_of(self.header)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the denoiser, {} for a single file."""
        return self._part(self.family.denoiser)

    @property
    def resolution(self) -> int:
        """Side of the images that the base draws best, px."""
        widths, sample = self._part("vae").get("block_out_channels"), self.configuration.get("sample_size")
        if self.family.name == "flux" or not widths or not isinstance(sample, int):
            return self.family.resolution
        return sample * 2 ** (len(widths) - 1)

    @property
    def has_guidance(self) -> bool:
        """Whether a guidance scale has an effect; FLUX.1 schnell has none."""
        return self.family.name != "flux" or bool(self.configuration.get("guidance_embeds", True))

    def _part(self, name: str) -> dict[str, Any]:
        path = self.place / name / "config.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def empty_denoiser(self) -> Any:
        """The denoiser without weights, on the meta device: its layers and their sizes.

        Raises:
            InputError: if its configuration is missing or of no known class.
        """
        import diffusers
        from accelerate import init_empty_weights

        kind = getattr(diffusers, str(self.configuration.get("_class_name")), None)
        if kind is None:
            raise InputError(
                f"{self.place / self.family.denoiser / 'config.json'} is missing or damaged; fetch it again"
            )
        with init_empty_weights():
            return kind.from_config(self.configuration)

    @property
    def attribution(self) -> str:
        """One line for the outputs."""
        return f"Drawn by {self.family.title} ({self.name}, licence {self.licence})."

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the index and configurations in full and of evenly spread samples of each weights file.

        Reading tens of gigabytes at every start would take longer than the images; 64 samples of 64 KiB with the
        file's size tell different weights apart.
        """
        return fingerprint(self.place)


def find_base(path: str | Path, family: str | None = None, allow_download: bool = False) -> Base:
    """A base model by path or hub id: a local folder or file first, then the hub's cache.

    Args:
        path: folder in diffusers layout, .safetensors file of Stable Diffusion, or "owner/name" on the hub.
        family: one of :data:`FAMILIES`; found from ``model_index.json`` if None.
        allow_download: fetch it from the hub where it is not on this machine.

    Raises:
        InputError: if it is nowhere (the message lists every place), or of another family.
    """
    if family is not None and family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    place = _find_place(str(path), allow_download)
    found = FAMILIES["sd"] if place.is_file() else _family_of(place)
    if family not in (None, found.name):
        raise InputError(f"{path} is {found.title}; use --generator {found.name} for it, not {family}")
    return Base(str(path), place, found)


def _find_place(path: str, allow_download: bool) -> Path:
    local = Path(path).expanduser()
    searched = [f"{local.absolute()}" + (f" (a folder without {INDEX})" if local.is_dir() else "")]
    if (local / INDEX).is_file() or (local.is_file() and local.suffix == ".safetensors"):
        return local
    if local.is_file():
        raise InputError(f"{local} is no model: expected a folder with {INDEX}, or a .safetensors file")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        cached, cache = cached_folder(path, INDEX)
        if cached:
            return cached
        searched.append(f"{cache} (the hub's cache, HF_HOME)")
        if allow_download:
            return _download(path)
    raise InputError(
        f"there is no model {path!r} on this machine; looked in {' and in '.join(searched)}. Give --base the folder of "
        f"a pipeline that diffusers saved; `huggingface-cli download {path}` puts one from the hub into its cache"
    )


def cached_folder(repo: str, name: str) -> tuple[Path | None, str]:
    """The snapshot of a hub repository that holds the file ``name``, if it was downloaded, and where the cache is."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(repo, name)
    cache = str(Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}")
    return (Path(found).parent if isinstance(found, str) else None), cache


def _download(repo: str) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(repo))
    except Exception as error:  # the network fails in many ways; the reason is the answer
        raise InputError(f"cannot download {repo}: {' '.join(str(error).split())[:300]}") from error


def _family_of(folder: Path) -> Family:
    try:
        name = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / INDEX} is damaged ({error}); fetch the model again") from error
    for family in FAMILIES.values():
        if family.pipeline == name:
            return family
    known = ", ".join(f"{family.pipeline} ({key})" for key, family in FAMILIES.items())
    hint = "; it is a compact flow: --generator flow loads it" if name == "SkinFlowPipeline" else ""
    raise InputError(f"{folder} is a {name}, but expected one of {known}{hint}")


def cached_bases() -> list[Base]:
    """The base models that the hub's cache of this machine holds, by name."""
    from huggingface_hub import constants

    found: dict[str, Base] = {}
    for index in sorted(Path(constants.HF_HUB_CACHE).glob(f"models--*/snapshots/*/{INDEX}")):
        name = index.parts[-4].removeprefix("models--").replace("--", "/")
        try:
            found[name] = Base(name, index.parent, _family_of(index.parent))
        except InputError:  # of a family that this library does not draw with
            continue
    return list(found.values())


def card_header(place: Path) -> dict[str, Any]:
    """The YAML block on top of the README.md of a model folder (or beside a file); {} if there is none."""
    card = (place if place.is_dir() else place.parent) / "README.md"
    if not card.is_file():
        return {}
    match = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        header = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}
    return header if isinstance(header, dict) else {}


def licence_of(header: dict[str, Any]) -> str:
    """The licence that the header of a model card names, :data:`UNKNOWN_LICENCE` if none.

    The hub writes licences in small letters; those of the SPDX list get their SPDX name.
    """
    name = str(header.get("license") or "")
    if name in ("other", ""):
        name = str(header.get("license_name") or name)
    if name in ("", "unknown"):
        return UNKNOWN_LICENCE
    spelled = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc0-1.0": "CC0-1.0"}
    if name.startswith("cc-"):
        return name.upper()
    return spelled.get(name, name if name in spelled.values() or name[:1].isupper() else f"LicenseRef-{name}")


def fingerprint(place: Path) -> str:
    """See :attr:`Base.fingerprint`; of a folder or a single file."""
    digest = hashlib.sha256()
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*.*") if path.is_file())
    for path in files:
        if path.suffix in (".json", ".txt", ".model"):
            digest.update(f"{path.relative_to(place)}\n".encode() + path.read_bytes())
        elif path.suffix in (".safetensors", ".bin"):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            _add_samples(digest, path)
    return digest.hexdigest()


def _add_samples(digest: Any, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for i in range(_SAMPLES):
            file.seek(max(0, (size - _SAMPLE_BYTES) * i // (_SAMPLES - 1)))
            digest.update(file.read(_SAMPLE_BYTES))
