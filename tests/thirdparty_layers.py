"""A plugin that offers no strategy, but a rule for gradients of a layer of its own."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core import GradientRule, hookimpl

CALLS: list[str] = []
"""What rules were asked for: tests look at it."""


@hookimpl
def dataflex_gradient_rules():
    """One rule that is right."""
    yield GradientRule(layer="thirdparty_layers:Bottleneck", rule="thirdparty_layers:bottleneck")


class Bottleneck(nn.Module):
    """Adds to its input what a low-rank map makes of it: two matrices in one parameter, which no other layer has."""

    def __init__(self, width: int, rank: int = 3) -> None:
        super().__init__()
        self.pair = nn.Parameter(0.3 * torch.randn(2, rank, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [b, tokens, width] the same."""
        return x + (x @ self.pair[0].T) @ self.pair[1]


def bottleneck(call, name, rows):
    """Float32[b, 2, rank, width]."""
    CALLS.append(name)
    down, up = call.layer.pair.detach().float()
    x, grad = call.input(rows).float(), call.grad(rows).float()
    first = (grad @ up.T).transpose(1, 2) @ x
    second = (x @ down.T).transpose(1, 2) @ grad
    return torch.stack([first, second], dim=1)


def of_the_wrong_sign(call, name, rows):
    """A rule that is wrong."""
    return -bottleneck(call, name, rows)


def of_another_shape(call, name, rows):
    """A rule that answers for all samples at once."""
    return bottleneck(call, name, rows).sum(dim=0)


def that_raises(call, name, rows):
    """A rule that fails."""
    raise KeyError(name)
