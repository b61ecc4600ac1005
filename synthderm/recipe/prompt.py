"""What a prompt in words adds to a recipe, and where it contradicts the other flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synthderm.core import InputError, ParameterSpec, ParameterValue, tone_band
from synthderm.models.prompts import PromptRequest, parse_prompt

if TYPE_CHECKING:
    from .recipe import Recipe


def read_prompt(recipe: Recipe) -> PromptRequest:
    """What the prompt of a recipe asks for; nothing without one.

    Where the class is given by another flag, the prompt may be free text.

    Raises:
        InputError: for a prompt that cannot be followed.
    """
    if recipe.prompt is None:
        return PromptRequest()
    return parse_prompt(recipe.prompt, strict=not (recipe.diagnosis or recipe.plan))


def followed(recipe: Recipe) -> dict[str, Any]:
    """Class, tone and modality of the prompt, as fields of the recipe that are not given.

    Raises:
        InputError: if a flag that is given says otherwise.
    """
    asked = read_prompt(recipe)
    found: dict[str, Any] = {}
    if asked.diagnosis:
        _agree("class", (asked.diagnosis,), recipe.diagnosis)
        found["diagnosis"] = (asked.diagnosis,)
    if asked.modality:
        _agree("modality", asked.modality, recipe.modality)
        found["modality"] = asked.modality
    if asked.fst and recipe.ita:
        band = tone_band(asked.fst)
        if not all(low in band and high in band for low, high in recipe.ita):
            raise InputError(
                f"the prompt asks for type {asked.fst} ({band.low_deg:g} to {band.high_deg:g} degrees), but ita is "
                f"{', '.join(map(str, recipe.tones))}; change one of the two"
            )
    elif asked.fst:
        _agree("fst", (asked.fst,), recipe.fst)
        found["fst"] = (asked.fst,)
    return found


def _agree(flag: str, asked: Any, given: Any) -> None:
    if given and given != asked:
        told, held = (", ".join(map(str, v)) if isinstance(v, tuple) else v for v in (asked, given))
        raise InputError(f"the prompt asks for {flag} {told}, but {flag} is {held}; change one of the two")


def without_what_it_says(flags: Mapping[str, Any], prompt: Any) -> dict[str, Any]:
    """Flags of a recipe file without those that a prompt on top of them gives."""
    asked = parse_prompt(str(prompt), strict=False)
    gone = {"prompt"}
    gone |= {"diagnosis", "plan"} if asked.diagnosis else set()
    gone |= {"fst", "ita", "plan"} if asked.fst else set()
    gone |= {"modality"} if asked.modality else set()
    return {name: value for name, value in flags.items() if name not in gone}


def attribute_parameters(
    asked: PromptRequest, specs: Mapping[str, ParameterSpec]
) -> tuple[dict[str, ParameterValue], list[str]]:
    """The attributes of a prompt as parameters of a generator, and those that it has no parameter for.

    Args:
        asked: attributes from 0 to 1.
        specs: of the generator; "border" or "lesion.border" stands for the attribute of that name, and its range for
            0 to 1.
    """
    held: dict[str, ParameterValue] = {}
    missing = []
    for name, value in asked.attributes.items():
        spec = next((specs[key] for key in (name, f"lesion.{name}") if key in specs), None)
        if spec is None or spec.kind != "float":
            missing.append(name)
        else:
            held[spec.name] = round(spec.low + (spec.high - spec.low) * value, 6)
    return held, missing
