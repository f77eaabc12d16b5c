"""Frozen weights of a layer that an engine takes away behind each of its calls, kept for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def frozen_weights_kept(layer: nn.Module) -> Iterator[None]:
    """What autograd saves of frozen parameters in calls of ``layer`` within is their data, and stays theirs.

    ``torch.utils.checkpoint`` computes a call again for the backward pass, and holds a weight that trains by an alias
    of its data, but a frozen one by the parameter itself. ZeRO-3 has emptied that when the call is over. So frozen
    parameters are called by an alias, too; the engine, whose hooks lie around ours, sees the parameters.
    """
    handles = []
    for module in layer.modules():
        swap = _Swap()
        handles.append(module.register_forward_pre_hook(swap.enter))
        handles.append(module.register_forward_hook(swap.leave, prepend=True, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Swap:
    """Aliases in place of the frozen parameters of one module, for one call of it."""

    def __init__(self) -> None:
        self._own: dict[str, nn.Parameter] = {}

    def enter(self, module: nn.Module, args: Any) -> None:
        held: dict[str, Any] = module._parameters
        self._own = {name: p for name, p in held.items() if p is not None and not p.requires_grad}
        for name, parameter in self._own.items():
            held[name] = parameter.detach()

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        module._parameters.update(self._own)
        self._own = {}
