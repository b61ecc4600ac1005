"""The optimiser of the flow: Muon for the matrices inside the blocks, AdamW for everything else."""

from __future__ import annotations

import torch
from torch import nn

_ADAM_ONLY = ("norm", "embed", "proj_out.", "missing", "pooled", "skin", "attributes", "diagnosis", "style")


class FlowOptimiser:
    """Two optimisers as one.

    Muon (Jordan et al. 2024; the scale of Liu et al. 2025, arXiv 2502.16982, eq. 4) makes the update of each hidden
    matrix orthogonal, which reaches the same loss in far fewer steps; vectors, embeddings, modulations and the last
    layer are left to AdamW.

    Args:
        modules: what is trained; parameters without gradient are left out.
        learning_rate: of both, in the units of AdamW.
        muon: False for AdamW alone.
    """

    def __init__(self, modules: dict[str, nn.Module], learning_rate: float, muon: bool = True) -> None:
        hidden, rest = [], []
        for prefix, module in modules.items():
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:
                    continue
                inside = parameter.ndim == 2 and "transformer_blocks" in name and ".norm" not in name
                (hidden if inside and muon and prefix == "transformer" else rest).append(parameter)
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        ]
        if hidden:
            self.parts.append(
                torch.optim.Muon(hidden, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
            )
        self.learning_rate = learning_rate

    def step(self, factor: float) -> None:
        """One update with the learning rate times ``factor``; gradients are cleared."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.learning_rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for safetensors."""
        found = {}
        for i, part in enumerate(self.parts):
            for k, values in part.state_dict()["state"].items():
                for name, value in values.items():
                    found[f"{i}.{k}.{name}"] = torch.as_tensor(value).clone()
        return found

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take up what :meth:`tensors` gave."""
        for i, part in enumerate(self.parts):
            state = part.state_dict()
            for key, value in tensors.items():
                number, k, name = key.split(".")
                if int(number) == i:
                    state["state"].setdefault(int(k), {})[name] = value
            part.load_state_dict(state)
