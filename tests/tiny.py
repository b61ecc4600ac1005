"""Tiny FLUX, Stable Diffusion 3 and Stable Diffusion pipelines, made here: one block each, random weights, no download.

Their decoders paint brown skin with faint blotches, so that what they make passes the gates of a run for type 5.
"""

import json
import string
import tempfile
from pathlib import Path

import torch

FAMILIES = ("flux", "sd3", "sd")
SIDE = 64
"""px; the size at which the pipelines are quick."""

WORDS = (
    "a an of on the dermoscopic clinical image photograph photo melanoma melanocytic nevus basal cell carcinoma "
    "actinic keratosis benign dermatofibroma vascular lesion very light intermediate tan brown dark skin symmetric "
    "asymmetric regular irregular border uniform many colours small large pale"
).split()

_SKIN = (0.14, -0.10, -0.30)  # sRGB * 2 - 1
_BLOTCHES = 0.2


def tiny_pipeline(family, seed=0, width=64):
    """A pipeline of a family; ``width`` is that of the text states, so that another width is another base."""
    build = {"flux": _flux, "sd3": _sd3, "sd": _sd}[family]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline = build(width)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_tiny(family, folder, licence=None, **options):
    """Write such a pipeline as a folder, with a model card if a licence is given; the folder."""
    tiny_pipeline(family, **options).save_pretrained(str(folder))
    if licence:
        Path(folder, "README.md").write_text(f"---\nlicense: {licence}\n---\n# a tiny {family}\n")
    return Path(folder)


def clip_tokenizer(words=WORDS):
    """A CLIP tokenizer whose vocabulary is the bytes and ``words``."""
    from transformers import CLIPTokenizer

    vocab = {}
    for character in _byte_characters():
        vocab[character] = len(vocab)
    for character in _byte_characters():
        vocab[character + "</w>"] = len(vocab)
    merges = []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            joined = parts[0] + parts[1]
            if joined not in vocab:
                vocab[joined] = len(vocab)
                merges.append(f"{parts[0]} {parts[1]}")
            parts = [joined, *parts[2:]]
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocab[special] = len(vocab)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps(vocab))
        Path(folder, "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def t5_tokenizer(words=WORDS):
    """A T5 tokenizer whose pieces are the characters and ``words``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in words), ("▁", -3.0)]
    pieces += [(character, -5.0) for character in string.ascii_letters + string.digits + string.punctuation]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>", model_max_length=512
    )
    with tempfile.TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        return T5TokenizerFast.from_pretrained(folder)


def _byte_characters():
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _clip(tokenizer, projection=None):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=projection or 32, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, hidden_act="gelu",
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _t5(tokenizer, width):
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=16, d_ff=64, num_layers=1, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return T5EncoderModel(config).eval()


def _vae():
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(8, 8, 16, 16), layers_per_block=1,
        latent_channels=4, norm_num_groups=4, shift_factor=0.0, scaling_factor=1.0, sample_size=SIDE,
    )  # fmt: skip
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(_BLOTCHES)
        vae.decoder.conv_out.bias.copy_(torch.tensor(_SKIN))
    return vae.eval()


def _flux(width):
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=width, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=_vae(), text_encoder=_clip(clip),
        tokenizer=clip, text_encoder_2=_t5(t5, width), tokenizer_2=t5, transformer=transformer.eval(),
    )  # fmt: skip


def _sd3(width):
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 8, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=width, caption_projection_dim=32, pooled_projection_dim=64, out_channels=4,
        pos_embed_max_size=16,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer.eval(), scheduler=FlowMatchEulerDiscreteScheduler(), vae=_vae(),
        text_encoder=_clip(clip, 32), tokenizer=clip, text_encoder_2=_clip(clip, 32), tokenizer_2=clip,
        text_encoder_3=_t5(t5, width), tokenizer_3=t5,
    )  # fmt: skip


def _sd(width):
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    clip = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8, block_out_channels=(width // 4, width // 2), layers_per_block=1, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    return StableDiffusionPipeline(
        vae=_vae(), text_encoder=_clip(clip), tokenizer=clip, unet=unet.eval(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
