"""LoRA on the compact flow: which layers are adapted, and how."""

from __future__ import annotations

from synthderm.models.flow import Velocity

TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
    "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2", "proj_mlp", "proj_out",
    "norm1.linear", "norm1_context.linear", "norm.linear", "x_embedder", "context_embedder",
)  # fmt: skip
"""Every matrix of the transformer but those of time and guidance: a change of look goes through all of it."""


def add_adapter(network: Velocity, rank: int = 32, alpha: float | None = None) -> None:
    """Put a LoRA adapter (Hu et al. 2022, ICLR) named "default" on the transformer; all else is frozen.

    Args:
        network: whose transformer is adapted.
        rank: of each update.
        alpha: the update is scaled by alpha / rank; ``rank`` by default.
    """
    from peft import LoraConfig

    network.requires_grad_(False)
    network.transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha or rank, init_lora_weights=True, target_modules=list(TARGETS))
    )
    for name, parameter in network.transformer.named_parameters():
        parameter.requires_grad_("lora_" in name)
