"""Influence on a target set: exact, streaming cosines between training updates and target gradients.

A LESS score (arXiv:2402.04333) is a mean of cosines over a subtask's target samples, so it is linear in their unit
gradients: one vector ``q`` per subtask, the mean unit gradient, gives every score as a dot product. Each batch's
gradients meet ``q`` parameter by parameter and are dropped; what is kept is one score a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size
from numpy.typing import NDArray
from torch import nn

from dataflex_core.errors import DataError
from dataflex_core.scoring.engine import Batch, Engine, Samples, Task
from dataflex_core.scoring.gradients import Gradients, SampleLosses, squared_norms
from dataflex_core.scoring.moments import Moments, direction
from dataflex_core.scoring.persample import Sink
from dataflex_core.scoring.sharded import shape_of

Ids = NDArray[np.int64]
Directions = dict[nn.Parameter, torch.Tensor]
"""Float32[K, numel] for each trainable parameter: the mean unit gradient of each of K subtasks."""


def target_directions(gradients: Gradients, engine: Engine, subtasks: Sequence[Samples]) -> Directions:
    """The mean unit gradient of each subtask, the same on every rank. Raises `DataError` where one has none."""
    parameters = gradients.parameters.values()
    q = {p: torch.zeros(len(subtasks), shape_of(p).numel(), device=p.device) for p in parameters}
    for k, subtask in enumerate(subtasks):
        total = _add_up(gradients, engine, subtask, {p: vectors[k] for p, vectors in q.items()})
        while total is None:
            total = _add_up(gradients, engine, subtask, {p: vectors[k].zero_() for p, vectors in q.items()})
        total = engine.ranks.sum(total.reshape(1))
        if not bool(total > 0):
            raise DataError(
                f"no sample of target set {subtask.name} has a gradient",
                hint="check that its samples have target tokens",
            )
        for vectors in q.values():
            vectors[k] = engine.ranks.sum(vectors[k].clone()) / total
    return q


def cosines(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    shard: Ids,
    task: Task,
    q: Directions,
    moments: Mapping[nn.Parameter, Moments] | None,
) -> NDArray[np.float32]:
    """Each sample's mean cosine with each subtask, Float32[n, K]; NaN where it has no target token.

    ``moments`` make Adam's direction of a sample's gradient; None compares the gradient itself.
    """
    subtasks = len(next(iter(q.values())))

    def body(losses: SampleLosses) -> torch.Tensor:
        squares = torch.zeros_like(losses.values)
        dots = squares.new_zeros(len(squares), subtasks)
        losses.differentiate(_products_into(dots, squares, q, moments), False)
        usable = losses.known & (squares > 0)
        return torch.where(usable[:, None], dots * squares.rsqrt()[:, None], torch.nan)

    return engine.map(samples, shard, task, lambda batch: torch.cat(gradients.of(batch, body)), row=(subtasks,))


def _add_up(gradients: Gradients, engine: Engine, subtask: Samples, sums: Directions) -> torch.Tensor | None:
    """Add this rank's unit gradients to ``sums`` and count them; None where memory ran out amid an addition."""
    counts = [torch.zeros((), device=engine.ranks.device)]
    torn = False

    def add(batch: Batch, ids: Ids | None) -> None:
        def body(losses: SampleLosses) -> None:
            nonlocal torn
            # Two times over one graph: a sample's norm is known only after its last parameter.
            squares = torch.zeros_like(losses.values)
            losses.differentiate(_squares_into(squares), True)
            usable = losses.known & (squares > 0) & (ids is not None)
            scale = torch.where(usable, squares.rsqrt(), 0.0)
            try:
                losses.differentiate(_sum_into(sums, scale), False)
            except RuntimeError as error:
                torn = torn or should_reduce_batch_size(error)
                raise
            counts.append(usable.sum().float())

        gradients.of(batch, body)

    shard = engine.shard(subtask, np.arange(len(subtask)))
    engine.each(subtask, shard, Task(what="target gradients", signal="gradients"), add)
    return None if engine.ranks.largest(int(torn)) else torch.stack(counts).sum()


def _squares_into(squares: torch.Tensor) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        squares[rows] += squared_norms(gradients.flatten(1))

    return sink


def _sum_into(sums: Directions, scale: torch.Tensor) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        sums[parameter] += scale[rows] @ gradients.flatten(1)

    return sink


def _products_into(
    dots: torch.Tensor, squares: torch.Tensor, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        update = direction(gradients.flatten(1), parameter, moments)
        dots[rows] += update @ q[parameter].T
        squares[rows] += squared_norms(update)

    return sink
