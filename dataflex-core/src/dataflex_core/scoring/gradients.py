"""Per-sample gradients of a batch, by hooks where they reach and one sample at a time where they do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from dataflex_core.scoring.engine import Batch
from dataflex_core.scoring.losses import sample_means, token_losses
from dataflex_core.scoring.persample import PerSample, Sink, Unreachable
from dataflex_core.scoring.sharded import is_sharded

T = TypeVar("T")

_AGREEMENT = 0.02  # relative, per parameter; hooks and autograd in bfloat16 agree to .003


@dataclass(frozen=True, slots=True, eq=False)
class SampleLosses:
    """Mean losses of some samples, Float[b]; ``known`` is False, and the loss 0, where there is no target token."""

    values: torch.Tensor
    known: torch.Tensor
    differentiate: Callable[[Sink, bool], None]
    """Send each sample's gradients to a sink; True keeps the graph for another time."""


class Gradients:
    """Per-sample gradients of one model, which must be at rest.

    Whether hooks reach every parameter, the first batch decides, and the first of several samples: there a weighted
    sum of their gradients is compared with autograd's own.
    """

    def __init__(self, model: nn.Module, notice: Callable[[str], None]) -> None:
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._model = model
        self._notice = notice
        self._sharded = any(map(is_sharded, self.parameters.values()))
        self._batched = True
        self._checked = 0

    def of(self, batch: Batch, body: Callable[[SampleLosses], T]) -> list[T]:
        """``body``'s answers for the batch in one piece, or for its samples one by one."""
        size = len(batch["input_ids"])
        # A parameter that is sharded has no gradient here to compare with; of those only linear layers are let in.
        if self._batched and not self._sharded and self._checked < min(size, 2):
            self._batched, self._checked = self._hooks_reach(batch), size
        if self._batched:
            return [self._hooked(batch, body)]
        return [self._looped({k: _row(v, i, size) for k, v in batch.items()}, body) for i in range(size)]

    def _hooked(self, batch: Batch, body: Callable[[SampleLosses], T]) -> T:
        watcher = PerSample()
        with watcher.watch(self._model):
            with torch.enable_grad():
                values, known = _means(self._model, batch)
            graph: list[torch.Tensor] = [values]

            def differentiate(sink: Sink, keep: bool) -> None:
                if not graph:  # ZeRO-3 gathers weights for one backward pass after each forward, not for two
                    watcher.forget()
                    with torch.enable_grad():
                        graph.append(_means(self._model, batch)[0])
                watcher.backward(graph[0], sink, retain_graph=keep and not self._sharded)
                if self._sharded:
                    graph.clear()

            return body(SampleLosses(values.detach(), known, differentiate))

    def _looped(self, batch: Batch, body: Callable[[SampleLosses], T]) -> T:
        with torch.enable_grad():
            values, known = _means(self._model, batch)

        def differentiate(sink: Sink, keep: bool) -> None:
            for parameter, grad in zip(self.parameters.values(), self._autograd(values, keep=keep), strict=True):
                sink(parameter, slice(0, 1), grad.float().unsqueeze(0))

        return body(SampleLosses(values.detach(), known, differentiate))

    def _autograd(self, values: torch.Tensor, *, keep: bool = False) -> list[torch.Tensor]:
        parameters = list(self.parameters.values())
        if not values.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        grads = torch.autograd.grad(values.sum(), parameters, retain_graph=keep, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]

    def _hooks_reach(self, batch: Batch) -> bool:
        sums = {p: torch.zeros(p.shape, device=p.device) for p in self.parameters.values()}
        places = torch.arange(len(batch["input_ids"]), device=batch["input_ids"].device)
        # No two alike, so that a gradient that is counted to another sample shows.
        weights = (1 + places / len(places)) * (1 - 2 * (places % 2))

        def add(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
            sums[parameter] += torch.tensordot(weights[rows], gradients, dims=1)

        try:
            self._hooked(batch, lambda losses: losses.differentiate(add, False))
            with torch.enable_grad():
                values, _ = _means(self._model, batch)
            for (name, parameter), grad in zip(self.parameters.items(), self._autograd(values * weights), strict=True):
                off = (sums[parameter] - grad).norm() / grad.norm().clamp(min=1e-12)
                if float(off) > _AGREEMENT:
                    raise Unreachable(f"{name} is not used by its layer alone, or not sample by sample")
        except Unreachable as why:
            self._notice(f"gradients are taken one sample at a time, which is slower: {why}")
            return False
        return True


def squared_norms(rows: torch.Tensor) -> torch.Tensor:
    """Float32[b] of Float32[b, n], without a copy of ``rows``."""
    return torch.bmm(rows.unsqueeze(1), rows.unsqueeze(2)).flatten()


def _means(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    losses, mask = token_losses(model, batch)
    known = mask.any(dim=1)
    return sample_means(losses, mask | ~known[:, None]), known


def _row(value: object, index: int, size: int) -> object:
    batched = torch.is_tensor(value) and value.ndim > 0 and len(value) == size
    return value[index : index + 1] if batched and torch.is_tensor(value) else value
