"""The families of LayerNorm and RMSNorm: a weight, or one more than it, times what was normalised, and a bias."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.func import functional_call

from dataflex_core.scoring.rules import rerun
from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.rule import Rule
from dataflex_core.scoring.sharded import shape_of

_OFFSET: WeakKeyDictionary[type[nn.Module], bool] = WeakKeyDictionary()
"""Whether a kind of norm still answers where its weight is zero, as Gemma's does."""


def fits(layer: nn.Module) -> bool:
    """By name: every model family of transformers has an RMSNorm of its own."""
    named = {name for name, _ in layer.named_parameters(recurse=False)}
    name = type(layer).__name__
    return ("RMSNorm" in name or "LayerNorm" in name) and named <= {"weight", "bias"} and not any(layer.children())


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, *shape], of a layer that is affine in its parameters, element by element."""
    if not call.single:
        return rerun.gradients(call, name, rows)
    parameter = call.layer.get_parameter(name)
    found = call.grad(rows).float()
    if name == "weight":
        x = call.input(rows)
        unit = _run(call.layer, x, 1.0)
        if type(call.layer) not in _OFFSET:
            _OFFSET[type(call.layer)] = bool(_run(call.layer, call.first[:1], 0.0).any())
        if _OFFSET[type(call.layer)]:
            unit = unit - _run(call.layer, x, 0.0)
        found = found * unit
    inner = found.ndim - len(shape_of(parameter))
    return found.sum(dim=tuple(range(1, inner))) if inner > 1 else found.clone()


def _run(layer: nn.Module, x: torch.Tensor, weight: float) -> torch.Tensor:
    """What the layer makes of ``x`` with a ``weight`` all alike and no bias, Float32."""
    values = {
        name: torch.full(shape_of(p), weight if name == "weight" else 0.0, dtype=p.dtype, device=p.device)
        for name, p in layer.named_parameters(recurse=False)
    }
    with torch.no_grad():
        output: torch.Tensor = functional_call(layer, values, (x,))
    return output.float()


RULE = Rule(fits=fits, gradients=gradients)
