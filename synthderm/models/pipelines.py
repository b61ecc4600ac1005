"""Pipelines of diffusers for FLUX.1, Stable Diffusion 3 and Stable Diffusion 1.x/2.x, loaded from this machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from synthderm.core import InputError, MissingExtraError, SynthdermError
from synthderm.core.checks import unknown

from .bases import INDEX, Base, cached_folder, find_base

DTYPES = {
    "float32": torch.float32, "fp32": torch.float32, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16,
}  # fmt: skip
OFFLOADS = ("model", "sequential")
QUANTIZATIONS = ("int8", "nf4")

SAFETY_NOTE = "The pipeline's safety checker is switched off: it blanks pictures of bare skin."

_SD_CONFIGURATIONS = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5")


def load_pipeline(
    path: str | Path | Base,
    family: str | None = None,
    dtype: str = "auto",
    device: str = "cpu",
    offload: str | None = None,
    quantization: str | None = None,
    allow_download: bool = False,
    prepare: Callable[[Any], object] | None = None,
) -> Any:
    """A pipeline of diffusers, ready to be called.

    The safety checker of Stable Diffusion is left out: it blanks pictures of bare skin, and the images are for medical
    research (:data:`SAFETY_NOTE`). The network is used only with ``allow_download``.

    Args:
        path: what :func:`~synthderm.models.bases.find_base` takes, or what it found.
        family: "flux", "sd3" or "sd"; found from the model if None.
        dtype: "auto", "float32", "bfloat16" or "float16" (also fp32, bf16, fp16); see :func:`choose_dtype`.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU if there is one.
        offload: "model" or "sequential": keep on the GPU only the part that is at work; None keeps all there.
        quantization: "int8" or "nf4" (4 bit) weights of the large parts, with bitsandbytes on a CUDA GPU.
        allow_download: fetch it from the hub where it is not on this machine.
        prepare: called with the pipeline before it goes to the device, such as to load an adapter: with "sequential"
            its weights are out of reach afterwards.

    Raises:
        InputError: if it is not found, damaged, or an option cannot be used here.
        MissingExtraError: for a quantization without bitsandbytes.
        SynthdermError: if memory runs out; the message names the options that help.
    """
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    if offload is not None:
        _check_offload(offload, place)
    config = _quantization_config(quantization, number, place) if quantization else None
    base = path if isinstance(path, Base) else find_base(path, family, allow_download)
    with memory_errors(offload=offload, quantization=quantization, dtype=number, device=place):
        pipeline = _load(base, number, config)
        if prepare:
            prepare(pipeline)
        _place(pipeline, place, offload)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def choose_device(device: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        InputError: for a name that torch does not know, or a device that is not here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device must be cpu, cuda, cuda:1, mps or auto, but got {device!r}") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device} was asked for, but this torch sees no CUDA GPU; use --device cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {device} was asked for, but there are {torch.cuda.device_count()} GPUs (from cuda:0)")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device mps was asked for, but this is no Mac with Metal; use --device cpu")
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The number format: "auto" is bfloat16 where the device computes fast with it, else float32.

    That is a CUDA GPU (float16 where it lacks bfloat16), or a CPU with instructions for it
    (:func:`has_fast_bfloat16`).

    Raises:
        InputError: for another name, or float16 on a CPU.
    """
    if dtype == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if device.type == "cpu" and has_fast_bfloat16() else torch.float32
    if dtype not in DTYPES:
        raise unknown("dtype", str(dtype), ("auto", *DTYPES))
    if DTYPES[dtype] == torch.float16 and device.type == "cpu":
        raise InputError("float16 needs a GPU; on a CPU use --dtype float32, or bfloat16 if the CPU is fast with it")
    return DTYPES[dtype]


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware: AMX tiles, or AVX512-BF16.

    With AVX512-BF16 the flow was 1.75 times as fast as in float32, with AMX twice; without either bfloat16 was 2.5 to
    4.3 times slower.
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private, and absent from old versions
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _check_offload(offload: str, device: torch.device) -> None:
    if offload not in OFFLOADS:
        raise unknown("offload", offload, OFFLOADS)
    if device.type != "cuda":
        raise InputError(f"offload moves parts off a CUDA GPU, but the device is {device}; leave --offload out")


def _quantization_config(quantization: str, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Keyword arguments of diffusers' PipelineQuantizationConfig, without the components."""
    if quantization not in QUANTIZATIONS:
        raise unknown("quantization", quantization, QUANTIZATIONS)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtraError("bitsandbytes", "quantize") from None
    if device.type != "cuda":
        raise InputError(f"quantization needs a CUDA GPU, but the device is {device}; leave --quantization out")
    if quantization == "int8":
        return {"quant_backend": "bitsandbytes_8bit", "quant_kwargs": {"load_in_8bit": True}}
    options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    return {"quant_backend": "bitsandbytes_4bit", "quant_kwargs": options}


def _load(base: Base, dtype: torch.dtype, quantization: dict[str, Any] | None) -> Any:
    options: dict[str, Any] = {"dtype": dtype}
    if quantization:
        from diffusers import PipelineQuantizationConfig

        parts = [part for part in base.family.quantised if base.place.is_file() or (base.place / part).is_dir()]
        options["quantization_config"] = PipelineQuantizationConfig(**quantization, components_to_quantize=parts)
    if base.family.name == "sd":
        options |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with quiet():
        import diffusers

        pipeline_class = getattr(diffusers, base.family.pipeline)
        try:
            if base.place.is_file():
                return pipeline_class.from_single_file(
                    str(base.place), config=str(_configuration(base.place)), local_files_only=True, **options
                )
            options |= {"variant": variant} if (variant := _variant(base)) else {}
            return pipeline_class.from_pretrained(str(base.place), local_files_only=True, **options)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            if is_out_of_memory(error) or isinstance(error, SynthdermError):
                raise
            raise InputError(
                f"{base.place} cannot be loaded as {base.family.title} ({_one_line(error)}); is it complete?"
            ) from error


def _configuration(file: Path) -> Path:
    """The folder with configuration and tokenizer for a single-file Stable Diffusion: beside it, or in the hub's cache.

    Raises:
        InputError: if there is none; such a file holds weights only.
    """
    searched = []
    for folder in (file.parent, file.with_suffix("")):
        if (folder / INDEX).is_file():
            return folder
        searched.append(str(folder))
    for repo in _SD_CONFIGURATIONS:
        cached, cache = cached_folder(repo, INDEX)
        if cached:
            return cached
        searched.append(cache)
    raise InputError(
        f"{file} holds weights only, and their configuration and tokenizer are not on this machine; looked for {INDEX} "
        f"in {', '.join(searched)}. Put the folder of a Stable Diffusion pipeline there (its weights are not needed)"
    )


def _variant(base: Base) -> str | None:
    """The suffix "fp16" if the weights are there only under that name."""
    names = [path.name for path in (base.place / base.family.denoiser).glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def _place(pipeline: Any, device: torch.device, offload: str | None) -> None:
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if hasattr(pipeline.vae, "enable_slicing"):  # images are decoded one at a time: less memory, same pixels
        pipeline.vae.enable_slicing()


def denoiser_of(pipeline: Any) -> tuple[str, torch.nn.Module]:
    """("transformer" or "unet", the module): the part of a pipeline that adapters are trained on.

    Raises:
        InputError: if it has neither.
    """
    for name in ("transformer", "unet"):
        module = getattr(pipeline, name, None)
        if isinstance(module, torch.nn.Module):
            return name, module
    raise InputError(f"expected a pipeline with a transformer or unet, but got {type(pipeline).__name__}")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the notices and progress bars of diffusers and transformers off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers.utils.logging as diffusers_logging
        import transformers.utils.logging as transformers_logging

        for logging in (diffusers_logging, transformers_logging):
            logging.set_verbosity_error()
            logging.disable_progress_bar()
        yield


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of an allocator, of a GPU or of the host."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


@contextmanager
def memory_errors(
    *,
    device: torch.device,
    dtype: torch.dtype,
    offload: str | None = None,
    quantization: str | None = None,
    batch_size: int = 1,
    resolution: int | None = None,
) -> Iterator[None]:
    """Turn an out-of-memory error inside into a :class:`SynthdermError` that names the options left to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        hints = ["--batch-size 1"] if batch_size > 1 else []
        if device.type == "cuda":
            hints += {None: ["--offload model"], "model": ["--offload sequential"]}.get(offload, [])
            hints += [] if quantization else ["--quantization nf4"]
        half = device.type == "cuda" or has_fast_bfloat16()
        hints += ["--dtype bfloat16"] if dtype == torch.float32 and half else []
        hints += [f"--resolution {resolution // 2}"] if resolution else []
        hints += ["--workers 0"] if device.type == "cpu" else []
        raise SynthdermError(
            f"out of memory on {device} ({dtype}): try {', '.join(hints) or 'a smaller model or a larger machine'}"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
