"""Products of samples' gradients with each other: exact, and never all of the gradients at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.scoring.engine import Engine, Task
from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.influence import Directions, batch_products, zeros_of
from dataflex_core.scoring.moments import Moments, direction
from dataflex_core.scoring.own_directions import at_once
from dataflex_core.scoring.samples import Batch, Ids, Samples

_TASK = Task(what="products of gradients", signal="gradients")


def products(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    a: Ids,
    b: Ids,
    moments: Mapping[nn.Parameter, Moments] | None,
) -> NDArray[np.float32]:
    """The product of each sample of ``a`` with each of ``b``, Float32[len(a), len(b)], the same on every rank.

    The gradients of a block of ``a`` are held, as many as `at_once`, and meet those of ``b``, which are made anew for
    each block. Where both are the same samples, a block meets itself and those that follow, and the rest is its mirror
    image. ``moments`` make Adam's directions of gradients. NaN where a sample has no target token. Collective.
    """
    rows, of_a = np.unique(a, return_inverse=True)
    columns, of_b = np.unique(b, return_inverse=True)
    same, step = np.array_equal(rows, columns), at_once(gradients)
    found = np.empty((len(rows), len(columns)), dtype=np.float32)
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        held = updates(gradients, engine, samples, rows[start:stop], moments)
        if same:
            found[start:stop, start:stop] = _with_each_other(held)
            found[start:stop, stop:] = _with_others(gradients, engine, samples, held, columns[stop:], moments)
            found[stop:, start:stop] = found[start:stop, stop:].T
        else:
            found[start:stop] = _with_others(gradients, engine, samples, held, columns, moments)
        del held  # before there is the next
    return found[np.ix_(of_a, of_b)]


def updates(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    moments: Mapping[nn.Parameter, Moments] | None,
) -> Directions:
    """The gradient of each of ``ids``, which ascend, or Adam's direction of it; NaN where there is none. Collective."""
    held = zeros_of(gradients, len(ids))

    def keep(batch: Batch, own: Ids | None) -> None:
        found = gradients.of(batch)
        if own is None:
            return
        places = torch.from_numpy(np.searchsorted(ids, own)).to(found.known.device)
        for parameter, rows, part in found:
            update = direction(part.flatten(1), parameter, moments)
            held[parameter][places[rows]] = torch.where(found.known[rows, None], update, torch.nan)

    engine.each(samples, ids, _TASK, keep)
    for parameter, vectors in held.items():
        held[parameter] = engine.ranks.sum(vectors)
    return held


def _with_each_other(held: Directions) -> NDArray[np.float32]:
    """Float32[n, n], its own mirror image to the last digit."""
    every = torch.stack([vectors @ vectors.T for vectors in held.values()]).sum(dim=0)
    found: NDArray[np.float32] = every.cpu().numpy()
    return np.triu(found) + np.triu(found, 1).T


def _with_others(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    held: Directions,
    ids: Ids,
    moments: Mapping[nn.Parameter, Moments] | None,
) -> NDArray[np.float32]:
    """Products of the gradients that are ``held`` with those of ``ids``, which ascend: Float32[n, len(ids)]."""
    dots = torch.zeros(len(next(iter(held.values()))), len(ids), device=engine.ranks.device)

    def keep(batch: Batch, own: Ids | None) -> None:
        found = batch_products(gradients.of(batch), held, moments)
        if own is not None:
            dots[:, torch.from_numpy(np.searchsorted(ids, own)).to(dots.device)] = found.T

    engine.each(samples, ids, _TASK, keep)
    return engine.ranks.sum(dots).cpu().numpy()
