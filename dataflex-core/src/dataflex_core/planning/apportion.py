"""Quotas that carry their remainder: how many samples of each domain an interval reads. Pure; numpy only.

Let ``x`` be what each domain is owed: the sum of its proportion times the count over all intervals so far, less what
it was given. An interval adds ``p · count`` and gives whole samples. Rounding afresh at each interval would starve a
domain whose share of one interval is small; ``x`` is therefore carried from one interval to the next.

The rule
    A domain is given the whole samples that it is owed; where these are more than ``count``, the most owed first.
    What is then left goes by largest remainder. If that could make a domain late by a whole sample some day, even if
    the proportions stay as they are, it goes by earliest deadline instead: the domain first that will soonest be owed
    a whole sample.

Guarantees, after every interval, from a carry of zero, without capacities
    * At constant proportions, whatever the counts, every domain is less than one sample from its ``p · n``.
    * At any proportions above zero, even an adversary's, ``-1 < x <= H(ceil(K / 2))``: no domain is one sample ahead,
      and none is behind by more than the harmonic sum 1 + 1/2 + … of half the domains (3.6 for 40).
    * A domain of proportion zero is given nothing, and keeps its carry. An interval in which such domains are owed
      ``F > 0`` in sum may put each of the ``A`` others ahead, by less than ``1 + F / A``.

Why the first holds
    The j-th sample of a domain is released when ``p · n`` passes ``j - 1`` and due when it reaches ``j``. Given all
    that is due and the earliest-due of what is released, the number due within any ``e`` further samples stays at most
    ``e`` where it was so before, as it is at a carry of zero: either all given are due by then, or all still due were
    released later, and of those there are at most ``p · e`` a domain. `_punctual` accepts a largest remainder only
    where that holds too. This is the quota method of Balinski and Young ("The quota method of apportionment", 1975)
    and the schedule of Tijdeman ("The chairman assignment problem", 1980), a whole interval at a time.

Why the second holds
    Let ``a(k)`` be the mean of the k largest x; ``a(K) = 0``. After an interval that gave all whole samples, every x is
    below one, so ``a(k) <= min(1, (K - k) / k)``. After one that could not, ``a(k)`` has not grown or is at most
    ``a(k+1) + 1 / (k+1)``: a domain outside the k largest was given a sample when it was owed most. That is the bound
    of the chip game that always takes from the highest pile (Adler et al., "A proportionate fair scheduling rule with
    good worst-case performance", 2003). Summed up, ``a(1) <= H(ceil(K / 2))``.

All arithmetic is on integers, proportions and carry in units of 10^-12, so that it is the same on any machine and does
not see how a proportion was rounded; ``p · n`` is that of the proportions so rounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNIT = 10**12
_EXACT = 256  # how many samples ahead `_punctual` counts what is due, before it bounds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Apportionment:
    """``quotas``, Int64[K]: samples of each domain. ``carry``, Float64[K], sum 0: what each is owed after them.

    ``dropped``, Float64[K]: what a full domain was owed beyond its capacity, and is owed no longer; 0 elsewhere.
    """

    quotas: NDArray[np.int64]
    carry: NDArray[np.float64]
    dropped: NDArray[np.float64]


def apportioned(
    proportions: ArrayLike, count: int, carry: ArrayLike, capacity: ArrayLike | None = None
) -> Apportionment:
    """Split ``count`` samples over K domains by ``proportions`` (Float64[K], sum 1) and ``carry`` (Float64[K], sum 0).

    ``capacity``, Int64[K], is the most that each domain can give; None: any number. The quotas sum to ``count``, or to
    the whole capacity where that is less. Ties go to the lower index.

    A domain is full when it has no capacity or would be given more than that. What it cannot take goes to the others
    in proportion; its carry becomes 0, and the others' carry shrinks towards 0 until it sums to 0 again. Where all
    domains of a positive proportion are full, the others fill in by the room they have, on nobody's account.
    """
    weights, owed = _parts(_units(proportions)), _units(carry)
    domains = range(len(weights))
    room = [int(c) for c in np.asarray(capacity)] if capacity is not None else [max(int(count), 1) for _ in domains]
    quotas, dropped = [0 for _ in domains], [0 for _ in domains]
    left, open_ = min(int(count), sum(room)), list(domains)
    while True:
        _settle(owed, open_)
        wanted = [d for d in open_ if weights[d]]
        parts = _parts([weights[d] for d in wanted])
        due = {d: owed[d] + part * left for d, part in zip(wanted, parts, strict=True)}
        given = dict(zip(wanted, _split(list(due.values()), parts, left) if wanted else [], strict=True))
        full = [d for d in open_ if room[d] == 0 or given.get(d, 0) > room[d]]
        if not full:
            break
        for d in full:
            quotas[d], dropped[d], owed[d] = room[d], due.get(d, owed[d]) - room[d] * UNIT, 0
            left -= room[d]
        open_ = [d for d in open_ if d not in full]
    for d in wanted:
        quotas[d], owed[d] = given[d], due[d] - given[d] * UNIT
    if not wanted:
        for d, number in zip(open_, _by_room([room[d] for d in open_], left), strict=True):
            quotas[d] = number
    return Apportionment(
        quotas=np.array(quotas, dtype=np.int64),
        carry=np.array([x / UNIT for x in owed], dtype=np.float64),
        dropped=np.array([x / UNIT for x in dropped], dtype=np.float64),
    )


def _units(values: ArrayLike) -> list[int]:
    return [int(value) for value in np.rint(np.asarray(values, dtype=np.float64) * UNIT)]


def _parts(weights: Sequence[int]) -> list[int]:
    """``weights`` in proportion, as integers that sum to `UNIT`; what rounding leaves goes to the lowest indices.

    Zeros stay zero, where there is nothing else too.
    """
    total = sum(weights)
    parts = [weight * UNIT // max(total, 1) for weight in weights]
    positive = [i for i, weight in enumerate(weights) if weight]
    for i in positive[: UNIT - sum(parts)]:
        parts[i] += 1
    return parts


def _settle(owed: list[int], domains: Sequence[int]) -> None:
    """Shrink what ``domains`` are owed, or what they are ahead, in proportion, until ``owed`` sums to 0 over them."""
    total = sum(owed[d] for d in domains)
    side = [d for d in domains if owed[d] * total > 0]
    whole = sum(owed[d] for d in side)
    for d in side:
        cut = owed[d] * total // whole
        owed[d] -= cut
        total -= cut
        whole -= owed[d] + cut


def _split(due: Sequence[int], parts: Sequence[int], count: int) -> list[int]:
    """The quotas by the rule above; ``due``: what each domain is owed at the end, ``parts``: its share of a sample."""
    given = _most_owed_first(due, count)
    whole = [max(0, x // UNIT) for x in due]
    extra = count - sum(whole)
    released = [d for d, x in enumerate(due) if x > whole[d] * UNIT]
    if not 0 < extra < len(released):
        return given
    if _punctual([x - n * UNIT for x, n in zip(due, given, strict=True)], parts):
        return given

    def deadline(d: int) -> tuple[int, int, int]:
        missing = (whole[d] + 1) * UNIT - due[d]
        return -(-missing // parts[d]), missing, d

    for d in sorted(released, key=deadline)[:extra]:
        whole[d] += 1
    return whole


def _most_owed_first(due: Sequence[int], count: int) -> list[int]:
    """``count`` samples, each to the domain that is owed most by then: at a carry of zero, the largest remainder."""
    given = [max(0, x // UNIT) for x in due]
    extra = count - sum(given)
    step = 1 if extra > 0 else -1
    # To give, the most owed comes first; to take back, the least owed, and of equals the higher index.
    heap = [(step * (n * UNIT - x), step * d) for d, (x, n) in enumerate(zip(due, given, strict=True)) if n or step > 0]
    heapq.heapify(heap)
    for _ in range(abs(extra)):
        d = step * heap[0][1]
        given[d] += step
        if given[d] or step > 0:
            heapq.heapreplace(heap, (heap[0][0] + UNIT, step * d))
        else:
            heapq.heappop(heap)
    return given


def _punctual(owed: Sequence[int], parts: Sequence[int]) -> bool:
    """Whether at constant proportions no domain need ever be late, when ``owed`` is what each is owed now.

    Samples due within ``e`` more must be at most ``e``, for every e. As far as `_EXACT` they are counted. Beyond, a
    domain that is owed something is due once, and its later samples, like all of the others', fall short of its share
    of the ``e`` by ``min(share, lead)`` at least, where the lead is what it will then be ahead. True is proof; False
    may be caution.
    """
    x, p = np.array(owed, dtype=np.int64), np.array(parts, dtype=np.int64)
    ahead = np.arange(1, _EXACT + 1)
    due = np.maximum((x + p * ahead[:, None]) // UNIT, 0).sum(axis=1)
    if (due > ahead).any():
        return False
    lead = np.where(x > 0, UNIT - x, -x)
    first = np.sort((UNIT - x + p - 1)[x > 0] // p[x > 0])
    later = np.append(first[first > _EXACT], _EXACT)
    steps = np.minimum(later[:, None], lead // p + 1)  # beyond which min(p * e, lead) is the lead, and p * e is huge
    short = np.minimum(p * steps, lead).sum(axis=1)
    return bool((np.searchsorted(first, later, side="right") * UNIT <= short).all())


def _by_room(room: Sequence[int], count: int) -> list[int]:
    total = max(sum(room), 1)
    return _most_owed_first([places * count * UNIT // total for places in room], count)
