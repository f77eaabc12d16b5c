"""What goes through each expert of a mixture: kept as the layer computes, or worked out again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.layout import Unreachable


@dataclass(slots=True, kw_only=True, eq=False)
class Passed:
    """What went through one expert, [n, width] for its n tokens.

    ``x`` and ``inner`` are what its two projections were given; ``up`` and ``down``, the gradients of what they gave,
    come with the backward pass, and are there if the losses depend on the layer.
    """

    x: torch.Tensor
    inner: torch.Tensor
    up: torch.Tensor = field(init=False)
    down: torch.Tensor = field(init=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """Which tokens experts are given: in ``order`` of the experts, and of the tokens, of all that are in an index.

    ``tokens`` Int64[S] are the same as rows of the hidden states; ``places`` is where each expert's lie, of those that
    have any.
    """

    order: torch.Tensor
    tokens: torch.Tensor
    places: Mapping[int, slice]

    @classmethod
    def of(cls, layer: Any, index: torch.Tensor) -> Given:
        """By the experts of each token, Int64[N, k]."""
        order = index.flatten().argsort(stable=True)
        taken = torch.bincount(index.flatten(), minlength=layer.num_experts)[: layer.num_experts].tolist()
        spans = enumerate(zip(accumulate(taken), taken, strict=True))
        places = {expert: slice(stop - count, stop) for expert, (stop, count) in spans if count}
        return cls(order=order, tokens=order // index.shape[1], places=places)


def passing(
    layer: Any, args: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[torch.Tensor, dict[str, dict[int, Passed]]] | None:
    """What the layer computes, an expert at a time, with what goes through each of them kept, and its gradients.

    None where nothing that it is given has a gradient: then no gradient reaches its inside.
    """
    hidden, index, weights = arguments(layer, args, options)
    if not (torch.is_grad_enabled() and hidden.requires_grad):
        return None
    given, passed, answers = Given.of(layer, index), {}, []
    for expert, here in given.places.items():
        x = hidden[given.tokens[here]]
        opened = _projected(layer, _first(layer), expert, x)
        inner = layer._apply_gate(opened) if layer.has_gate else layer.act_fn(opened)
        answer = _projected(layer, "down_proj", expert, inner)
        mine = Passed(x=x.detach(), inner=inner.detach())
        for tensor, name in ((opened, "up"), (answer, "down")):
            tensor.register_hook(partial(setattr, mine, name))  # type: ignore[no-untyped-call]  # torch's own
        passed[expert] = mine
        answers.append(answer * weights.flatten()[given.order[here]].unsqueeze(1))
    known = given.tokens[: sum(map(len, answers))]
    total = torch.zeros_like(hidden).index_add(0, known, torch.cat(answers).to(hidden.dtype))
    return total, {"passed": passed}


def worked_out(
    layer: Any, given: Given, hidden: torch.Tensor, weights: torch.Tensor, grad: torch.Tensor
) -> dict[int, Passed]:
    """What went through each expert, from the layer's own arguments and the gradient of its output."""
    found = {}
    for expert, here in given.places.items():
        tokens = given.tokens[here]
        x, down = hidden[tokens], grad[tokens] * weights.flatten()[given.order[here]].unsqueeze(1)
        opened = _projected(layer, _first(layer), expert, x)
        with torch.enable_grad():
            opened.requires_grad_()
            inner = layer._apply_gate(opened) if layer.has_gate else layer.act_fn(opened)
        last = layer.down_proj[expert].detach()
        (up,) = torch.autograd.grad(inner, opened, (down @ (last.T if layer.is_transposed else last)).to(inner.dtype))
        found[expert] = Passed(x=x, inner=inner.detach())
        found[expert].up, found[expert].down = up, down
    return found


def _first(layer: Any) -> str:
    return "gate_up_proj" if layer.has_gate else "up_proj"


def _projected(layer: Any, name: str, expert: int, x: torch.Tensor) -> torch.Tensor:
    """What a projection of an expert gives, without a gradient of its own parameters."""
    weight = layer.get_parameter(name)[expert].detach()
    bias = layer.get_parameter(f"{name}_bias")[expert].detach() if layer.has_bias else None
    return nn.functional.linear(x, weight.T if layer.is_transposed else weight, bias)


def arguments(
    layer: nn.Module, args: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of a call of a layer that `fits`: hidden states [N, H], the experts of each, Int64[N, k], weights [N, k].

    Raises `Unreachable` where these are not what the layer was given.
    """
    bound = inspect.signature(type(layer).forward).bind(layer, *args, **options)
    _, hidden, index, weights = bound.args[:4]
    if weights.numel() != index.numel():
        raise Unreachable(f"{type(layer).__name__} is not given a weight a token and expert")
    return hidden.reshape(-1, hidden.shape[-1]), index.reshape(-1, index.shape[-1]), weights.reshape(index.shape)
