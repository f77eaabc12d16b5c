"""The experts of a mixture, fused into one tensor for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.layout import Unreachable
from dataflex_core.scoring.rules.passed import Given, Passed, arguments, passing, worked_out
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
    visits = _visits(call)
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

    ``starts`` is where each sample's tokens begin, and the end of the last.
    """

    passed: Passed
    starts: list[int]

    def of(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """What the projection of a parameter was given, and the gradient of what it gave."""
        passed = self.passed
        return (passed.inner, passed.down) if name.startswith("down") else (passed.x, passed.up)

    def by_sample(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """Float32[b, tokens, width], filled up with zeros."""
        pieces = [tensor[self.starts[i] : self.starts[i + 1]] for i in range(rows.start, rows.stop)]
        if len(pieces) == 1:
            return pieces[0].unsqueeze(0).float()
        return nn.utils.rnn.pad_sequence(pieces, batch_first=True).float()


def _visits(call: LayerCall) -> dict[int, _Visit]:
    """Of each expert that was given a token, worked out once a call."""
    if "visits" not in call.kept:
        call.kept["visits"] = _each_visit(call)
    found: dict[int, _Visit] = call.kept["visits"]
    return found


def _each_visit(call: LayerCall) -> dict[int, _Visit]:
    layer: Any = call.layer
    hidden, index, weights = arguments(layer, call.args, call.options)
    shares = call.layout.find(hidden)
    if shares is None:
        raise Unreachable(f"{type(layer).__name__} is not given the samples' tokens")
    given = Given.of(layer, index)
    passed = call.kept.get("passed")
    if passed is None:
        (grad,) = call.grads
        assert grad is not None
        passed = worked_out(layer, given, hidden, weights, grad.reshape(hidden.shape))
    owner = shares.owners(hidden.device)[given.tokens]
    found = {}
    for expert, here in given.places.items():
        counts = torch.bincount(owner[here], minlength=len(shares.counts)).cumsum(0).tolist()
        found[expert] = _Visit(passed=passed[expert], starts=[0, *counts])
    return found


RULE = Rule(fits=fits, gradients=gradients, runs=True, forward=passing)
