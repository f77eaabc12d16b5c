"""Embeddings: of tokens and positions, scaled, shifted, and tied to an output layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.layout import Unreachable
from dataflex_core.scoring.rules.rule import Rule


def fits(layer: nn.Module) -> bool:
    """Any embedding, also one that does more than looking up."""
    return isinstance(layer, nn.Embedding)


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, tokens, width]."""
    weight = call.layer.get_parameter(name)
    total = torch.zeros(rows.stop - rows.start, *weight.shape, device=weight.device)
    add(total, call, name, rows)
    return total


def add(total: torch.Tensor, call: LayerCall, name: str, rows: slice) -> None:
    """Add to ``total`` Float32[b, tokens, width] the gradient of each position, at the row of its token."""
    layer = call.layer
    assert isinstance(layer, nn.Embedding)
    if layer.max_norm is not None or layer.scale_grad_by_freq:
        raise Unreachable("Embedding with max_norm or scale_grad_by_freq")
    if type(layer).forward is nn.Embedding.forward:
        tokens, values = call.input(rows), call.grad(rows)
    else:
        tokens, values = (call.layout.cut(tensor, rows) for tensor in _looked_up(call))
    add_at(total, tokens.flatten(1), values.float().flatten(1, -2), ignored=layer.padding_idx)


def add_at(total: torch.Tensor, tokens: torch.Tensor, values: torch.Tensor, *, ignored: int | None) -> None:
    """Add ``values`` Float32[b, t, width] to ``total`` Float32[b, tokens, width], at ``tokens`` Int64[b, t]."""
    if ignored is not None:
        values = values * (tokens != ignored).unsqueeze(-1)
    places = tokens + torch.arange(len(tokens), device=tokens.device).unsqueeze(1) * total.shape[1]
    total.flatten(0, 1).index_add_(0, places.flatten(), values.flatten(0, 1))


class _Lookup(TorchFunctionMode):
    """Catches the one lookup that is made: the indices, and the rows that were found, with a gradient to come."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is nn.functional.embedding:
            result = result.detach().requires_grad_()
            self.found.append((args[0], result))
        return result


def _looked_up(call: LayerCall) -> tuple[torch.Tensor, torch.Tensor]:
    """The indices and the gradients of the rows that were looked up, whole, by running the layer again."""
    if "looked up" not in call.kept:
        with torch.enable_grad(), _Lookup() as seen:
            output = call.layer(*call.args, **call.options)
        if len(seen.found) != 1 or not torch.is_tensor(output) or call.grads[0] is None:
            raise Unreachable(f"{type(call.layer).__name__} does not look up once")
        ((tokens, rows),) = seen.found
        (grad,) = torch.autograd.grad(output, rows, call.grads[0])
        call.kept["looked up"] = tokens, grad
    found: tuple[torch.Tensor, torch.Tensor] = call.kept["looked up"]
    return found


RULE = Rule(fits=fits, gradients=gradients, add=add)
