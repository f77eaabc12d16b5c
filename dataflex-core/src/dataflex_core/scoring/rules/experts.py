"""The experts of a mixture, fused into one tensor for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.layout import Unreachable
from dataflex_core.scoring.rules.rule import Rule

_KNOWN = {"gate_up_proj", "up_proj", "down_proj", "gate_up_proj_bias", "up_proj_bias", "down_proj_bias"}


def fits(layer: nn.Module) -> bool:
    """The experts that transformers has one interface to: two projections, and a gate or an activation between."""
    named = {name for name, _ in layer.named_parameters(recurse=False)}
    settings = ("is_transposed", "has_bias", "has_gate", "_apply_gate")
    return "down_proj" in named and named <= _KNOWN and all(hasattr(layer, setting) for setting in settings)


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, experts, *shape]: for each expert the sum over the tokens that it was given."""
    parameter = call.layer.get_parameter(name)
    total = torch.empty(rows.stop - rows.start, *parameter.shape, device=parameter.device)
    visits = {visit.expert: visit for visit in _visits(call)}
    for expert in range(parameter.shape[0]):
        visit, found = visits.get(expert), total[:, expert]
        if visit is None:
            found.zero_()
            continue
        x, g = (visit.by_sample(tensor, rows) for tensor in visit.of(name))
        if name.endswith("bias"):
            torch.sum(g, dim=1, out=found)
        elif call.layer.is_transposed:
            torch.bmm(x.transpose(1, 2), g, out=found)
        else:
            torch.bmm(g.transpose(1, 2), x, out=found)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Visit:
    """The tokens that one expert was given, in order of the samples, and what went through it.

    ``starts`` is where each sample's tokens begin, and the end of the last. ``x`` and ``inner`` are what the two
    projections were given, ``up`` and ``down`` the gradients of what they gave.
    """

    expert: int
    starts: list[int]
    x: torch.Tensor
    up: torch.Tensor
    inner: torch.Tensor
    down: torch.Tensor

    def of(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """What the projection of a parameter was given, and the gradient of what it gave."""
        return (self.inner, self.down) if name.startswith("down") else (self.x, self.up)

    def by_sample(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """Float32[b, tokens, width], filled up with zeros."""
        pieces = [tensor[self.starts[i] : self.starts[i + 1]] for i in range(rows.start, rows.stop)]
        if len(pieces) == 1:
            return pieces[0].unsqueeze(0).float()
        return nn.utils.rnn.pad_sequence(pieces, batch_first=True).float()


def _visits(call: LayerCall) -> list[_Visit]:
    """One for each expert that was given a token, worked out once a call."""
    if "visits" not in call.kept:
        call.kept["visits"] = list(_each_visit(call))
    found: list[_Visit] = call.kept["visits"]
    return found


def _each_visit(call: LayerCall) -> Iterator[_Visit]:
    layer: Any = call.layer
    hidden, index, weights = arguments(layer, call.args, call.options)
    (grad,) = call.grads
    assert grad is not None
    grad = grad.reshape(hidden.shape)
    shares = call.layout.find(hidden)
    if shares is None or weights.shape != index.shape:
        raise Unreachable(f"{type(layer).__name__} is not given a weight a token and expert")
    order = index.flatten().argsort(stable=True)
    token = order // index.shape[1]
    owner = shares.owners(hidden.device)[token]
    taken = torch.bincount(index.flatten(), minlength=layer.num_experts)[: layer.num_experts].tolist()
    scale = weights.flatten()[order].unsqueeze(1)
    begin = 0
    for expert, count in enumerate(taken):
        here = slice(begin, begin + count)
        begin += count
        if not count:
            continue
        counts = torch.bincount(owner[here], minlength=len(shares.counts)).cumsum(0).tolist()
        x, down = hidden[token[here]], grad[token[here]] * scale[here]
        up, inner = _between(layer, expert, x, down)
        yield _Visit(expert=expert, starts=[0, *counts], x=x, up=up, inner=inner, down=down)


def _between(layer: Any, expert: int, x: torch.Tensor, down: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of what the first projection gave, and what the second was given."""
    first = "gate_up_proj" if layer.has_gate else "up_proj"
    weight, last = layer.get_parameter(first)[expert].detach(), layer.down_proj[expert].detach()
    if not layer.is_transposed:
        weight, last = weight.T, last.T
    opened = x @ weight
    if layer.has_bias:
        opened = opened + layer.get_parameter(f"{first}_bias")[expert].detach()
    with torch.enable_grad():
        opened.requires_grad_()
        inner = layer._apply_gate(opened) if layer.has_gate else layer.act_fn(opened)
    (up,) = torch.autograd.grad(inner, opened, (down @ last.T).to(inner.dtype))
    return up, inner.detach()


def arguments(
    layer: nn.Module, args: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of a call of a layer that `fits`: hidden states [N, H], the experts of each, Int64[N, k], weights [N, k]."""
    bound = inspect.signature(type(layer).forward).bind(layer, *args, **options)
    _, hidden, index, weights = bound.args[:4]
    return hidden.reshape(-1, hidden.shape[-1]), index.reshape(-1, index.shape[-1]), weights.reshape(index.shape)


RULE = Rule(fits=fits, gradients=gradients, runs=True)
