"""SelectTrainer: a selector decides which samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import Progress, Selection, SelectionRequest, Selector
from dataflex_core.errors import DataError
from dataflex_core.planning.answers import selections, what_is_wrong
from dataflex_core.planning.plan import Exhaustion, Shortage, quotas, stretched
from dataflex_core.spec import Kind
from dataflex_core.trainer.planned import Filled, PlannedTrainer, Shares
from dataflex_core.trainer.signals import SignalTrainer

Ids = NDArray[np.int64]


class SelectTrainer(PlannedTrainer, SignalTrainer):
    """Asks the selector once per decision, within each domain's quota where a mixer sets quotas."""

    def fill(self, progress: Progress, count: int, shares: Shares) -> Filled:
        """The selector's choice; the next unread samples before the first decision."""
        if progress.decision == 0:
            return super().fill(progress, count, shares)
        groups = self._candidates(count, shares)
        sizes = np.array([len(group) for group in groups])
        policy = Exhaustion(self.run.prepared.config.dataflex.exhaustion)
        wanted = quotas(shares if self.mixes else [1.0], count, np.where(sizes > 0, count, 0))
        shortages = tuple(
            Shortage(domain=int(k), wanted=int(wanted[k]), had=int(sizes[k]), action=str(policy))
            for k in np.flatnonzero(wanted > sizes)
        )
        if shortages and policy is Exhaustion.ERROR:
            raise DataError(
                f"a domain's quota is {shortages[0].wanted} samples, and it has {shortages[0].had} candidates",
                hint="set dataflex.exhaustion to next-epoch or renormalise, or lower update_steps",
            )
        if policy is Exhaustion.RENORMALISE and sizes.sum() >= count:
            wanted = quotas(shares if self.mixes else [1.0], count, sizes)
        parts, more, ordered = self._choose(progress, groups, wanted)
        return Filled(
            ids=np.concatenate(parts), ordered=ordered, shortages=shortages + more, judged=int(sizes[wanted > 0].sum())
        )

    def _candidates(self, count: int, shares: Shares) -> list[Ids]:
        """Ascending ids to choose from, by domain where a mixer sets quotas: all of them, or the next unread ones."""
        known = self.run.budget
        full = known.schedule.update_steps * known.global_batch
        if known.candidates < known.pool:
            # A last interval that is shorter judges as many candidates per chosen sample as the others.
            fresh, _ = self.read(max(count, -(-known.candidates * count // full)), shares)
            return [np.unique(ids) for ids in (fresh if self.mixes else [np.concatenate(fresh)])]
        if not self.mixes:
            return [np.arange(known.pool)]
        return [np.arange(d.start, d.start + d.size) for d in known.domains]

    def _choose(
        self, progress: Progress, groups: list[Ids], wanted: Ids
    ) -> tuple[list[Ids], tuple[Shortage, ...], bool]:
        """Samples by group; a quota beyond what was chosen is filled by the choice again, from its front."""
        parts: list[Ids] = []
        shortages: list[Shortage] = []
        ordered = not self.mixes
        for k, request, selection in self._selections(progress, groups, wanted):
            chosen = np.asarray(selection.ids, dtype=np.int64)
            ordered = ordered and selection.ordered
            if len(chosen) == 0:
                title = self.run.prepared.strategies[Kind.SELECTOR].title
                raise DataError(
                    f"{title} found no usable sample among {len(request.candidates)} candidates",
                    hint="check that the samples have target tokens",
                )
            if len(chosen) < request.count:
                shortages.append(Shortage(domain=k, wanted=request.count, had=len(chosen), action="repeat"))
            parts.append(stretched(chosen, int(wanted[k])))
        return parts, tuple(shortages), ordered

    def _selections(
        self, progress: Progress, groups: list[Ids], wanted: Ids
    ) -> Iterator[tuple[int, SelectionRequest, Selection]]:
        """Each group that has a quota, what the selector was asked for, and its answer, checked."""
        selector = cast("Selector[Any]", self.run.strategies[Kind.SELECTOR])
        every = np.sort(np.concatenate([groups[k] for k in np.flatnonzero(wanted)]))
        request = SelectionRequest(
            progress=progress,
            domains=self.run.budget.domains,
            candidates=every,
            count=min(int(wanted.sum()), len(every)),
            rng=self.rng(Kind.SELECTOR),
            signals=self.signals(),
        )
        for k, part, made in selections(selector, request, groups, wanted, lambda k: self.rng(Kind.SELECTOR, k)):
            if wrong := what_is_wrong(made, part):
                raise self.fault(Kind.SELECTOR, wrong)
            yield k, part, made
