"""The pool as it is read: which samples of each domain come next, and what domains are owed. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.planning.budget import Budget
from dataflex_core.planning.exhaustion import Exhaustion, Supply, left_over, supply
from dataflex_core.planning.quotas import quotas
from dataflex_core.planning.reading import read, read_distinct

Ids = NDArray[np.int64]
Shares = NDArray[np.float64]


class Pool:
    """How far each domain has been read, or the pool as one, and what it is owed.

    Its state is two numbers a domain, however large the pool.
    """

    def __init__(self, budget: Budget, exhaustion: Exhaustion, *, seed: int, by_domain: bool) -> None:
        self.by_domain = by_domain
        """Whether domains are read each for itself."""
        self._budget, self._exhaustion, self._seed = budget, exhaustion, seed
        domains = budget.domains
        self._sizes = np.array([d.size for d in domains] if by_domain else [budget.pool], dtype=np.int64)
        self._starts = [d.start for d in domains] if by_domain else [0]
        self._names = [f"domain {d.name}" for d in domains] if by_domain else ["the pool"]
        self._cursors = np.zeros(len(self._sizes), dtype=np.int64)
        self._carry = np.zeros(len(self._sizes))

    def owe_nothing(self) -> None:
        """What domains were owed is dropped."""
        self._carry[:] = 0.0

    def next_quotas(self, count: int, shares: Shares) -> Supply:
        """How many unread samples of each domain make up the next ``count``. Raises as `supply`."""
        return supply(
            shares if self.by_domain else np.ones(1),
            count,
            sizes=self._sizes,
            available=left_over(self._sizes, self._cursors, self._exhaustion),
            carry=self._carry if self.by_domain else None,
            policy=self._exhaustion,
            names=self._names,
        )

    def read(self, given: Supply) -> list[Ids]:
        """The next unread samples of each domain, as many as `next_quotas` gave."""
        self._carry = given.carry
        return self._read(given.taken)

    def quotas(self, count: int, shares: Shares) -> Supply:
        """How many samples a selector is to choose of each domain. Raises as `supply`."""
        # Samples that are read across the end of a pass are as good to choose from as others.
        anew = self._judges_all or self._exhaustion is Exhaustion.NEXT_EPOCH
        return supply(
            shares,
            count,
            sizes=self._sizes,
            available=self._sizes if anew else left_over(self._sizes, self._cursors, self._exhaustion),
            carry=self._carry,
            policy=self._exhaustion,
            names=self._names,
            chosen=True,
        )

    def candidates(self, count: int, shares: Shares) -> Ids:
        """To choose ``count`` from, ascending: all of the pool, or the next unread samples."""
        if self._judges_all:
            return np.arange(self._budget.pool)
        asked = self._judged(count)
        given = self.next_quotas(asked, shares)
        wanted = np.minimum(given.taken, self._sizes)
        wanted = wanted + quotas(shares if self.by_domain else np.ones(1), asked - wanted.sum(), self._sizes - wanted)
        self._carry = given.carry
        return np.sort(np.concatenate(self._read(wanted, distinct=True)))

    def candidates_by_domain(self, given: Supply) -> list[Ids]:
        """Of each domain, ascending: all of it, or the next unread samples in proportion to the quotas given."""
        self._carry, taken = given.carry, given.taken
        if self._judges_all:
            return [np.arange(d.start, d.start + d.size) for d in self._budget.domains]
        count = int(taken.sum())
        room = np.where(taken > 0, self._sizes, 0)
        if self._exhaustion is not Exhaustion.NEXT_EPOCH:
            room = np.minimum(room, np.maximum(left_over(self._sizes, self._cursors, self._exhaustion), taken))
        wanted = np.maximum(quotas(taken / count, self._judged(count), room), np.minimum(taken, self._sizes))
        return [np.sort(ids) for ids in self._read(wanted, distinct=True)]

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"cursors": self._cursors.copy(), "carry": self._carry.copy()}

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Whether `state` was given by a pool of as many domains."""
        return len(state["cursors"]) == len(self._cursors)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self._cursors, self._carry = state["cursors"].copy(), state["carry"].copy()

    @property
    def _judges_all(self) -> bool:
        return self._budget.judged >= self._budget.pool

    def _judged(self, count: int) -> int:
        """How many candidates to read for ``count`` chosen ones: a shorter last interval judges as many for each."""
        full = self._budget.schedule.longest * self._budget.global_batch
        return max(count, -(-self._budget.judged * count // full))

    def _read(self, taken: Ids, *, distinct: bool = False) -> list[Ids]:
        """The next ``taken`` Int64[K] unread samples of each domain; ``distinct``: across the end of a pass, more."""
        domains, parts = zip(self._starts, self._sizes, self._cursors, taken, strict=True), []
        for d, (start, *rest) in enumerate(domains):
            size, cursor, count = map(int, rest)
            key = (int(start), size, cursor, count, self._seed, f"domain {d}")
            ids, number = read_distinct(*key) if distinct else (read(*key), count)
            self._cursors[d] += number
            parts.append(ids)
        return parts
