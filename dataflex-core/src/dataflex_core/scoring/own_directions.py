"""Directions of a strategy's own: means of weighted sums of samples' gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.gradients import Gradients, SampleGradients
from dataflex_core.scoring.influence import Counted, Directions, add_scaled, zeros_of
from dataflex_core.scoring.samples import Ids, Samples
from dataflex_core.scoring.sharded import shape_of
from dataflex_core.signals import Direction

_HELD = 1 << 27
"""Numbers of gradients that are held at once: half a GiB, or one gradient where that is more."""


def directions_of(gradients: Gradients, engine: Engine, wanted: Sequence[Direction], *, unit: bool) -> Counted:
    """Each of K directions that are ``wanted``, of ``unit`` vectors or of sums as they are; collective.

    The same on every rank. A direction's sums are made as many at a time as `at_once` says, in a pass over the samples
    that these have. `check_own` tells where no sum of a direction has a gradient.
    """
    q, step = zeros_of(gradients, len(wanted)), at_once(gradients)
    counts = torch.zeros(len(wanted), device=engine.ranks.device)
    for k, one in enumerate(wanted):
        ids, places = np.unique(one.ids, return_inverse=True)
        weights = np.zeros((len(one.weights), len(ids)))
        np.add.at(weights.T, places, one.weights.T)
        own = {p: vectors[k] for p, vectors in q.items()}
        for start in range(0, len(weights), step):
            counts[k] += _add_sums(gradients, engine, one.samples, ids, weights[start : start + step], own, unit=unit)
        for vector in own.values():
            vector /= counts[k]
    return q, counts


def check_own(counts: torch.Tensor, wanted: Sequence[Direction]) -> None:
    """Raise `DataError` where no sum of a direction has a gradient, by the ``counts`` of `directions_of`."""
    for one, count in zip(wanted, counts.tolist(), strict=True):
        if count == 0:
            raise DataError(
                f"a direction of {one.samples.name} has no gradient",
                hint="leave a direction out whose weights are zero, or whose samples have no target token",
            )


def at_once(gradients: Gradients) -> int:
    """How many gradients are held at once, one above the other."""
    return max(1, _HELD // max(1, sum(shape_of(p).numel() for p in gradients.parameters.values())))


def _add_sums(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    ids: Ids,
    weights: NDArray[np.float64],
    direction: Directions,
    *,
    unit: bool,
) -> torch.Tensor | int:
    """Add to a direction, Float32[numel] a parameter, R sums of ``ids``' gradients; how many of them have a length.

    ``ids`` are distinct and ascending, and ``weights`` Float64[R, len(ids)].
    """
    used = weights.any(axis=0)
    if not used.any():
        return 0
    ids, scales = ids[used], torch.from_numpy(weights[:, used].astype(np.float32))
    sums = zeros_of(gradients, len(scales))

    def scale(found: SampleGradients, own: Ids) -> torch.Tensor:
        return scales[:, np.searchsorted(ids, own)].to(found.known.device) * found.known

    add_scaled(gradients, engine, samples, ids, sums, scale)
    squares = torch.stack([vectors.square().sum(dim=1) for vectors in sums.values()]).sum(dim=0)
    lengths = squares.sqrt() if unit else torch.ones_like(squares)
    shares = torch.where(squares > 0, 1 / lengths, 0.0)
    for parameter, vectors in sums.items():
        direction[parameter] += shares @ vectors
    return (squares > 0).sum()
