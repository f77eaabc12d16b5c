"""How many samples each domain gives an interval, and what happens where one has too few: the one place that says so.

Pure functions of their arguments; numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflex_core.errors import DataError
from dataflex_core.planning.apportion import apportioned
from dataflex_core.planning.quotas import quotas

Ids = NDArray[np.int64]
Shares = NDArray[np.float64]


class Exhaustion(StrEnum):
    """What happens when a domain has fewer samples left than its quota."""

    NEXT_EPOCH = "next-epoch"
    """The domain starts its next pass."""
    RENORMALISE = "renormalise"
    """The other domains fill in, in proportion, until all have been read once."""
    ERROR = "error"
    """The run stops."""


REPEAT, BY_OTHERS = "repeat", "given by others"
ACTIONS = frozenset({*Exhaustion, REPEAT, BY_OTHERS})
"""What is done about a shortage; any other action is what a selector says that it gave instead of a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A domain (None: the pool) could not give ``wanted`` distinct samples, only ``had``; ``action`` was taken.

    ``dropped`` samples that it was owed from earlier intervals are owed no longer.
    """

    domain: int | None
    wanted: int
    had: int
    action: str
    dropped: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supply:
    """``taken`` Int64[K] samples of each domain, the ``carry`` Float64[K] into the next interval, what was short."""

    taken: Ids
    carry: Shares
    shortages: tuple[Shortage, ...]


def left_over(sizes: ArrayLike, cursors: ArrayLike, policy: Exhaustion) -> Ids:
    """How many samples each domain has, Int64[K], before ``policy`` has something to say.

    ``cursors`` Int64[K] count the samples that were read of domains of ``sizes`` Int64[K], over all passes.
    """
    size, cursor = np.asarray(sizes, dtype=np.int64), np.asarray(cursors, dtype=np.int64)
    if policy is Exhaustion.RENORMALISE:
        this_pass = int((cursor // np.maximum(size, 1))[size > 0].min())
        unread: Ids = (this_pass + 1) * size - cursor
    elif policy is Exhaustion.ERROR:
        unread = size - cursor
    else:
        unread = size - cursor % np.maximum(size, 1)
    return unread


def supply(
    proportions: Shares,
    count: int,
    *,
    sizes: Ids,
    available: Ids,
    carry: Shares | None,
    policy: Exhaustion,
    names: Sequence[str],
    chosen: bool = False,
) -> Supply:
    """Split ``count`` samples over K domains in proportion, as far as they have ``available`` ones.

    ``carry`` Float64[K] is what domains are owed from earlier intervals; None splits afresh, by largest remainder. A
    domain of size 0 gives nothing. Under `Exhaustion.RENORMALISE` no domain gives more than it has available while
    another has some, and then all start anew. Raises `DataError` under `Exhaustion.ERROR` where a quota exceeds what
    is available: ``names`` are the domains', for people, and ``chosen`` is whether a selector chooses of them.
    """
    room = np.where(sizes > 0, count, 0)
    wanted, after, dropped = _split(proportions, count, carry, room)
    short = np.flatnonzero(wanted > available)
    if len(short) and policy is Exhaustion.ERROR:
        first = int(short[0])
        raise too_few(names[first], int(wanted[first]), int(available[first]), chosen=chosen)
    taken = wanted
    if policy is Exhaustion.RENORMALISE and len(short):
        taken, after, dropped = _split(proportions, count, carry, available)
        while (left := count - int(taken.sum())) > 0:
            taken = taken + quotas(proportions, left, sizes)
    shortages = tuple(
        Shortage(
            domain=int(k),
            wanted=int(wanted[k]),
            had=int(available[k]),
            action=str(policy),
            dropped=float(dropped[k]),
        )
        for k in short
    )
    return Supply(taken=taken, carry=after, shortages=shortages)


def supply_of_one(count: int, available: int, policy: Exhaustion) -> Supply:
    """``count`` samples of the pool as one. Raises as `supply`."""
    have = np.array([available], dtype=np.int64)
    # There is no other domain to fill in: what is short is repeated.
    as_if = Exhaustion.NEXT_EPOCH if policy is Exhaustion.RENORMALISE else policy
    return supply(
        np.ones(1),
        count,
        sizes=have,
        available=have,
        carry=None,
        policy=as_if,
        names=["the pool"],
        chosen=True,
    )


def too_few(who: str, wanted: int, had: int, *, chosen: bool) -> DataError:
    """The error for a domain that cannot give what the interval wants of it."""
    if chosen:
        return DataError(
            f"{who}'s quota is {wanted} samples, and it has {had} candidates",
            hint="set dataflex.exhaustion to next-epoch or renormalise, or lower update_steps",
        )
    return DataError(
        f"{who} has {had} unread samples, the interval wants {wanted}",
        hint="train for fewer steps, or set dataflex.exhaustion to next-epoch or renormalise",
    )


def _split(proportions: Shares, count: int, carry: Shares | None, room: Ids) -> tuple[Ids, Shares, Shares]:
    """Quotas, what domains are owed after them, and what full ones are owed no longer."""
    nothing = np.zeros(len(room))
    if carry is None:
        return quotas(proportions, count, room), nothing, nothing
    made = apportioned(proportions, count, carry, room)
    return made.quotas, made.carry, np.maximum(made.dropped, 0.0)
