"""Per-sample gradients of a batch from one backward pass, parameter by parameter, by hooks.

A forward hook keeps each trainable module's input, a tensor hook sees the gradient of its output, and a rule turns
the two into one gradient per sample. Gradients go to a sink in chunks of samples and are dropped: nothing of size
batch x parameters is ever held, no ``.grad`` is touched and no hook of a distributed wrapper fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vjp, vmap

from dataflex_core.scoring.sharded import shape_of

Sink = Callable[[nn.Parameter, slice, torch.Tensor], None]
"""Called with a parameter, a slice of the batch and Float32[slice, *parameter.shape]; may overwrite the tensor."""

# Elements of per-sample gradient held at once. A CPU is fastest while they fit its cache, a GPU wants long kernels.
_CHUNK = {"cpu": 1 << 19}
_CHUNK_ELSEWHERE = 1 << 25


class Unreachable(Exception):
    """A trainable parameter's per-sample gradient is out of the hooks' reach; the message names it."""


@dataclass(slots=True, eq=False)
class _Call:
    """One forward call of a module that owns trainable parameters."""

    module: nn.Module
    input: torch.Tensor
    grad: torch.Tensor | None = None


@dataclass(slots=True, eq=False)
class PerSample:
    """Watches one forward, then differentiates its per-sample losses.

    A parameter used more than once in the forward, as tied embeddings are, is delivered once, when every use has
    its gradient; one that the losses do not depend on is delivered as zeros.
    """

    _owned: dict[nn.Module, list[tuple[str, nn.Parameter]]] = field(default_factory=dict)
    _calls: dict[nn.Parameter, list[tuple[str, _Call]]] = field(default_factory=dict)
    _anchors: list[torch.Tensor] = field(default_factory=list)
    _waiting: dict[nn.Parameter, int] = field(default_factory=dict)
    _deliver: Callable[[nn.Parameter], None] | None = None

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Hook ``model`` for the time of the block. Raises `Unreachable` for a module that no rule fits."""
        self._owned = _owners(model)
        handles = [module.register_forward_hook(self._forward, with_kwargs=True) for module in self._owned]
        find_entry = getattr(model, "get_input_embeddings", None)
        entry = find_entry() if callable(find_entry) else None
        # For gradient checkpointing a frozen embedding is made to ask for gradients, and everything would look as if
        # it fed on something trainable.
        if isinstance(entry, nn.Module) and self._owned.keys().isdisjoint(entry.modules()):
            handles.append(entry.register_forward_hook(lambda module, args, output: output.detach()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.forget()

    def forget(self) -> None:
        """Another forward comes."""
        self._anchors.clear()
        self._calls.clear()

    def backward(self, losses: torch.Tensor, sink: Sink, *, retain_graph: bool = False) -> None:
        """Differentiate ``losses`` Float[B] of the last forward: one gradient per sample and parameter to ``sink``."""

        def deliver(parameter: nn.Parameter) -> None:
            calls = [(name, call) for name, call in self._calls.get(parameter, ()) if call.grad is not None]
            for name, call in calls:
                if len(call.input) != len(losses):
                    raise Unreachable(f"{name} of {type(call.module).__name__} is applied to all samples at once")
            # An embedding adds to what a tied layer gave, row by row: dense contributions come first.
            calls.sort(key=lambda pair: isinstance(pair[1].module, nn.Embedding))
            step = max(1, _CHUNK.get(parameter.device.type, _CHUNK_ELSEWHERE) // max(shape_of(parameter).numel(), 1))
            for start in range(0, len(losses), step):
                rows = slice(start, min(start + step, len(losses)))
                total: torch.Tensor | None = None
                for name, call in calls:
                    total = _add_gradient(total, call, name, parameter, rows)
                sink(parameter, rows, _zeros(parameter, rows) if total is None else total)

        every = [parameter for owned in self._owned.values() for _, parameter in owned]
        self._waiting = {parameter: len(self._calls.get(parameter, ())) for parameter in every}
        self._deliver = deliver
        try:
            if self._anchors:
                torch.autograd.grad(losses.sum(), self._anchors, retain_graph=retain_graph, allow_unused=True)
            for parameter, waiting in self._waiting.items():
                if waiting or parameter not in self._calls:
                    deliver(parameter)
        finally:
            self._deliver = None
            for _, call in (pair for pairs in self._calls.values() for pair in pairs):
                call.grad = None

    def _forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        # A rule may run the module again, to differentiate it: that is no use of its parameters.
        if self._deliver is not None or not torch.is_grad_enabled():
            return
        if kwargs or len(args) != 1 or not torch.is_tensor(args[0]) or not torch.is_tensor(output):
            raise Unreachable(f"{type(module).__name__} takes or gives more than one tensor")
        if not output.requires_grad:
            return
        call = _Call(module, args[0].detach())
        for name, parameter in self._owned[module]:
            self._calls.setdefault(parameter, []).append((name, call))
        # Everything trainable that is not an anchor feeds on one: gradients of the anchors pass through all of it.
        if not args[0].requires_grad:
            self._anchors.append(output)
        output.register_hook(lambda grad: self._backward(call, grad))  # type: ignore[no-untyped-call]  # torch's own

    def _backward(self, call: _Call, grad: torch.Tensor) -> None:
        call.grad = grad.detach()
        for _, parameter in self._owned[call.module]:
            self._waiting[parameter] -= 1
            if self._waiting[parameter] == 0 and self._deliver is not None:
                self._deliver(parameter)


def _owners(model: nn.Module) -> dict[nn.Module, list[tuple[str, nn.Parameter]]]:
    owners: dict[nn.Module, list[tuple[str, nn.Parameter]]] = {}
    for path, module in model.named_modules():
        mine = [(name, p) for name, p in module.named_parameters(recurse=False) if p.requires_grad]
        if not mine:
            continue
        if next(module.children(), None) is not None or isinstance(module, nn.ParameterDict | nn.ParameterList):
            raise Unreachable(f"{path} holds parameters outside of a layer")
        owners[module] = mine
    return owners


def _add_gradient(
    total: torch.Tensor | None, call: _Call, name: str, parameter: nn.Parameter, rows: slice
) -> torch.Tensor:
    """Float32[rows, *parameter.shape]: ``total``, if any, and what one use of the parameter contributes."""
    assert call.grad is not None
    x, g = call.input[rows], call.grad[rows]
    if isinstance(call.module, nn.Embedding):
        return _add_embedding(_zeros(parameter, rows) if total is None else total, call.module, x, g)
    is_linear = isinstance(call.module, nn.Linear) and type(call.module).forward is nn.Linear.forward
    part = _linear(name, x, g) if is_linear else _by_vjp(call.module, name, x, g)
    return part if total is None else total.add_(part)


def _zeros(parameter: nn.Parameter, rows: slice) -> torch.Tensor:
    return parameter.new_zeros((rows.stop - rows.start, *shape_of(parameter)), dtype=torch.float32)


def _linear(name: str, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    if x.ndim < 2:
        raise Unreachable("Linear without a batch dimension")
    x, g = x.float().reshape(len(x), -1, x.shape[-1]), g.float().reshape(len(g), -1, g.shape[-1])
    return g.sum(dim=1) if name == "bias" else torch.bmm(g.transpose(1, 2), x)


def _add_embedding(total: torch.Tensor, module: nn.Embedding, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    if module.max_norm is not None or module.scale_grad_by_freq:
        raise Unreachable("Embedding with max_norm or scale_grad_by_freq")
    tokens, values = x.flatten(1), g.float().flatten(1, -2)
    if module.padding_idx is not None:
        values = values * (tokens != module.padding_idx).unsqueeze(-1)
    rows = tokens + torch.arange(len(x), device=x.device).unsqueeze(1) * len(module.weight)
    total.flatten(0, 1).index_add_(0, rows.flatten(), values.flatten(0, 1))
    return total


def _by_vjp(module: nn.Module, name: str, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Any other layer: run it again for each sample alone, under ``vmap``, and pull its gradient back."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    fixed = {key: value.detach() for key, value in own}

    def one(sample: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        def run(value: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = functional_call(module, {**fixed, name: value}, (sample.unsqueeze(0),))
            return output

        output, pull, *_ = vjp(run, fixed[name])
        (answer,) = pull(grad.unsqueeze(0).to(output.dtype))
        contribution: torch.Tensor = answer.float()
        return contribution

    try:
        result: torch.Tensor = vmap(one)(x, g)
    except RuntimeError as error:
        raise Unreachable(f"{type(module).__name__} does not run under vmap") from error
    return result
