"""Plans: which samples an interval trains on, in what order. Pure functions of their arguments; numpy only.

A domain is read without replacement through a seeded pseudo-random permutation that is computed, never stored, so
that a position in it is one integer, the cursor, however large the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.rng import derive

Ids = NDArray[np.int64]
_ROUNDS = 8


class Exhaustion(StrEnum):
    """What happens when a domain has fewer unread samples than its quota."""

    NEXT_EPOCH = "next-epoch"
    """The domain starts its next pass."""
    RENORMALISE = "renormalise"
    """The other domains fill in, in proportion, until all have been read once."""
    ERROR = "error"
    """The run stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A domain (None: the pool) could not give ``wanted`` distinct samples, only ``had``; ``action`` was taken."""

    domain: int | None
    wanted: int
    had: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What was read: ``ids`` per domain, the ``cursors`` after it, and every shortage met."""

    ids: tuple[Ids, ...]
    cursors: tuple[int, ...]
    shortages: tuple[Shortage, ...]


def permute(positions: ArrayLike, size: int, *key: int | str) -> Ids:
    """Elements ``positions`` of a pseudo-random permutation of ``range(size)``.

    A Feistel network over the next even power of two, walked until it falls inside (Black and Rogaway, 2002):
    O(len(positions)) time and memory, whatever the size.
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = derive("permutation", *key).integers(0, 2**64, size=_ROUNDS, dtype=np.uint64)
    values = np.array(positions, dtype=np.uint64, ndmin=1)
    todo = np.arange(values.size)
    while todo.size:
        left, right = values[todo] >> half, values[todo] & mask
        for round_key in keys:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        values[todo] = (left << half) | right
        todo = todo[values[todo] >= size]
    return values.astype(np.int64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of splitmix64 (Steele, Lea and Flood, 2014); unsigned numpy arithmetic wraps around.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def read(start: int, size: int, cursor: int, count: int, *key: int | str) -> Ids:
    """The next ``count`` sample ids of a domain, from ``cursor`` on, through as many passes as it takes."""
    parts = []
    while count > 0:
        epoch, offset = divmod(cursor, size)
        taken = min(count, size - offset)
        parts.append(start + permute(np.arange(offset, offset + taken), size, *key, epoch))
        cursor += taken
        count -= taken
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def normalised(proportions: ArrayLike, domains: int) -> NDArray[np.float64]:
    """``proportions`` as Float64[domains] that sum to one.

    Raises `StrategyFault` for a wrong shape, a value that is negative or not finite, or a sum of zero.
    """
    p = np.asarray(proportions, dtype=np.float64)
    if p.shape != (domains,):
        raise StrategyFault(f"proportions have shape {p.shape}, the run has {domains} domains")
    if not np.isfinite(p).all() or (p < 0).any() or p.max() <= 0:
        raise StrategyFault(f"proportions {p.tolist()} are not finite, >= 0 and more than zero in sum")
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


def draw(
    *,
    proportions: ArrayLike,
    count: int,
    names: Sequence[str] | None = None,
    starts: Sequence[int],
    sizes: Sequence[int],
    cursors: Sequence[int],
    seed: int,
    policy: Exhaustion = Exhaustion.NEXT_EPOCH,
) -> Draw:
    """Read ``count`` samples, split over the domains in proportion, each from its cursor on.

    Raises `DataError` under policy ``error`` when a domain has fewer unread samples than its quota.
    """
    size = np.asarray(sizes, dtype=np.int64)
    cursor = np.asarray(cursors, dtype=np.int64)
    wanted = quotas(proportions, count, np.where(size > 0, count, 0))
    this_pass = int((cursor // np.maximum(size, 1))[size > 0].min())
    if policy is Exhaustion.RENORMALISE:
        unread = (this_pass + 1) * size - cursor
    elif policy is Exhaustion.ERROR:
        unread = size - cursor
    else:
        unread = size - cursor % np.maximum(size, 1)
    short = [
        Shortage(domain=int(d), wanted=int(wanted[d]), had=int(unread[d]), action=str(policy))
        for d in np.flatnonzero(wanted > unread)
    ]
    if short and policy is Exhaustion.ERROR:
        first = int(short[0].domain or 0)
        who = names[first] if names is not None else f"domain {first}"
        raise DataError(
            f"{who} has {short[0].had} unread samples, the interval wants {short[0].wanted}",
            hint="train for fewer steps, or set dataflex.exhaustion to next-epoch or renormalise",
        )
    taken = wanted
    if policy is Exhaustion.RENORMALISE:
        taken = quotas(proportions, count, unread)
        while (left := count - int(taken.sum())) > 0:
            taken = taken + quotas(proportions, left, size)
    ids = tuple(
        read(int(s), int(n), int(c), int(k), seed, f"domain {d}")
        for d, (s, n, c, k) in enumerate(zip(starts, size, cursor, taken, strict=True))
    )
    return Draw(ids=ids, cursors=tuple(int(c) for c in cursor + taken), shortages=tuple(short))


def shuffled(ids: Ids, *key: int | str) -> Ids:
    """``ids`` in a seeded random order: an interval trains on its domains mixed, not one after the other."""
    return derive("order", *key).permutation(ids)


def stretched(ids: Ids, count: int) -> Ids:
    """``ids`` repeated from the front until there are ``count``: how a selection that is too short fills a plan."""
    if not len(ids):
        raise StrategyFault("nothing was chosen")
    return np.resize(ids, count)
