"""Any other layer that keeps samples apart, such as the gates of mixtures of experts: run again, for each alone."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import nn
from torch.func import functional_call, vjp, vmap

from dataflex_core.scoring.rules.calls import LayerCall, tensors_in, with_tensors
from dataflex_core.scoring.rules.layout import Shares, Unreachable
from dataflex_core.scoring.rules.rule import Rule

_ONE_BY_ONE: WeakSet[nn.Module] = WeakSet()
"""Layers that do not run under ``vmap``."""


def fits(layer: nn.Module) -> bool:
    """A layer that is no larger than itself and its parts: running a whole model again is for others to do."""
    return all(next(part.children(), None) is None for part in layer.children())


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, *shape], by ``vmap`` where the layer allows it."""
    if call.layer not in _ONE_BY_ONE and _even(call):
        try:
            return _at_once(call, name, rows)
        except RuntimeError as error:
            if should_reduce_batch_size(error):
                raise
            _ONE_BY_ONE.add(call.layer)
    return torch.stack([_alone(call, name, index) for index in range(rows.start, rows.stop)])


def _even(call: LayerCall) -> bool:
    """Whether all samples have as many rows in every tensor."""
    tensors = [*tensors_in((call.args, call.options)), *tensors_in(call.grads)]
    return all(len(set(shares.counts)) == 1 for shares in map(call.layout.find, tensors) if shares is not None)


def _at_once(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    fixed = _fixed(call.layer)
    inputs = list(tensors_in((call.args, call.options)))
    shares = [call.layout.find(tensor) for tensor in inputs]
    cut = [t if s is None else s.cut(t, rows) for t, s in zip(inputs, shares, strict=True)]
    grads = [g for g in call.grads if g is not None]
    pieces = [call.layout.cut(g, rows) for g in grads]
    lone = [_shares(call, g).single for g in grads]

    def one(samples: list[torch.Tensor], grads: list[torch.Tensor]) -> torch.Tensor:
        whole = [t.unsqueeze(0) if s is not None and s.single else t for t, s in zip(samples, shares, strict=True)]

        def run(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(_outputs(call, {**fixed, name: value}, whole))

        outputs, pull, *_ = vjp(run, fixed[name])
        given = [g.unsqueeze(0) if single else g for g, single in zip(grads, lone, strict=True)]
        (answer,) = pull(tuple(g.to(o.dtype) for g, o in zip(given, outputs, strict=True)))
        contribution: torch.Tensor = answer.float()
        return contribution

    places: Any = ([None if s is None else 0 for s in shares], [0] * len(pieces))
    result: torch.Tensor = vmap(one, in_dims=places)(cut, pieces)
    return result


def _alone(call: LayerCall, name: str, index: int) -> torch.Tensor:
    """Float32[*shape] of one sample."""
    fixed = _fixed(call.layer)
    fixed[name].requires_grad_()
    inputs = [
        t if (s := call.layout.find(t)) is None else s.of(t, index) for t in tensors_in((call.args, call.options))
    ]
    grads = [_shares(call, g).of(g, index) for g in call.grads if g is not None]
    with torch.enable_grad():
        outputs = _outputs(call, fixed, inputs)
    (found,) = torch.autograd.grad(outputs, fixed[name], grads, allow_unused=True)
    return torch.zeros_like(fixed[name], dtype=torch.float32) if found is None else found.float()


def _fixed(layer: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach() for key, value in [*layer.named_parameters(), *layer.named_buffers()]}


def _shares(call: LayerCall, grad: torch.Tensor) -> Shares:
    shares = call.layout.find(grad)
    if shares is None:
        raise Unreachable(f"{type(call.layer).__name__} answers for all samples at once")
    return shares


def _outputs(call: LayerCall, values: dict[str, torch.Tensor], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that the layer answers with, those whose gradient is known, for other ``inputs`` in its arguments."""
    given = iter(inputs)
    args, options = with_tensors((call.args, dict(call.options)), lambda tensor: next(given))
    outputs = tensors_in(functional_call(call.layer, values, args, options))
    return [output for output, grad in zip(outputs, call.grads, strict=True) if grad is not None]


RULE = Rule(fits=fits, gradients=gradients, runs=True)
