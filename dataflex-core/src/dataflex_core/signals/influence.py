"""Influence on a target set: exact, streaming cosines between training updates and target gradients.

A LESS score (arXiv:2402.04333) is a mean of cosines over a subtask's target samples, so it is linear in their unit
gradients: one vector ``q`` per subtask, the mean unit gradient, gives every score as a dot product. Each batch's
gradients meet ``q`` parameter by parameter and are dropped; what is kept is one score a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.errors import DataError
from dataflex_core.signals.engine import Batch, Engine, Samples
from dataflex_core.signals.losses import sample_means, token_losses
from dataflex_core.signals.moments import Moments, adam_direction
from dataflex_core.signals.persample import PerSample, Sink, Unreachable

T = TypeVar("T")
Ids = NDArray[np.int64]
Directions = dict[nn.Parameter, torch.Tensor]
"""Float32[K, numel] for each trainable parameter: the mean unit gradient of each of K subtasks."""

_AGREEMENT = 0.02  # relative, per parameter; hooks and autograd in bfloat16 agree to .003


@dataclass(frozen=True, slots=True, eq=False)
class _Losses:
    """Mean losses of some samples, Float[b]; ``known`` is False, and the loss 0, where there is no target token."""

    values: torch.Tensor
    known: torch.Tensor
    differentiate: Callable[[Sink, bool], None]
    """Send each sample's gradients to a sink; True keeps the graph for another time."""


class GradientPass:
    """Per-sample gradients of one model, batched by hooks, or one sample at a time where hooks do not reach.

    The model must be at rest. Which of the two it is, the first batch decides: there the hooks' gradients are
    compared, summed, with those of autograd itself.
    """

    def __init__(self, model: nn.Module, engine: Engine, notice: Callable[[str], None]) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._model = model
        self._engine = engine
        self._notice = notice
        self._batched: bool | None = None

    def targets(self, subtasks: Sequence[Samples]) -> Directions:
        """The mean unit gradient of each subtask, the same on every rank."""
        ranks = self._engine.ranks
        q = {p: torch.zeros(len(subtasks), p.numel(), device=p.device) for p in self.parameters}
        for k, subtask in enumerate(subtasks):
            counts = [torch.zeros((), device=ranks.device)]

            def add(batch: Batch, ids: Ids | None, k: int = k, counts: list[torch.Tensor] = counts) -> None:
                def body(losses: _Losses) -> None:
                    squares = torch.zeros_like(losses.values)
                    losses.differentiate(_squares_into(squares), True)
                    usable = losses.known & (squares > 0) & (ids is not None)
                    scale = torch.where(usable, squares.rsqrt(), 0.0)
                    losses.differentiate(_sum_into(q, k, scale), False)
                    counts.append(usable.sum().float())

                self._with_losses(batch, body)

            shard = self._engine.shard(subtask, np.arange(len(subtask)))
            self._engine.each(subtask, shard, f"target gradients of {subtask.name}", add)
            total = ranks.sum(torch.stack(counts).sum().reshape(1))
            if not bool(total > 0):
                raise DataError(
                    f"no sample of target set {subtask.name} has a gradient",
                    hint="check that its samples have target tokens",
                )
            for vectors in q.values():
                vectors[k] = ranks.sum(vectors[k].clone()) / total
        return q

    def scores(
        self, samples: Samples, shard: Ids, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
    ) -> NDArray[np.float32]:
        """Each sample's largest mean cosine over the subtasks, Float32[n]; NaN where it has no target token.

        ``moments`` make Adam's direction of a sample's gradient; None compares the gradient itself.
        """
        subtasks = len(next(iter(q.values())))

        def body(losses: _Losses) -> torch.Tensor:
            squares = torch.zeros_like(losses.values)
            dots = squares.new_zeros(len(squares), subtasks)
            losses.differentiate(_products_into(dots, squares, q, moments), False)
            cosines = dots.amax(dim=1) * squares.rsqrt()
            return torch.where(losses.known & (squares > 0), cosines, torch.nan)

        return self._engine.map(
            samples, shard, "gradients of candidates", lambda batch: torch.cat(self._with_losses(batch, body))
        )

    def _with_losses(self, batch: Batch, body: Callable[[_Losses], T]) -> list[T]:
        """``body``'s answers for the batch in one piece, or for its samples one by one."""
        if self._batched is None:
            self._batched = self._hooks_reach(batch)
        if self._batched:
            return [self._hooked(batch, body)]
        size = len(batch["input_ids"])
        return [self._looped({k: _row(v, i, size) for k, v in batch.items()}, body) for i in range(size)]

    def _hooked(self, batch: Batch, body: Callable[[_Losses], T]) -> T:
        watcher = PerSample()
        with watcher.watch(self._model):
            with torch.enable_grad():
                values, known = _means(self._model, batch)

            def differentiate(sink: Sink, keep: bool) -> None:
                watcher.backward(values, sink, retain_graph=keep)

            return body(_Losses(values.detach(), known, differentiate))

    def _looped(self, batch: Batch, body: Callable[[_Losses], T]) -> T:
        with torch.enable_grad():
            values, known = _means(self._model, batch)

        def differentiate(sink: Sink, keep: bool) -> None:
            for parameter, grad in zip(self.parameters, self._autograd(values, keep=keep), strict=True):
                sink(parameter, slice(0, 1), grad.float().unsqueeze(0))

        return body(_Losses(values.detach(), known, differentiate))

    def _autograd(self, values: torch.Tensor, *, keep: bool = False) -> list[torch.Tensor]:
        if not values.requires_grad:
            return [torch.zeros_like(p) for p in self.parameters]
        grads = torch.autograd.grad(values.sum(), self.parameters, retain_graph=keep, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, grads, strict=True)]

    def _hooks_reach(self, batch: Batch) -> bool:
        sums = {p: torch.zeros(p.shape, device=p.device) for p in self.parameters}

        def add(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
            sums[parameter] += gradients.sum(dim=0)

        try:
            self._hooked(batch, lambda losses: losses.differentiate(add, False))
            with torch.enable_grad():
                values, _ = _means(self._model, batch)
            names = {p: name for name, p in self._model.named_parameters()}
            for parameter, grad in zip(self.parameters, self._autograd(values), strict=True):
                off = (sums[parameter] - grad).norm() / grad.norm().clamp(min=1e-12)
                if float(off) > _AGREEMENT:
                    raise Unreachable(f"{names[parameter]} is also used outside of its layer")
        except Unreachable as why:
            self._notice(f"gradients are taken one sample at a time, which is slower: {why}")
            return False
        return True


def _means(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    losses, mask = token_losses(model, batch)
    known = mask.any(dim=1)
    return sample_means(losses, mask | ~known[:, None]), known


def _row(value: object, index: int, size: int) -> object:
    batched = torch.is_tensor(value) and value.ndim > 0 and len(value) == size
    return value[index : index + 1] if batched and torch.is_tensor(value) else value


def _squared_norms(rows: torch.Tensor) -> torch.Tensor:
    """Float32[b] of Float32[b, n], without a copy of ``rows``."""
    return torch.bmm(rows.unsqueeze(1), rows.unsqueeze(2)).flatten()


def _squares_into(squares: torch.Tensor) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        squares[rows] += _squared_norms(gradients.flatten(1))

    return sink


def _sum_into(q: Directions, k: int, scale: torch.Tensor) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        q[parameter][k] += scale[rows] @ gradients.flatten(1)

    return sink


def _products_into(
    dots: torch.Tensor, squares: torch.Tensor, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        update = gradients.flatten(1)
        if moments is not None:
            update = adam_direction(update, moments[parameter])
        dots[rows] += update @ q[parameter].T
        squares[rows] += _squared_norms(update)

    return sink
