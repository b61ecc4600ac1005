"""The recipe: one field per flag, with the same name on the command line, in YAML and in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from synthderm.core import InputError, Modality, ParameterValue, parse_diagnoses, parse_fst
from synthderm.core.checks import unknown

from . import fields as read

ALIASES = {"class": "diagnosis", "n": "num_images"}
"""``class`` is the flag and the YAML key; Python, which reserves the word, says ``diagnosis``."""

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
        size: pixels per side, 64 to 1024.
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

    Raises:
        InputError: for a value that cannot be used, or flags that exclude each other.
    """

    diagnosis: tuple[str, ...] = ()
    fst: tuple[int, ...] = ()
    ita: tuple[tuple[float, float], ...] = ()
    num_images: int | None = None
    output: Path | None = None
    seed: int = 0
    size: int = 256
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

    def __post_init__(self) -> None:
        for name, reader in _READERS.items():
            value = getattr(self, name)
            if value is not None and value != ():
                object.__setattr__(self, name, reader(value))
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

    def to_flags(self) -> dict[str, Any]:
        """The flags as plain YAML values, without those of one run (output, workers, shard, overwrite)."""
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
    or an angle, and a class replaces a plan and the other way round.
    """
    rivals = ({"fst", "ita"}, {"plan", "diagnosis"}, {"plan", "num_images"}, {"plan", "fst"}, {"plan", "ita"})
    kept = dict(base)
    for pair in rivals:
        for name in pair & set(over):
            for rival in pair - {name}:
                kept.pop(rival, None)
    result = {**kept, **over}
    if "set" in base and "set" in over:
        result["set"] = {**read.read_assignments(base["set"]), **read.read_assignments(over["set"])}
    return result
