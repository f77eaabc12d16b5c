"""Influence on a target set: exact, streaming products of training updates with directions.

A LESS score (arXiv:2402.04333) is a mean of cosines over a subtask's target samples, so it is linear in their unit
gradients: one vector ``q`` per subtask, the mean unit gradient, gives every score as a dot product. Each batch's
gradients meet ``q`` parameter by parameter and are dropped; what is kept is one score a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

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
"""Float32[K, numel] for each trainable parameter: K directions, such as the mean unit gradient of each subtask."""

Counted = tuple[Directions, torch.Tensor]
"""Directions, and of how many gradients each is the mean, Float32[K]: NaN of none.

The numbers lie on the device, and whoever looks at them waits for it.
"""

_COLUMNS = {"cpu": 1 << 17}
"""Numbers of a parameter whose updates are made at once: of a large one a CPU does half the work in its cache."""

Scales = Callable[[SampleGradients, Ids], torch.Tensor]
"""Float32[R, B]: how much of each of B samples' gradients goes into each of R sums."""


def target_directions(
    gradients: Gradients,
    engine: Engine,
    subtasks: Sequence[Samples],
    *,
    unit: bool = True,
    each: Directions | None = None,
) -> Counted:
    """The mean ``unit`` gradient of each subtask, or else its mean gradient, the same on every rank; collective.

    Those that the means are of are put into ``each``, if given: Float32[M, numel] zeros a parameter, for the M samples
    of all subtasks, in order. `check_directions` tells where no sample of a subtask has a gradient.
    """
    q, counts, start = zeros_of(gradients, len(subtasks)), [], 0
    for k, subtask in enumerate(subtasks):
        sums, stop = {p: vectors[k : k + 1] for p, vectors in q.items()}, start + len(subtask)
        own = None if each is None else {p: rows[start:stop] for p, rows in each.items()}
        every, start = np.arange(len(subtask), dtype=np.int64), stop
        counts.append(add_scaled(gradients, engine, subtask, every, sums, _units if unit else _known, each=own))
        for vectors in sums.values():
            vectors /= counts[-1]
    return q, torch.cat(counts)


def check_directions(counts: torch.Tensor, subtasks: Sequence[Samples]) -> None:
    """Raise `DataError` where no sample of a subtask has a gradient, by the ``counts`` of `target_directions`."""
    for subtask, count in zip(subtasks, counts.tolist(), strict=True):
        if count == 0:
            raise DataError(
                f"no sample of target set {subtask.name} has a gradient",
                hint="check that its samples have target tokens",
            )


def compared(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    shard: Ids,
    task: Task,
    q: Directions,
    moments: Mapping[nn.Parameter, Moments] | None,
    *,
    unit: bool,
) -> NDArray[np.float32]:
    """Each sample's product with each of K directions, Float32[n, K]; NaN where it has no target token.

    ``moments`` make Adam's direction of a sample's gradient; None compares the gradient itself. ``unit`` divides by its
    norm, which makes the product with a mean of unit vectors a mean cosine. Collective.
    """
    of_batch = batch_cosines if unit else batch_products
    row = (len(next(iter(q.values()))),)
    return engine.map(samples, shard, task, lambda batch: of_batch(gradients.of(batch), q, moments), row=row)


def batch_cosines(
    found: SampleGradients, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> torch.Tensor:
    """Mean cosines with each of K directions, Float32[B, K]; NaN where a sample has no gradient."""
    squares, dots = found.zeros(), found.zeros(len(next(iter(q.values()))))
    for rows, update, towards in _updates(found, q, moments):
        dots[rows] += update @ towards.T
        squares[rows] += squared_norms(update)
    usable = found.known & (squares > 0)
    return torch.where(usable[:, None], dots * squares.rsqrt()[:, None], torch.nan)


def batch_products(
    found: SampleGradients, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> torch.Tensor:
    """Products with each of K directions, Float32[B, K]; NaN where a sample has no target token."""
    dots = found.zeros(len(next(iter(q.values()))))
    for rows, update, towards in _updates(found, q, moments):
        dots[rows] += update @ towards.T
    return torch.where(found.known[:, None], dots, torch.nan)


def _updates(
    found: SampleGradients, q: Directions, moments: Mapping[nn.Parameter, Moments] | None
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Samples, their updates Float32[b, n] of n numbers of a parameter, and the directions' same, Float32[K, n]."""
    for parameter, rows, part in found:
        gradients = part.flatten(1)
        count = gradients.shape[1]
        for start in range(0, count, _COLUMNS.get(gradients.device.type, count)):
            columns = slice(start, start + _COLUMNS.get(gradients.device.type, count))
            yield rows, direction(gradients[:, columns], parameter, moments, columns), q[parameter][:, columns]


def zeros_of(gradients: Gradients, count: int) -> Directions:
    """Float32[count, numel] for each trainable parameter, to add up in."""
    return {p: torch.zeros(count, shape_of(p).numel(), device=p.device) for p in gradients.parameters.values()}


def add_scaled(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    sums: Directions,
    scales: Scales,
    *,
    each: Directions | None = None,
) -> torch.Tensor:
    """Put R sums of the gradients of samples ``ids``, which ascend, into ``sums``, Float32[R, numel] zeros.

    What goes into the first sum of each sample is put into ``each``, Float32[len(ids), numel] zeros, if given.
    How many gradients are in any, Float32[1]; the same on every rank. Collective.
    """
    while (count := _add_own(gradients, engine, samples, ids, sums, scales, each)) is None:
        for vectors in sums.values():
            vectors.zero_()
    for vectors in (*sums.values(), *(each or {}).values()):
        vectors.copy_(engine.ranks.sum(vectors))
    return engine.ranks.sum(count.reshape(1))


def _add_own(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    sums: Directions,
    scales: Scales,
    each: Directions | None,
) -> torch.Tensor | None:
    """Add this rank's gradients to ``sums`` and count them; None where memory ran out amid an addition."""
    counts = [torch.zeros((), device=engine.ranks.device)]
    torn = False

    def add(batch: Batch, own: Ids | None) -> None:
        nonlocal torn
        found = gradients.of(batch)
        if own is None:
            return
        scale = scales(found, own)
        try:
            _add_scaled(sums, found, scale, each, np.searchsorted(ids, own))
        except RuntimeError as error:
            torn = torn or should_reduce_batch_size(error)
            raise
        counts.append((scale != 0).any(dim=0).sum().float())

    engine.each(samples, ids, Task(what="target gradients", signal="gradients"), add)
    return None if engine.ranks.largest(int(torn)) else torch.stack(counts).sum()


def _add_scaled(
    sums: Directions, found: SampleGradients, scale: torch.Tensor, each: Directions | None, places: Ids
) -> None:
    """Add each sample's gradient, times its ``scale`` Float32[R, B], to ``sums``, Float32[R, numel] a parameter.

    Times its first scale it is put into ``each`` at its place, ``places`` Int64[B].
    """
    at = torch.from_numpy(places).to(scale.device)
    for parameter, rows, part in found:
        flat = part.flatten(1)
        sums[parameter] += scale[:, rows] @ flat
        if each is not None:
            each[parameter][at[rows]] = flat * scale[0, rows, None]


def _units(found: SampleGradients, ids: Ids) -> torch.Tensor:
    """What makes every gradient one of length one, Float32[1, B]; 0 of one that has none."""
    squares = found.zeros()
    for _, rows, part in found:
        squares[rows] += squared_norms(part.flatten(1))
    return torch.where(found.known & (squares > 0), squares.rsqrt(), 0.0)[None]


def _known(found: SampleGradients, ids: Ids) -> torch.Tensor:
    return found.known.float()[None]
