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
from dataflex_core.scoring.engine import Engine, Task
from dataflex_core.scoring.gradients import Gradients, SampleGradients, squared_norms
from dataflex_core.scoring.moments import Moments, direction
from dataflex_core.scoring.samples import Batch, Ids, Samples
from dataflex_core.scoring.sharded import shape_of

Directions = dict[nn.Parameter, torch.Tensor]
"""Float32[K, numel] for each trainable parameter: the mean unit gradient of each of K subtasks."""


def target_directions(
    gradients: Gradients, engine: Engine, subtasks: Sequence[Samples]
) -> tuple[Directions, torch.Tensor]:
    """The mean unit gradient of each subtask, and how many samples it is of, Float32[K]; the same on every rank.

    NaN where no sample of a subtask has a gradient: `check_directions` tells, which has to wait for the device.
    Collective.
    """
    parameters = gradients.parameters.values()
    q = {p: torch.zeros(len(subtasks), shape_of(p).numel(), device=p.device) for p in parameters}
    counts = []
    for k, subtask in enumerate(subtasks):
        sums = {p: vectors[k] for p, vectors in q.items()}
        while (count := _add_subtask(gradients, engine, subtask, sums)) is None:
            for vector in sums.values():
                vector.zero_()
        counts.append(engine.ranks.sum(count.reshape(1)))
        for vectors in q.values():
            vectors[k] = engine.ranks.sum(vectors[k].clone()) / counts[-1]
    return q, torch.cat(counts)


def check_directions(counts: torch.Tensor, subtasks: Sequence[Samples]) -> None:
    """Raise `DataError` where no sample of a subtask has a gradient, by the ``counts`` of `target_directions`."""
    for subtask, count in zip(subtasks, counts.tolist(), strict=True):
        if count == 0:
            raise DataError(
                f"no sample of target set {subtask.name} has a gradient",
                hint="check that its samples have target tokens",
            )


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

    ``moments`` make Adam's direction of a sample's gradient; None compares the gradient itself. Collective.
    """
    row = (len(next(iter(q.values()))),)
    return engine.map(samples, shard, task, lambda batch: batch_cosines(gradients.of(batch), q, moments), row=row)


def batch_cosines(
    found: SampleGradients, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> torch.Tensor:
    """Mean cosines with each of K subtasks, Float32[B, K]; NaN where a sample has no gradient."""
    squares, dots = found.zeros(), found.zeros(len(next(iter(q.values()))))
    for parameter, rows, part in found:
        update = direction(part.flatten(1), parameter, moments)
        dots[rows] += update @ q[parameter].T
        squares[rows] += squared_norms(update)
    usable = found.known & (squares > 0)
    return torch.where(usable[:, None], dots * squares.rsqrt()[:, None], torch.nan)


def _add_subtask(gradients: Gradients, engine: Engine, subtask: Samples, sums: Directions) -> torch.Tensor | None:
    """Add this rank's unit gradients to ``sums`` and count them; None where memory ran out amid an addition."""
    counts = [torch.zeros((), device=engine.ranks.device)]
    torn = False

    def add(batch: Batch, ids: Ids | None) -> None:
        nonlocal torn
        found = gradients.of(batch)
        squares = found.zeros()
        for _, rows, part in found:
            squares[rows] += squared_norms(part.flatten(1))
        usable = found.known & (squares > 0) & (ids is not None)
        try:
            _add_scaled(sums, found, torch.where(usable, squares.rsqrt(), 0.0))
        except RuntimeError as error:
            torn = torn or should_reduce_batch_size(error)
            raise
        counts.append(usable.sum().float())

    shard = engine.shard(subtask, np.arange(len(subtask)))
    engine.each(subtask, shard, Task(what="target gradients", signal="gradients"), add)
    return None if engine.ranks.largest(int(torn)) else torch.stack(counts).sum()


def _add_scaled(sums: Directions, found: SampleGradients, scale: torch.Tensor) -> None:
    """Add each sample's gradient, times its ``scale`` Float32[B], to ``sums``: Float32[numel] for each parameter."""
    for parameter, rows, part in found:
        sums[parameter] += scale[rows] @ part.flatten(1)
