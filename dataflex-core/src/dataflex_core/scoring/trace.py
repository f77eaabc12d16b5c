"""What one forward and one backward pass of a batch leave to make per-sample gradients of.

A forward hook keeps each trainable layer's inputs, tensor hooks the gradients of its outputs, and a rule
(`rules.registry`) turns these into one gradient per sample when it is asked for, a parameter and some samples at a
time: nothing of size batch x parameters is ever held, no ``.grad`` is touched and no hook of a distributed wrapper
fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.layouts import Layouts
from dataflex_core.scoring.rules.calls import LayerCall, tensors_in, with_tensors
from dataflex_core.scoring.rules.layout import Layout, Unreachable
from dataflex_core.scoring.rules.owners import Owner
from dataflex_core.scoring.rules.rule import Forward, Rule
from dataflex_core.scoring.sharded import shape_of

GradientPart = tuple[nn.Parameter, slice, torch.Tensor]
"""A parameter, a slice of the batch, and the gradients Float32[slice, *parameter.shape], which may be overwritten."""

# Elements of per-sample gradient held at once. A CPU is fastest while they fit its cache, a GPU wants long kernels.
_CHUNK = {"cpu": 1 << 19}
_CHUNK_ELSEWHERE = 1 << 25


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """What one call makes of one parameter, which the called layer knows as ``name``."""

    call: LayerCall
    name: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """What layers that trainable parameters were used in were given, and the gradients of what they gave.

    ``uses`` has every trainable parameter: tied embeddings have two uses, one that the losses do not depend on none.
    """

    size: int
    uses: dict[nn.Parameter, list[Use]]

    def parts(self) -> Iterator[GradientPart]:
        """The gradients of every parameter and sample, zeros for a parameter without use.

        Raises `Unreachable` where a rule does not fit a call after all.
        """
        for parameter, uses in self.uses.items():
            step = max(1, _CHUNK.get(parameter.device.type, _CHUNK_ELSEWHERE) // max(shape_of(parameter).numel(), 1))
            for start in range(0, self.size, step):
                rows = slice(start, min(start + step, self.size))
                yield parameter, rows, gradients_of(parameter, uses, rows)


def trace(
    model: nn.Module,
    owners: list[Owner],
    layouts: Layouts,
    forward: Callable[[], torch.Tensor],
    *,
    start: nn.Module | None = None,
) -> Trace:
    """Run ``forward``, which gives ``model``'s losses of the samples of ``layouts``, Float[B], and differentiate these.

    The backward pass ends at what the layer ``start`` is given, where there is one: no owner lies before it.

    Raises `Unreachable` where a layer's use of its parameters cannot be followed.
    """
    calls: list[tuple[Owner, LayerCall]] = []
    # The outputs of layers that feed on nothing trainable: their gradients pass through all other trainable layers.
    entries: list[torch.Tensor] = []
    kept: dict[nn.Module, Mapping[str, Any]] = {}

    def keep(owner: Owner, args: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        if type(output) in (tuple, list):
            # One output may be made of another: as others see them they are views, each with a gradient of its own.
            output = with_tensors(output, lambda tensor: tensor.view_as(tensor))
        outputs = list(tensors_in(output))
        if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in outputs):
            return output
        inputs = list(tensors_in((args, options)))
        if not inputs:
            raise Unreachable(f"{type(owner.layer).__name__} is given no tensor")
        call = LayerCall.of(owner.layer, args, options, layouts.of(owner.layer))
        call.kept.update(kept.pop(owner.layer, {}))
        if owner.rule.keeps_output:
            call.output = outputs[0].detach()
        call.watch(outputs)
        calls.append((owner, call))
        if not any(tensor.requires_grad for tensor in inputs):
            entries.extend(tensor for tensor in outputs if tensor.requires_grad)
        return output

    with _run_by_rules(owners, kept), _hooked(model, owners, layouts, keep), _starting(start), torch.enable_grad():
        losses = forward()
        if entries:
            torch.autograd.grad(losses.sum(), entries, allow_unused=True)
    uses: dict[nn.Parameter, list[Use]] = {p: [] for owner in owners for p in owner.parameters.values()}
    for owner, call in calls:
        if call.counts:
            _check(call)
            for name, parameter in owner.parameters.items():
                uses[parameter].append(Use(call, name, owner.rule))
    return Trace(size=layouts.text.size, uses=uses)


def gradients_of(parameter: nn.Parameter, uses: list[Use], rows: slice) -> torch.Tensor:
    """Gradients of samples ``rows``, Float32[rows, *parameter.shape]: the sum over ``uses``, zeros for none."""
    total: torch.Tensor | None = None
    # An embedding adds to what a tied layer gave, row by row: dense contributions come first.
    for use in sorted(uses, key=lambda use: use.rule.add is not None):
        if use.rule.add is not None:
            total = _zeros(parameter, rows) if total is None else total
            use.rule.add(total, use.call, use.name, rows)
            continue
        part = use.rule.gradients(use.call, use.name, rows)
        total = part if total is None else total.add_(part)
    return _zeros(parameter, rows) if total is None else total


def _zeros(parameter: nn.Parameter, rows: slice) -> torch.Tensor:
    return parameter.new_zeros((rows.stop - rows.start, *shape_of(parameter)), dtype=torch.float32)


def _check(call: LayerCall) -> None:
    """Raise `Unreachable` where what a layer gives is not the samples', row by row."""
    for tensor in call.grads:
        if tensor is not None and call.layout.find(tensor) is None:
            raise Unreachable(f"{type(call.layer).__name__} is applied to all samples at once")


@contextmanager
def _hooked(
    model: nn.Module,
    owners: list[Owner],
    layouts: Layouts,
    keep: Callable[[Owner, tuple[Any, ...], dict[str, Any], Any], Any],
) -> Iterator[None]:
    """Call ``keep`` after every forward of a layer that owns trainable parameters, for the time of the block."""
    handles = []
    for owner in owners:

        def after(layer: nn.Module, args: Any, options: Any, output: Any, owner: Owner = owner) -> Any:
            return keep(owner, args, options, output)

        handles.append(owner.layer.register_forward_hook(after, with_kwargs=True))
        if isinstance(owner.layer, nn.Embedding):
            handles.append(owner.layer.register_forward_pre_hook(_for_each_sample(layouts.of(owner.layer))))
    # For gradient checkpointing frozen embeddings, of patches too, are made to ask for gradients by a hook, and
    # everything would look as if it fed on something trainable.
    for module in model.modules():
        if module._forward_hooks and not any(p.requires_grad for p in module.parameters()):
            handles.append(module.register_forward_hook(_without_gradient, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _run_by_rules(owners: list[Owner], kept: dict[nn.Module, Mapping[str, Any]]) -> Iterator[None]:
    """Layers whose rules have a ``forward`` are run by it, for the time of the block; ``kept`` has what it leaves."""
    # Where somebody else has put another forward in place, that is what the layer computes.
    layers: list[tuple[nn.Module, Forward]] = [
        (owner.layer, owner.rule.forward)
        for owner in owners
        if owner.rule.forward is not None and "forward" not in vars(owner.layer)
    ]
    for layer, run in layers:

        def forward(
            *args: Any, layer: nn.Module = layer, run: Forward = run, stock: Any = layer.forward, **options: Any
        ) -> Any:
            found = run(layer, args, options)
            if found is None:
                return stock(*args, **options)
            output, kept[layer] = found
            return output

        layer.forward = forward
    try:
        yield
    finally:
        for layer, _ in layers:
            del layer.forward


@contextmanager
def _starting(layer: nn.Module | None) -> Iterator[None]:
    """Nothing that ``layer`` is given has a gradient, for the time of the block."""
    if layer is None:
        yield
        return

    def before(layer: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return with_tensors(args, torch.Tensor.detach), with_tensors(options, torch.Tensor.detach)

    handle = layer.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _without_gradient(layer: nn.Module, args: Any, options: Any, output: Any) -> Any:
    """Nothing in ``layer`` trains. An engine's hooks may have made something of what the other hook gave."""
    asked = torch.is_tensor(output) and output.requires_grad
    return output.detach() if asked and not any(t.requires_grad for t in tensors_in((args, options))) else None


def _for_each_sample(layout: Layout) -> Callable[[nn.Module, tuple[Any, ...]], Any]:
    """A hook that looks positions up for each sample, where one row would do for all of them."""

    def before(layer: nn.Module, args: tuple[Any, ...]) -> Any:
        if len(args) != 1 or not torch.is_tensor(args[0]) or args[0].ndim != 2:
            return None
        times = layout.repeats(args[0])
        return (args[0].expand(times, -1),) if times > 1 else None

    return before
