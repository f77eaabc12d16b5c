"""What one call of a layer leaves to make per-sample gradients of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.layout import Layout, Unreachable


@dataclass(slots=True, kw_only=True, eq=False)
class LayerCall:
    """One forward call of a layer with trainable parameters, and the gradients of its outputs once there are any.

    ``args`` and ``options`` are what it was called with, tensors detached. ``grads`` has one entry for each tensor of
    its output, None where the losses do not depend on it; ``output`` is the first of these where the layer's rule asks
    for it. ``layout`` says which rows of a tensor belong to which sample. ``kept`` is for what a rule works out once.
    """

    layer: nn.Module
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    layout: Layout
    output: torch.Tensor | None = None
    grads: list[torch.Tensor | None] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, layer: nn.Module, args: tuple[Any, ...], options: Mapping[str, Any], layout: Layout) -> LayerCall:
        """A call with ``args`` and ``options``, which are detached."""
        detached = with_tensors(dict(options), torch.Tensor.detach)
        return cls(layer=layer, args=with_tensors(args, torch.Tensor.detach), options=detached, layout=layout)

    def watch(self, outputs: list[torch.Tensor]) -> None:
        """Keep the gradient of each of ``outputs`` that can have one, when it comes."""
        self.grads = [None] * len(outputs)
        for index, output in enumerate(outputs):
            if output.requires_grad:
                output.register_hook(partial(self._keep, index))  # type: ignore[no-untyped-call]  # torch's own

    def _keep(self, index: int, grad: torch.Tensor) -> None:
        self.grads[index] = grad.detach()

    @property
    def counts(self) -> bool:
        """Whether the losses depend on any of its outputs."""
        return any(grad is not None for grad in self.grads)

    @property
    def first(self) -> torch.Tensor:
        """The first tensor that the layer was called with, whole."""
        return next(tensors_in((self.args, self.options)))

    @property
    def single(self) -> bool:
        """Whether the layer was called with one tensor, and nothing beside it, and answered with one tensor."""
        return len(self.args) == 1 and torch.is_tensor(self.args[0]) and not self.options and len(self.grads) == 1

    def input(self, rows: slice) -> torch.Tensor:
        """Of samples ``rows``, the first tensor that the layer was called with, [b, ...].

        Where a layer sees all samples' tokens as one long axis they are [b, tokens, ...].
        """
        return self.layout.cut(self.first, rows)

    def grad(self, rows: slice) -> torch.Tensor:
        """Of samples ``rows``, the gradient of the first tensor of the output that has one, shaped as `input` is."""
        grad = next((grad for grad in self.grads if grad is not None), None)
        if grad is None:
            raise Unreachable(f"{type(self.layer).__name__} has no gradient")
        return self.layout.cut(grad, rows)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a layer's arguments or output: one, or in tuples, lists and dictionaries."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors_in(each)


def with_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same with each tensor changed, in the order of `tensors_in`."""
    if torch.is_tensor(value):
        return change(value)
    if isinstance(value, dict):
        return {key: with_tensors(each, change) for key, each in value.items()}
    if isinstance(value, tuple | list):
        changed = [with_tensors(each, change) for each in value]
        return changed if isinstance(value, list) else tuple(changed)
    return value
