"""GPT-2's linear layers, whose weights lie the other way round."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.rule import Rule


def fits(layer: nn.Module) -> bool:
    """transformers' ``Conv1D``, which is no convolution."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D) and type(layer).forward is Conv1D.forward


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, out] of a bias, Float32[b, in, out] of a weight."""
    x, g = call.input(rows), call.grad(rows).float()
    g = g.reshape(len(g), -1, g.shape[-1])
    if name == "bias":
        return g.sum(dim=1)
    return torch.bmm(x.float().reshape(len(x), -1, x.shape[-1]).transpose(1, 2), g)


RULE = Rule(fits=fits, gradients=gradients)
