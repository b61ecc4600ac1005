"""What a scene is made of: maps of pigment, blood and surface, edited layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch

Fields = dict[str, torch.Tensor]


@dataclass
class Tissue:
    """Maps of one scene, each (H, W) float32.

    Attributes:
        melanin: the skin's own melanosome fraction of the epidermis, [0.002, 0.6].
        pigment: melanosome fraction that the lesion adds to it.
        papillary: melanosome fraction of the papillary dermis.
        deep: melanosome fraction of the mid dermis.
        blood: blood volume fraction of the dermis.
        keratin: white surface layer, 0 (none) to 1 (opaque).
        fibrosis: white fibrous dermis, 0 to 1.
        pool: share of the pixel that is a lake of blood (lagoon, dilated vessel), 0 to 1.
        pool_mm: thickness of that lake, mm.
    """

    melanin: torch.Tensor
    pigment: torch.Tensor
    papillary: torch.Tensor
    deep: torch.Tensor
    blood: torch.Tensor
    keratin: torch.Tensor
    fibrosis: torch.Tensor
    pool: torch.Tensor
    pool_mm: torch.Tensor

    def reduced(self, step: int) -> Tissue:
        """A copy of every ``step``-th pixel."""
        return Tissue(**{f.name: getattr(self, f.name)[::step, ::step].clone() for f in fields(self)})

    def clamp_(self) -> Tissue:
        """Bring every map into its range, in place."""
        self.pigment.clamp_(min=0)
        self.papillary.clamp_(0, 0.15)
        self.deep.clamp_(0, 0.15)
        self.blood.clamp_(5e-4, 0.9)
        self.keratin.clamp_(0, 1)
        self.fibrosis.clamp_(0, 1)
        self.pool.clamp_(0, 1)
        self.pool_mm.clamp_(0.03, 1)
        return self

    @property
    def epidermal(self) -> torch.Tensor:
        """All melanin of the epidermis, as a share of melanosomes, [0.002, 0.6]."""
        return (self.melanin + self.pigment).clamp(0.002, 0.6)


@dataclass(frozen=True)
class Layer:
    """One structure: where it is, and what it does to the tissue.

    Attributes:
        name: name of its mask.
        mask: (H, W) bool, where it was placed.
        edit: changes a :class:`Tissue` in place, given ``maps``.
        maps: what ``edit`` needs, each (H, W); kept apart so that the edit also runs on a reduced copy.
    """

    name: str
    mask: torch.Tensor
    edit: Callable[[Tissue, Fields], None]
    maps: Fields = field(default_factory=dict)


def compose(skin: Tissue, layers: list[Layer], step: int = 1, skip: str = "") -> Tissue:
    """The skin with every layer but those named ``skip``, on every ``step``-th pixel."""
    tissue = skin.reduced(step)
    for layer in layers:
        if layer.name != skip:
            maps = layer.maps if step == 1 else {k: v[::step, ::step] for k, v in layer.maps.items()}
            layer.edit(tissue, maps)
    return tissue.clamp_()
