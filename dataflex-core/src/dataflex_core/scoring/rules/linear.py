"""Linear layers, those of LoRA and its variants among them."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.rule import Rule


def fits(layer: nn.Module) -> bool:
    """A linear layer that computes as such; those that keep their weights in 4 or 8 bits do not train."""
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, out] of a bias, Float32[b, out, in] of a weight: over positions, the sum of gradient times input."""
    x, g = call.input(rows), call.grad(rows).float()
    g = g.reshape(len(g), -1, g.shape[-1])
    if name == "bias":
        return g.sum(dim=1)
    return torch.bmm(g.transpose(1, 2), x.float().reshape(len(x), -1, x.shape[-1]))


RULE = Rule(fits=fits, gradients=gradients)
