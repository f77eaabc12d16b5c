"""Cosines of a few samples with each target sample: what a score of influence is the mean of, and so why it is high."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.scoring.engine import Engine, Task
from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.influence import Directions, batch_cosines
from dataflex_core.scoring.moments import Moments
from dataflex_core.scoring.own_directions import at_once
from dataflex_core.scoring.products import updates
from dataflex_core.scoring.samples import Batch, Ids, Samples

_TASK = Task(what="reasons", signal="gradients")


def cosines_with_each(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    targets: Sequence[Samples],
    moments: Mapping[nn.Parameter, Moments] | None,
    *,
    kept: Directions | None = None,
) -> NDArray[np.float32]:
    """The cosine of each of ``ids`` Int64[n], distinct and ascending, with each target sample, Float32[n, M].

    The targets' samples stand in order, subtask by subtask; NaN where one or the other has no gradient. The means over
    a subtask's samples that have one are what `compared` gives. ``moments`` make Adam's directions of the samples'
    gradients, as there; those of target samples are plain.

    ``kept`` are the target samples' unit gradients, M a parameter, which are all that is needed of them. Without them
    the samples' directions are held, as many as `at_once`, and a pass over all targets is made for each such block.
    Nothing of the passes is kept on disk. The same on every rank; collective.
    """
    if kept is not None:
        return _with_kept(gradients, engine, samples, ids, kept, moments)
    step, found = at_once(gradients), []
    for start in range(0, len(ids), step):
        held = updates(gradients, engine, samples, ids[start : start + step], moments)
        _make_unit(held)
        rows = [_with_held(gradients, engine, target, held) for target in targets]
        found.append(torch.cat(rows).T.cpu().numpy())
        del held  # before there is the next
    return np.concatenate(found) if found else np.zeros((0, sum(map(len, targets))), dtype=np.float32)


def _with_kept(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    kept: Directions,
    moments: Mapping[nn.Parameter, Moments] | None,
) -> NDArray[np.float32]:
    has_one = torch.stack([rows.any(dim=1) for rows in kept.values()]).any(dim=0)
    found = _of_batches(engine, samples, ids, len(has_one), lambda b: batch_cosines(gradients.of(b), kept, moments))
    return torch.where(has_one, found, torch.nan).cpu().numpy()


def _with_held(gradients: Gradients, engine: Engine, target: Samples, held: Directions) -> torch.Tensor:
    """Float32[m, n] of a subtask's m samples and n directions of length one that are held."""
    every, count = np.arange(len(target), dtype=np.int64), len(next(iter(held.values())))
    return _of_batches(engine, target, every, count, lambda batch: batch_cosines(gradients.of(batch), held, None))


def _of_batches(
    engine: Engine, samples: Samples, ids: Ids, width: int, of_batch: Callable[[Batch], torch.Tensor]
) -> torch.Tensor:
    """``of_batch``'s Float32[b, width] of ``ids``, which ascend: Float32[n, width], the same on every rank."""
    found = torch.zeros(len(ids), width, device=engine.ranks.device)

    def keep(batch: Batch, own: Ids | None) -> None:
        rows = of_batch(batch)
        if own is not None:
            found[torch.from_numpy(np.searchsorted(ids, own)).to(found.device)] = rows

    engine.each(samples, ids, _TASK, keep)
    return engine.ranks.sum(found)


def _make_unit(held: Directions) -> None:
    """Divide directions by their lengths, in place: NaN where one has none."""
    squares = torch.stack([vectors.square().sum(dim=1) for vectors in held.values()]).sum(dim=0)
    scales = torch.where(squares > 0, squares.rsqrt(), torch.nan)
    for vectors in held.values():
        vectors *= scales[:, None]
