"""LoRA on an embedding: PEFT keeps its two matrices beside the layer, not in layers of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.embedding import add_at
from dataflex_core.scoring.rules.rule import Rule


def fits(layer: nn.Module) -> bool:
    """PEFT's ``lora.Embedding``, without DoRA."""
    kind = type(layer)
    known = kind.__module__ == "peft.tuners.lora.layer" and kind.__name__ == "Embedding"
    return known and not getattr(layer, "lora_variant", None)


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, r, tokens] of the looked-up matrix A, Float32[b, width, r] of B."""
    which, adapter = name.split(".", 1)
    layer: Any = call.layer
    first, second = (getattr(layer, f"lora_embedding_{side}")[adapter].detach().float() for side in "AB")
    tokens, g = call.input(rows).flatten(1), call.grad(rows).float().flatten(1, -2)
    g = g * layer.scaling[adapter]
    if (scale := getattr(layer.get_base_layer(), "embed_scale", None)) is not None:
        g = g * scale
    if which.endswith("B"):
        return torch.bmm(g.transpose(1, 2), first.T[tokens])
    total = torch.zeros(len(g), first.shape[1], first.shape[0], device=g.device)
    add_at(total, tokens, g @ second, ignored=layer.get_base_layer().padding_idx)
    return total.transpose(1, 2)


RULE = Rule(fits=fits, gradients=gradients, runs=True)
