"""The recipe: one field per flag, with the same name on the command line, in YAML and in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from synthderm.core import InputError, Modality, ParameterValue, parse_diagnoses, parse_fst
from synthderm.core.checks import unknown
from synthderm.core.registry import default_size
from synthderm.models.prompts import PromptRequest

from . import fields as read
from .prompt import followed, read_prompt, without_what_it_says

ALIASES = {
    "class": "diagnosis", "n": "num_images", "steps": "num_inference_steps", "guidance": "guidance_scale",
}  # fmt: skip
"""``class`` is the flag and the YAML key; Python, which reserves the word, says ``diagnosis``."""

GENERATOR_OPTIONS = (
    "base", "adapter", "adapter_weight", "negative_prompt", "num_inference_steps", "guidance_scale", "resolution",
    "style", "device", "dtype", "offload", "quantization",
)  # fmt: skip
"""Fields that are handed to the generator's class where they are given."""

WHERE_IT_RUNS = ("device", "offload")
"""Fields that change neither what is asked for nor what an image is called."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "diagnosis": parse_diagnoses,
    "fst": parse_fst,
    "ita": read.read_ita,
    "num_images": read.whole_number("num_images", 1),
    "output": read.read_path,
    "seed": read.whole_number("seed", 0),
    "size": read.whole_number("size", *read.SIZE_RANGE_PX),
    "modality": read.read_modality,
    "generator": str,
    "masks": read.read_masks,
    "maps": read.read_flag("maps"),
    "format": read.read_format,
    "workers": read.whole_number("workers", 0, 1024),
    "batch_size": read.whole_number("batch_size", 1, 4096),
    "shard": read.read_shard,
    "set": read.read_assignments,
    "plan": read.read_path,
    "paired": read.read_flag("paired"),
    "vary": str,
    "overwrite": read.read_flag("overwrite"),
    "base": read.text("base"),
    "adapter": read.text("adapter"),
    "adapter_weight": read.number("adapter_weight", -2, 2),
    "prompt": read.text("prompt"),
    "negative_prompt": read.text("negative_prompt"),
    "num_inference_steps": read.whole_number("steps", 1, 1000),
    "guidance_scale": read.number("guidance", 0, 30),
    "resolution": read.whole_number("resolution", 64, 2048),
    "style": read.text("style"),
    "device": read.text("device"),
    "dtype": read.read_dtype,
    "offload": read.choice("offload", ("model", "sequential")),
    "quantization": read.choice("quantization", ("int8", "nf4")),
    "gates": read.read_flag("gates"),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that ``synthderm generate`` can be asked for.

    Attributes:
        diagnosis: classes, any spelling, kept as codes; images cycle through them. The flag is ``--class``.
        fst: skin types 1 to 6; all six (``uniform``) where neither ``fst`` nor ``ita`` is given.
        ita: tones in degrees instead of types: (low, high) pairs, equal for a single angle; every image draws
            its own from a range.
        num_images: images in all; by default 12, or the plan's total, or what a sweep or pairing needs.
        output: folder; by default a fresh one named after the request.
        seed: the run's seed; image i depends on (seed, i) alone.
        size: pixels per side, 64 to 1024; by default the generator's own: 256, for the flow 128.
        modality: "dermoscopy" or "clinical"; by default the plan's, else dermoscopy.
        generator: a name that ``synthderm info`` lists, or "module:class".
        masks: "lesion", "all", or the names of attributes.
        maps: whether float maps (melanin, blood, height, normals) are written too.
        format: "png", "jpg" or "webp".
        workers: processes; 0 makes the images in the calling one. By default one per processor.
        batch_size: images per call of the generator; changes no pixel.
        shard: (k, n): this run makes part k of n.
        set: scene parameters held at a value.
        plan: file written by ``synthderm plan``; its cells are filled exactly.
        paired: the same lesion on every requested tone.
        vary: one name that is swept, all else fixed: "lesion.asymmetry", "lesion.asymmetry=0:1", "fst".
        overwrite: whether output of another recipe may be removed from the folder first.
        base: model that the generator draws with: a path, or an id in the hub's cache.
        adapter: LoRA adapter for it: a name, a path, or an id in the hub's cache.
        adapter_weight: how strongly the adapter is applied, -2 to 2; 1 is as trained.
        prompt: what to show, in words; gives class, tone, modality and attributes where it names them. Generators
            that read text get it as it is, with ``{caption}``, ``{tone}``, ... filled in.
        negative_prompt: what not to show, for generators that read text.
        num_inference_steps: denoising steps. The flag is ``--steps``.
        guidance_scale: how closely a request is followed. The flag is ``--guidance``.
        resolution: px per side at which a large model draws; the images are resized to ``size``.
        style: look of the images, one of the generator's.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto", "fp32", "bf16" or "fp16".
        offload: "model" or "sequential": keep parts of a large model off the GPU.
        quantization: "int8" or "nf4" weights of a large model.
        gates: whether images must pass the gates (tone, class, copies) before they are written.

    Raises:
        InputError: for a value that cannot be used, or flags that exclude each other.
    """

    diagnosis: tuple[str, ...] = ()
    fst: tuple[int, ...] = ()
    ita: tuple[tuple[float, float], ...] = ()
    num_images: int | None = None
    output: Path | None = None
    seed: int = 0
    size: int | None = None
    modality: Modality | None = None
    generator: str = "simulator"
    masks: str | tuple[str, ...] = "lesion"
    maps: bool = False
    format: str = "png"
    workers: int | None = None
    batch_size: int = 16
    shard: tuple[int, int] = (1, 1)
    set: Mapping[str, ParameterValue] = field(default_factory=dict)
    plan: Path | None = None
    paired: bool = False
    vary: str | None = None
    overwrite: bool = False
    base: str | None = None
    adapter: str | None = None
    adapter_weight: float | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    resolution: int | None = None
    style: str | None = None
    device: str | None = None
    dtype: str | None = None
    offload: str | None = None
    quantization: str | None = None
    gates: bool = True

    def __post_init__(self) -> None:
        for name, reader in _READERS.items():
            value = getattr(self, name)
            if value is not None and value != ():
                object.__setattr__(self, name, reader(value))
        for name, value in followed(self).items():
            object.__setattr__(self, name, value)
        self._check_combination()

    def _check_combination(self) -> None:
        if self.fst and self.ita:
            raise InputError("fst and ita are both given; give one of the two")
        if self.plan and (self.diagnosis or self.fst or self.ita or self.num_images):
            raise InputError("a plan says how many images of which class and tone; leave out class, fst, ita, n")
        if self.plan and (self.paired or self.vary):
            raise InputError("a plan cannot be combined with paired or vary")
        if self.paired and self.vary:
            raise InputError("paired and vary are both given; for the same lesion on every tone paired is enough")

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """A recipe from flag names and values; ``None`` counts as not given.

        Args:
            flags: values by flag name (``class``, ``fst``, ``num_images``, ...).
            source: what the flags come from, for the error of an unknown one.

        Raises:
            InputError: for an unknown name, with near matches, and as the class itself does.
        """
        return cls(**known_flags(flags, source))

    @property
    def tones(self) -> tuple[read.Tone, ...]:
        """The requested tones; all six types where none is named."""
        return read.read_tones(self.fst, self.ita)

    @property
    def prompt_request(self) -> PromptRequest:
        """What the prompt was understood to ask for; nothing without one."""
        return read_prompt(self)

    def generator_options(self) -> dict[str, Any]:
        """What is handed to the generator's class: always size, masks and maps, and else what is given."""
        given = {name: getattr(self, name) for name in GENERATOR_OPTIONS if getattr(self, name) is not None}
        return {"size": self.size or default_size(self.generator), "masks": self.masks, "maps": self.maps, **given}

    def offered_options(self) -> dict[str, Any]:
        """What the generator's class gets if it takes it."""
        return {"batch_size": self.batch_size} | ({"prompt": self.prompt} if self.prompt else {})

    def to_flags(self) -> dict[str, Any]:
        """The flags as plain YAML values, without those of one run (output, workers, shard, batch_size, overwrite).

        A flag of the generator is there only if it is given, so that a folder that was made before the flag existed
        keeps its identity.
        """
        tones = {"ita": [f"{low}..{high}" if low != high else low for low, high in self.ita]}
        if not self.ita:
            tones = {} if self.plan else {"fst": [tone.fst for tone in self.tones]}
        values: dict[str, Any] = {
            "class": list(self.diagnosis) or None,
            **tones,
            "num_images": self.num_images,
            "seed": self.seed,
            "size": self.size,
            "modality": self.modality,
            "generator": self.generator,
            "masks": self.masks if isinstance(self.masks, str) else list(self.masks),
            "maps": self.maps,
            "format": self.format,
            "set": dict(self.set),
            "plan": str(self.plan) if self.plan else None,
            "paired": self.paired,
            "vary": self.vary,
            "prompt": self.prompt,
            **{name: getattr(self, name) for name in GENERATOR_OPTIONS},
            "gates": None if self.gates else False,
        }
        return {name: value for name, value in values.items() if value is not None}


def known_flags(flags: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Field names and values of the flags that are given."""
    names = [f.name for f in fields(Recipe)]
    known: dict[str, Any] = {}
    for flag, value in flags.items():
        name = ALIASES.get(flag, flag).replace("-", "_")
        if name not in names:
            spelled = [{"diagnosis": "class"}.get(n, n) for n in names]
            raise unknown(f"key in {source}", str(flag), spelled)
        if value is None:
            continue
        if name in known:
            raise InputError(f"{source} gives {flag!r} twice, under two names")
        known[name] = value
    return known


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Flags of a recipe file with those of a command line on top.

    ``set`` is merged name by name; a tone of the command line replaces the file's tone whether that is a type
    or an angle, and a class replaces a plan and the other way round. A prompt of the command line replaces the class,
    the tone and the modality of the file where it names them.
    """
    rivals = ({"fst", "ita"}, {"plan", "diagnosis"}, {"plan", "num_images"}, {"plan", "fst"}, {"plan", "ita"})
    kept = without_what_it_says(base, over["prompt"]) if over.get("prompt") else dict(base)
    for pair in rivals:
        for name in pair & set(over):
            for rival in pair - {name}:
                kept.pop(rival, None)
    result = {**kept, **over}
    if "set" in base and "set" in over:
        result["set"] = {**read.read_assignments(base["set"]), **read.read_assignments(over["set"])}
    return result
