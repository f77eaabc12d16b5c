"""In what order a domain is read: without replacement, through a seeded pseudo-random permutation.

The permutation is computed, never stored, so that a position in it is one integer, the cursor, however large the pool.
Pure functions of their arguments; numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflex_core.rng import derive

Ids = NDArray[np.int64]
_ROUNDS = 8


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


def read_distinct(start: int, size: int, cursor: int, count: int, *key: int | str) -> tuple[Ids, int]:
    """The ids that `read` gives until ``count`` different ones were read, each once, and how many were read for it.

    ``count`` is at most ``size``. Only across the end of a pass are more read than are given.
    """
    span = count
    while True:
        ids = read(start, size, cursor, span, *key)
        first = np.sort(np.unique(ids, return_index=True)[1])
        if len(first) >= count:
            first = first[:count]
            return ids[first], int(first[-1]) + 1 if count else 0
        span *= 2
