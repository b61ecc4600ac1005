"""What a text-to-image pipeline is told: the prompt of a condition, and its encoding."""

from __future__ import annotations

from typing import Any

import torch

from synthderm.core import DIAGNOSES, Condition, InputError, tone_band
from synthderm.models.prompts import ATTRIBUTES, attribute_words, caption


def fill_prompt(template: str | None, condition: Condition) -> str:
    """The prompt of one image.

    Args:
        template: text with the place holders ``{caption}``, ``{diagnosis}``, ``{tone}``, ``{fst}``, ``{modality}`` and
            ``{attributes}``, or without; None is the caption.
        condition: what the image shows; its parameters "border", ... are the attributes of the caption.

    Raises:
        InputError: for another place holder.
    """
    abcd = {name: float(condition.parameters[name]) for name in ATTRIBUTES if name in condition.parameters}
    written = caption(condition.diagnosis, fst=condition.fst, modality=condition.modality, attributes=abcd)
    if template is None:
        return written
    words = {
        "caption": written,
        "diagnosis": DIAGNOSES[condition.diagnosis].name,
        "tone": f"{tone_band(condition.fst).name} skin",
        "fst": condition.fst,
        "modality": condition.modality,
        "attributes": ", ".join(attribute_words(abcd)),
    }
    try:
        return template.format_map(words)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        places = ", ".join(f"{{{name}}}" for name in words)
        raise InputError(f"the prompt {template!r} has an unknown place holder; expected {places}") from error


T5_TOKENS = {"flux": 512, "sd3": 256}
"""Length that a prompt is filled up to for the T5 encoder, as the pipelines have it."""


def encode_text(
    family: str,
    pipeline: Any,
    prompt: str,
    negative_prompt: str | None,
    guidance_scale: float,
    max_sequence_length: int | None = None,
) -> dict[str, torch.Tensor]:
    """The text inputs of a pipeline's call for one prompt, each with a first axis of 1, to be stacked along it.

    Args:
        family: "flux", "sd3" or "sd".
        pipeline: of that family.
        prompt: what to show.
        negative_prompt: what not to show, or None.
        guidance_scale: above 1 Stable Diffusion needs the encoding of the negative (or an empty) prompt too.
        max_sequence_length: T5 tokens; those of :data:`T5_TOKENS` by default. An adapter wants those of its training.
    """
    if family == "sd":
        return _encode_sd(pipeline, prompt, negative_prompt, guidance_scale)
    tokens = max_sequence_length or T5_TOKENS[family]
    if family == "flux":
        return _encode_flux(pipeline, prompt, negative_prompt, tokens)
    return _encode_sd3(pipeline, prompt, negative_prompt, guidance_scale, tokens)


def _encode_flux(pipeline: Any, prompt: str, negative: str | None, tokens: int) -> dict[str, torch.Tensor]:
    more = {"prompt_2": None, "device": pipeline._execution_device, "max_sequence_length": tokens}
    embeds, pooled, _ = pipeline.encode_prompt(prompt, **more)
    found = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if negative:
        embeds, pooled, _ = pipeline.encode_prompt(negative, **more)
        found |= {"negative_prompt_embeds": embeds, "negative_pooled_prompt_embeds": pooled}
    return found


def _encode_sd3(
    pipeline: Any, prompt: str, negative: str | None, guidance: float, tokens: int
) -> dict[str, torch.Tensor]:
    embeds, without, pooled, pooled_without = pipeline.encode_prompt(
        prompt, prompt_2=None, prompt_3=None, device=pipeline._execution_device,
        do_classifier_free_guidance=guidance > 1, negative_prompt=negative, max_sequence_length=tokens,
    )  # fmt: skip
    found = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if guidance > 1:
        found |= {"negative_prompt_embeds": without, "negative_pooled_prompt_embeds": pooled_without}
    return found


def _encode_sd(pipeline: Any, prompt: str, negative: str | None, guidance: float) -> dict[str, torch.Tensor]:
    embeds, without = pipeline.encode_prompt(
        prompt, pipeline._execution_device, 1, guidance > 1, negative_prompt=negative
    )
    return {"prompt_embeds": embeds} | ({"negative_prompt_embeds": without} if guidance > 1 else {})
