"""Convolutions, such as the patch embeddings of vision models."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.rule import Rule

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


def fits(layer: nn.Module) -> bool:
    """A convolution with zeros around, if anything, and neither groups nor holes."""
    if not isinstance(layer, _Convolution) or type(layer).forward not in _FORWARDS:
        return False
    return layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"


_FORWARDS = (nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, out] of a bias, Float32[b, out, in, *kernel] of a weight: a linear layer over windows."""
    layer = call.layer
    assert isinstance(layer, _Convolution)
    axes = len(layer.kernel_size)
    x, g = call.input(rows).float(), call.grad(rows).float()
    g = g.movedim(-axes - 1, -1).reshape(len(g), -1, layer.out_channels)
    if name == "bias":
        return g.sum(dim=1)
    x = nn.functional.pad(x, layer._reversed_padding_repeated_twice)
    first = x.ndim - axes
    for axis, (size, step) in enumerate(zip(layer.kernel_size, layer.stride, strict=True)):
        x = x.unfold(first + axis, size, step)
    x = x.movedim(first - 1, -axes - 1).reshape(len(x), g.shape[1], -1)
    return torch.bmm(g.transpose(1, 2), x).view(len(g), *layer.weight.shape)


RULE = Rule(fits=fits, gradients=gradients)
