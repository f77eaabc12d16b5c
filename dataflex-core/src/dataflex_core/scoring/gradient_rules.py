"""From what went into a layer, and the gradient of what came out, to the gradients of its parameters, by sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import nn
from torch.func import functional_call, vjp, vmap

from dataflex_core.scoring.sharded import shape_of


class Unreachable(Exception):
    """A trainable parameter's per-sample gradient is out of the hooks' reach; the message names it."""


@dataclass(slots=True, eq=False)
class LayerCall:
    """One forward call of a layer with trainable parameters: its input, and its output's gradient once there is one."""

    layer: nn.Module
    input: torch.Tensor
    grad: torch.Tensor | None = None

    def keep_gradient(self, grad: torch.Tensor) -> None:
        """A tensor hook of the output."""
        self.grad = grad.detach()


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """What one call makes of one parameter, which the called layer knows as ``name``."""

    call: LayerCall
    name: str


def gradients_of(parameter: nn.Parameter, uses: list[Use], rows: slice) -> torch.Tensor:
    """Gradients of samples ``rows``, Float32[rows, *parameter.shape]: the sum over ``uses``, zeros for none.

    Raises `Unreachable` where no rule fits a layer.
    """
    total: torch.Tensor | None = None
    # An embedding adds to what a tied layer gave, row by row: dense contributions come first.
    for use in sorted(uses, key=lambda use: isinstance(use.call.layer, nn.Embedding)):
        layer, inputs, grads = use.call.layer, use.call.input[rows], use.call.grad
        assert grads is not None
        if isinstance(layer, nn.Embedding):
            total = _zeros(parameter, rows) if total is None else total
            _add_embedding(total, layer, inputs, grads[rows])
            continue
        is_linear = isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward
        rule = _linear if is_linear else _by_vjp
        part = rule(layer, use.name, inputs, grads[rows])
        total = part if total is None else total.add_(part)
    return _zeros(parameter, rows) if total is None else total


def _zeros(parameter: nn.Parameter, rows: slice) -> torch.Tensor:
    return parameter.new_zeros((rows.stop - rows.start, *shape_of(parameter)), dtype=torch.float32)


def _linear(layer: nn.Module, name: str, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Float32[b, out] of a bias, Float32[b, out, in] of a weight: the sum over positions of ``g`` times ``x``."""
    if x.ndim < 2:
        raise Unreachable("Linear without a batch dimension")
    x, g = x.float().reshape(len(x), -1, x.shape[-1]), g.float().reshape(len(g), -1, g.shape[-1])
    return g.sum(dim=1) if name == "bias" else torch.bmm(g.transpose(1, 2), x)


def _add_embedding(total: torch.Tensor, layer: nn.Embedding, x: torch.Tensor, g: torch.Tensor) -> None:
    """Add to ``total`` Float32[b, tokens, width] the gradient of each position, at the row of its token."""
    if layer.max_norm is not None or layer.scale_grad_by_freq:
        raise Unreachable("Embedding with max_norm or scale_grad_by_freq")
    tokens, values = x.flatten(1), g.float().flatten(1, -2)
    if layer.padding_idx is not None:
        values = values * (tokens != layer.padding_idx).unsqueeze(-1)
    places = tokens + torch.arange(len(x), device=x.device).unsqueeze(1) * len(layer.weight)
    total.flatten(0, 1).index_add_(0, places.flatten(), values.flatten(0, 1))


def _by_vjp(layer: nn.Module, name: str, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Float32[b, *shape] of any other layer, run again for each sample alone under ``vmap``."""
    own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
    fixed = {key: value.detach() for key, value in own}

    def one(sample: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        def run(value: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = functional_call(layer, {**fixed, name: value}, (sample.unsqueeze(0),))
            return output

        output, pull, *_ = vjp(run, fixed[name])
        (answer,) = pull(grad.unsqueeze(0).to(output.dtype))
        contribution: torch.Tensor = answer.float()
        return contribution

    try:
        result: torch.Tensor = vmap(one)(x, g)
    except RuntimeError as error:
        if should_reduce_batch_size(error):
            raise
        raise Unreachable(f"{type(layer).__name__} does not run under vmap") from error
    return result
