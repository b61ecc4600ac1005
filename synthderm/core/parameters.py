"""Description of one scene parameter: its range, unit, meaning and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .checks import InputError, check_range, unknown

ParameterValue = float | int | bool | str


@dataclass(frozen=True)
class ParameterSpec:
    """What a scene parameter is and which values it takes.

    Attributes:
        name: dotted name ("lesion.asymmetry").
        description: one line.
        low, high: range of a number, both ends included.
        unit: "1" for a plain number, else mm, deg, ...
        source: paper, table or fit that the range comes from.
        kind: type of the value.
        choices: the values of a "choice".
    """

    name: str
    description: str
    low: float = 0.0
    high: float = 1.0
    unit: str = "1"
    source: str = ""
    kind: Literal["float", "int", "bool", "choice"] = "float"
    choices: tuple[str, ...] = ()

    def parse(self, value: ParameterValue) -> ParameterValue:
        """``value`` (a number, or text from a command line) as this parameter's type.

        Raises:
            InputError: if it is of another type or out of range.
        """
        if self.kind == "choice":
            if str(value) not in self.choices:
                raise unknown(f"value for {self.name}", str(value), self.choices)
            return str(value)
        if self.kind == "bool":
            words = {
                "true": True,
                "yes": True,
                "on": True,
                "1": True,
                "false": False,
                "no": False,
                "off": False,
                "0": False,
            }
            word = str(value).lower()
            if word not in words:
                raise InputError(f"{self.name} must be true or false, but got {value!r}")
            return words[word]
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name} must be a number between {self.low:g} and {self.high:g}, but got {value!r}"
            ) from None
        check_range(self.name, number, self.low, self.high, "" if self.unit == "1" else self.unit)
        if self.kind == "int":
            if number != int(number):
                raise InputError(f"{self.name} must be a whole number, but got {value!r}")
            return int(number)
        return number

    def sweep(self, n: int) -> list[ParameterValue]:
        """``n`` values from the lowest to the highest (for a choice or a bool: its values, repeated)."""
        if self.kind == "choice":
            return [self.choices[i * len(self.choices) // n] for i in range(n)]
        if self.kind == "bool":
            return [i * 2 // n == 1 for i in range(n)]
        step = (self.high - self.low) / max(n - 1, 1)
        values = [self.low + step * i for i in range(n)]
        return [round(v) for v in values] if self.kind == "int" else values


def check_parameters(
    values: Mapping[str, ParameterValue], specs: Mapping[str, ParameterSpec]
) -> dict[str, ParameterValue]:
    """Every value parsed by its spec.

    Raises:
        InputError: for an unknown name (with near matches) or a value out of range.
    """
    parsed = {}
    for name, value in values.items():
        if name not in specs:
            raise unknown("parameter", name, specs, "see `synthderm info --parameters`")
        parsed[name] = specs[name].parse(value)
    return parsed
