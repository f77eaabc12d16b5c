"""Proportions, and how many samples of each domain they make of one interval by itself. Pure; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflex_core.errors import StrategyFault

Ids = NDArray[np.int64]
ONE_EACH = "answer with one number for each of request.domains, in their order"
"""What to do about proportions, or weights, of which there are not as many as domains."""


def normalised(proportions: ArrayLike, domains: int) -> NDArray[np.float64]:
    """``proportions`` as Float64[domains] that sum to one.

    Raises `StrategyFault` for a wrong shape, a value that is negative or not finite, or a sum of zero.
    """
    p = np.asarray(proportions, dtype=np.float64)
    if p.shape != (domains,):
        raise StrategyFault(f"proportions have shape {p.shape}, the run has {domains} domains", hint=ONE_EACH)
    if not np.isfinite(p).all() or (p < 0).any() or p.max() <= 0:
        said = f"proportions {p.tolist()} are not finite, >= 0 and more than zero in sum"
        raise StrategyFault(said, hint="give each domain zero or more, and one of them more than zero")
    p = p / p.max()  # the sum of huge proportions would overflow
    shares: NDArray[np.float64] = p / p.sum()
    return shares


def quotas(proportions: ArrayLike, count: int, capacity: ArrayLike | None = None) -> Ids:
    """Split ``count`` in proportion, by largest remainder, ties by lower index; no domain above its ``capacity``.

    What a full domain cannot take goes to the others in proportion; where those have proportion zero, by the room
    they have. The sum is ``count``, or the whole capacity where that is less.
    """
    p = np.asarray(proportions, dtype=np.float64)
    room = np.full(p.size, count, dtype=np.int64) if capacity is None else np.asarray(capacity, dtype=np.int64)
    filled = np.zeros(p.size, dtype=np.int64)
    left = int(min(count, room.sum()))
    while left > 0:
        share = np.where(filled < room, p, 0.0)
        if share.sum() <= 0:
            share = (room - filled).astype(np.float64)
        given = np.minimum(_largest_remainder(share / share.sum(), left), room - filled)
        filled += given
        left -= int(given.sum())
    return filled


def _largest_remainder(p: NDArray[np.float64], count: int) -> Ids:
    exact = p * count
    whole = np.floor(exact + 1e-9).astype(np.int64)
    remainder = np.where(p > 0, exact - whole, -np.inf)
    extra = np.argsort(-np.round(remainder, 9), kind="stable")[: count - int(whole.sum())]
    whole[extra] += 1
    return whole
