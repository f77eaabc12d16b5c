"""What one forward and one backward pass of a batch leave to make per-sample gradients of.

A forward hook keeps each trainable layer's input, a tensor hook the gradient of its output, and a rule
(`gradient_rules`) turns the two into one gradient per sample when it is asked for, a parameter and some samples at a
time: nothing of size batch x parameters is ever held, no ``.grad`` is touched and no hook of a distributed wrapper
fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.gradient_rules import LayerCall, Unreachable, Use, gradients_of
from dataflex_core.scoring.sharded import shape_of

GradientPart = tuple[nn.Parameter, slice, torch.Tensor]
"""A parameter, a slice of the batch, and the gradients Float32[slice, *parameter.shape], which may be overwritten."""

# Elements of per-sample gradient held at once. A CPU is fastest while they fit its cache, a GPU wants long kernels.
_CHUNK = {"cpu": 1 << 19}
_CHUNK_ELSEWHERE = 1 << 25

_Owners = dict[nn.Module, list[tuple[str, nn.Parameter]]]
"""The trainable parameters of each layer that has any of its own, with the layer's names of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Inputs and output gradients of the layers that trainable parameters were used in, for ``size`` samples.

    ``uses`` has every trainable parameter: tied embeddings have two uses, one that the losses do not depend on none.
    """

    size: int
    uses: dict[nn.Parameter, list[Use]]

    def parts(self) -> Iterator[GradientPart]:
        """The gradients of every parameter and sample, zeros for a parameter without use.

        Raises `Unreachable` where no rule fits a layer.
        """
        for parameter, uses in self.uses.items():
            step = max(1, _CHUNK.get(parameter.device.type, _CHUNK_ELSEWHERE) // max(shape_of(parameter).numel(), 1))
            for start in range(0, self.size, step):
                rows = slice(start, min(start + step, self.size))
                yield parameter, rows, gradients_of(parameter, uses, rows)


def trace(model: nn.Module, forward: Callable[[], torch.Tensor]) -> Trace:
    """Run ``forward``, which gives ``model``'s losses of B samples, Float[B], and differentiate these.

    Raises `Unreachable` where a layer's use of its parameters cannot be followed.
    """
    owners = _owners(model)
    calls: list[LayerCall] = []
    # The outputs of layers that feed on nothing trainable: their gradients pass through all other trainable layers.
    entries: list[torch.Tensor] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        if kwargs or len(args) != 1 or not torch.is_tensor(args[0]) or not torch.is_tensor(output):
            raise Unreachable(f"{type(layer).__name__} takes or gives more than one tensor")
        if not output.requires_grad:
            return
        call = LayerCall(layer, args[0].detach())
        calls.append(call)
        output.register_hook(call.keep_gradient)  # type: ignore[no-untyped-call]  # torch's own
        if not args[0].requires_grad:
            entries.append(output)

    with _hooked(model, owners, keep), torch.enable_grad():
        losses = forward()
        if entries:
            torch.autograd.grad(losses.sum(), entries, allow_unused=True)
    return Trace(size=len(losses), uses=_uses(owners, calls, len(losses)))


@contextmanager
def _hooked(model: nn.Module, owners: _Owners, keep: Callable[..., None]) -> Iterator[None]:
    """Call ``keep`` after every forward of a layer that owns trainable parameters, for the time of the block."""
    handles = [layer.register_forward_hook(keep, with_kwargs=True) for layer in owners]
    find_entry = getattr(model, "get_input_embeddings", None)
    entry = find_entry() if callable(find_entry) else None
    # For gradient checkpointing a frozen embedding is made to ask for gradients, and everything would look as if
    # it fed on something trainable.
    if isinstance(entry, nn.Module) and owners.keys().isdisjoint(entry.modules()):
        handles.append(entry.register_forward_hook(lambda module, args, output: output.detach()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _owners(model: nn.Module) -> _Owners:
    owners: _Owners = {}
    for path, module in model.named_modules():
        mine = [(name, p) for name, p in module.named_parameters(recurse=False) if p.requires_grad]
        if not mine:
            continue
        if next(module.children(), None) is not None or isinstance(module, nn.ParameterDict | nn.ParameterList):
            raise Unreachable(f"{path} holds parameters outside of a layer")
        owners[module] = mine
    return owners


def _uses(owners: _Owners, calls: list[LayerCall], size: int) -> dict[nn.Parameter, list[Use]]:
    """The uses of every trainable parameter that the losses depend on."""
    uses: dict[nn.Parameter, list[Use]] = {p: [] for owned in owners.values() for _, p in owned}
    for call in calls:
        if call.grad is None:
            continue
        for name, parameter in owners[call.layer]:
            if len(call.input) != size:
                raise Unreachable(f"{name} of {type(call.layer).__name__} is applied to all samples at once")
            uses[parameter].append(Use(call, name))
    return uses
