"""What a user can choose of an audit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from synthderm.core import InputError
from synthderm.core.checks import check_range


@dataclass(frozen=True)
class AuditOptions:
    """Options of :func:`~synthderm.evaluation.audit.audit`.

    Attributes:
        false_alarm_rate: share of new real images that may be called copies; the copy threshold is set for it.
        hold_out_share: share of the real lesions or patients that set the threshold where no split is named.
        hold_out_exclude: files of the hold-out images that are left out of it: those seen by eye to show a lesion of
            the training images, which would raise the threshold.
        pairs: most alike pairs that are written as pictures.
        resamples: of the bootstrap of the shortcut's intervals.
        batch_size: images in memory at a time.
        seed: of everything that is drawn.
        force: go on with fewer hold-out images than the rate needs, at the finest rate that they allow.
    """

    false_alarm_rate: float = 0.01
    hold_out_share: float = 0.15
    hold_out_exclude: tuple[str, ...] = ()
    pairs: int = 12
    resamples: int = 1000
    batch_size: int = 64
    seed: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1:
            raise InputError(
                f"the false-alarm rate must be between 0 and 1, but got {self.false_alarm_rate:g}; 0.01 is usual"
            )
        check_range("the share of real images that are held out", self.hold_out_share, 0.01, 0.5)
        check_range("the number of pairs", self.pairs, 0, 1000)
        check_range("the number of resamples", self.resamples, 100, 100_000)
        check_range("the batch size", self.batch_size, 1, 4096)

    def describe(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)
