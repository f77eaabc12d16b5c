"""What a run decides once an interval, in one object that knows neither a trainer nor torch.

The trainer feeds its plans, the conformance kit asks it what a run asks, and `dataflex_core.journal.replay` has it
decide again from a journal. Its state is all that a decision depends on besides the strategies' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dataflex_core.config.plain import plain
from dataflex_core.config.section import Spread
from dataflex_core.contracts import Mixer, ScoringSelector, Selector, Strategy
from dataflex_core.declared import DeclaredSignals
from dataflex_core.domains import count_by_domain
from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.planning.answers import (
    Choice,
    Part,
    chosen_by,
    handed_over,
    joined,
    mixture_of,
    requests_by_group,
    what_is_wrong,
)
from dataflex_core.planning.budget import Budget, shares_of
from dataflex_core.planning.exhaustion import Exhaustion, Supply, supply_of_one
from dataflex_core.planning.heard import Heard, HeardSignals
from dataflex_core.planning.judging import Judge
from dataflex_core.planning.plan import Plan, shuffled
from dataflex_core.planning.pool import Pool
from dataflex_core.planning.predict import Features
from dataflex_core.planning.probe import Probing
from dataflex_core.planning.quotas import normalised
from dataflex_core.planning.schedule import Interval
from dataflex_core.planning.units import sample_shares, token_shares
from dataflex_core.prepared import MIXER, SELECTOR, Chosen, Slot
from dataflex_core.requests import MixRequest, Mixture, Progress, SelectionRequest
from dataflex_core.rng import strategy_rng
from dataflex_core.signals import Signals
from dataflex_core.strategy_faults import FAULT_HINT, answered_at

Ids = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says of plans.

    The policy for exhausted domains; how the warm-up mixes them; how most scores are predicted (None: all are exact);
    how a choice by scores is spread (None: it is not).
    """

    exhaustion: Exhaustion = Exhaustion.NEXT_EPOCH
    warmup_proportions: str | Mapping[str, float] = "size"
    probing: Probing | None = None
    spread: Spread | None = None


class Planner:
    """Decides each interval of a run, in order, on every rank alike.

    Calls::

        load(state)                      where the run goes on from a checkpoint
        decide(interval, progress, signals)    as each interval begins: the mixer, quotas, the selector, a `Plan`
        state()                          at any time between two decisions

    ``strategies`` are those of the run, by slot, with what was ``chosen`` for it; others than the selector and the
    mixer are passed over. ``columns`` are those of the pool that they may read, ``features`` what scores are predicted
    from.
    """

    def __init__(
        self,
        budget: Budget,
        rules: Rules,
        *,
        seed: int,
        chosen: Mapping[Slot, Chosen],
        strategies: Mapping[Slot, Strategy[Any]],
        columns: Mapping[str, NDArray[Any]] | None = None,
        features: Features | None = None,
    ) -> None:
        self.plan: Plan | None = None
        """The plan in force, None before the first decision."""
        self.heard = Heard()
        """What its selector was told about the pool."""
        self._budget, self._rules, self._seed, self._chosen = budget, rules, seed, chosen
        self._columns = {} if columns is None else columns
        self._selector = cast("Selector[Any] | None", strategies.get(SELECTOR))
        self._judge = None
        if isinstance(self._selector, ScoringSelector):
            probing = rules.probing if chosen[SELECTOR].record.spec.predictable else None
            own = chosen[SELECTOR]
            self._judge = Judge(
                self._selector,
                budget.pool,
                probing=probing,
                features=features,
                spread=rules.spread,
                of=f"{own.record.id} {plain(own.params)}",
            )
        self._mixer = cast("Mixer[Any] | None", strategies.get(MIXER))
        by_domain = self._mixer is not None or rules.warmup_proportions != "size"
        self._pool = Pool(budget, rules.exhaustion, seed=seed, by_domain=by_domain)
        self._previous = self._configured(rules.warmup_proportions)
        self._mean, self._steps = self._previous, 0

    def decide(self, interval: Interval, progress: Progress, signals: Signals | None) -> Plan:
        """The plan of an interval: ``interval.steps`` x global batch sample ids, in the order of training.

        ``interval.decision`` 0 is the warm-up, about which no strategy is asked, and which needs no ``signals``.
        Collective where a strategy asks signals. Raises `StrategyFault` for an answer that breaks its contract,
        `DataError` where there are too few samples or none that is usable, and whatever strategies and signals raise.
        """
        if interval.decision > 0 and (self.plan is None or self.plan.interval.decision == 0):
            self._pool.owe_nothing()  # the warm-up counts for itself
        self.heard = Heard()
        mixture = self._mixture(interval, progress, signals)
        choice = self._samples(interval, progress, signals, self._of_samples(mixture.proportions))
        count = interval.steps * self._budget.global_batch
        ids = choice.ids if choice.ordered else shuffled(choice.ids, self._seed, interval.start)
        assert ids.shape == (count,), "a plan is exactly one interval"
        split = self._mixer is not None or (self._pool.by_domain and interval.is_warmup)
        scored = choice.scored
        notes = {str(MIXER): dict(mixture.notes), str(SELECTOR): dict(choice.notes)}
        self.plan = Plan(
            interval=interval,
            ids=ids,
            proportions=mixture.proportions,
            ordered=choice.ordered,
            loss_weights=mixture.loss_weights,
            split=split,
            counts=tuple(count_by_domain(self._budget.domains, ids).tolist()),
            shortages=choice.shortages,
            judged=choice.judged,
            scored=None if scored is None else (scored.ids, scored.scores),
            exact=None if scored is None else scored.exact,
            correlation=None if scored is None else scored.correlation,
            notes={slot: figures for slot, figures in notes.items() if figures},
            remarks=(*self._said(mixture.remarks), *(() if scored is None else scored.remarks)),
        )
        self._previous = mixture.proportions
        self._steps += interval.steps
        self._mean = self._mean + (mixture.proportions - self._mean) * (interval.steps / self._steps)
        return self.plan

    def state(self) -> dict[str, Any]:
        """What must survive a restart: JSON values and numpy arrays. The same on every rank."""
        plan = self.plan
        return {
            **self._pool.state(),
            "previous": self._previous,
            "mean": self._mean,
            "steps": self._steps,
            "judge": None if self._judge is None else self._judge.state(),
            "plan": None if plan is None else plan.state(),
        }

    def load(self, state: Mapping[str, Any]) -> bool:
        """Go on from `state`; whether it can be: not where it is of other domains, or of a pool in one piece."""
        if not self._pool.fits(state) or len(state["mean"]) != len(self._mean):
            return False
        self._pool.load(state)
        self._previous, self._mean, self._steps = state["previous"], state["mean"], int(state["steps"])
        self.plan = None if state["plan"] is None else Plan.of(state["plan"])
        if self._judge is not None and state.get("judge") is not None:
            self._judge.load(state["judge"])
        return True

    def _mixture(self, interval: Interval, progress: Progress, signals: Signals | None) -> Mixture:
        """What the mixer answers, checked and normalised; what the configuration says where it is not asked."""
        domains = self._budget.domains
        if self._mixer is None or interval.is_warmup:
            return Mixture(
                proportions=self._configured(self._rules.warmup_proportions if interval.is_warmup else "size")
            )
        assert signals is not None, "a decision has signals"
        request = MixRequest(
            progress=progress,
            domains=domains,
            previous=self._previous.copy(),
            mean=self._mean.copy(),
            steps=interval.steps,
            global_batch=self._budget.global_batch,
            rng=self._rng(MIXER, interval),
            signals=self._declared(MIXER, signals),
            columns=self._columns,
        )
        answer = self._mixer.mix(request)
        try:
            return mixture_of(answer, self._chosen[MIXER].needs, len(domains))
        except StrategyFault as wrong:
            raise self._fault(MIXER, interval, wrong.message + answered_at(self._mixer, "mix"), wrong.hint) from wrong

    def _said(self, remarks: Sequence[str]) -> Iterator[str]:
        return (f"{self._chosen[MIXER].title}: {remark}" for remark in remarks)

    def _configured(self, written: str | Mapping[str, float]) -> Shares:
        """What the configuration says of proportions, in the unit of the run's: `size` is of samples in any."""
        budget = self._budget
        shares = normalised(shares_of(written, budget.domains), len(budget.domains))
        return shares if budget.mean_tokens is None or written != "size" else token_shares(shares, budget.mean_tokens)

    def _of_samples(self, shares: Shares) -> Shares:
        """Proportions, in the unit of the run's, as shares of samples, which quotas are made of."""
        means = self._budget.mean_tokens
        return shares if means is None else sample_shares(shares, means)

    def _samples(self, interval: Interval, progress: Progress, signals: Signals | None, shares: Shares) -> Choice:
        """Exactly as many samples as the interval trains on: the selector's choice, or the next unread ones."""
        count = interval.steps * self._budget.global_batch
        if self._selector is None or interval.is_warmup:
            given = self._pool.next_quotas(count, shares)
            return Choice(ids=np.concatenate(self._pool.read(given)), shortages=given.shortages)
        assert signals is not None, "a decision has signals"
        if self._mixer is None:
            group = self._pool.candidates(count, shares)
            groups, given = [group], supply_of_one(count, len(group), self._rules.exhaustion)
        else:
            given = self._pool.quotas(count, shares)
            groups = self._pool.candidates_by_domain(given)
        return self._choose(interval, progress, signals, groups, given)

    def _choose(
        self, interval: Interval, progress: Progress, signals: Signals, groups: list[Ids], given: Supply
    ) -> Choice:
        """The selector's choice of each group; a quota beyond what it chose is filled by it again, from its front."""
        selector, wanted = cast("Selector[Any]", self._selector), given.taken
        every = np.sort(np.concatenate([groups[k] for k in np.flatnonzero(wanted)]))
        request = SelectionRequest(
            progress=progress,
            domains=self._budget.domains,
            candidates=every,
            count=min(int(wanted.sum()), len(every)),
            steps=interval.steps,
            global_batch=self._budget.global_batch,
            rng=self._rng(SELECTOR, interval),
            signals=self._declared(SELECTOR, cast("Signals", HeardSignals(signals, self.heard))),
            columns=self._columns,
        )
        judged = None
        if self._judge is not None:
            to_give = np.flatnonzero(wanted)
            rng = partial(self._rng, SELECTOR, interval)
            judged = self._judge.scores(request, [groups[k] for k in to_give], wanted[to_give], rng)
        parts: list[Part] = []
        for k, part in requests_by_group(request, groups, wanted, lambda k: self._rng(SELECTOR, interval, k)):
            selection = chosen_by(selector, part, judged)
            if wrong := what_is_wrong(selection, part):
                method = "choose" if isinstance(selector, ScoringSelector) else "select"
                raise self._fault(SELECTOR, interval, f"{wrong}{answered_at(selector, method)}")
            parts.append(Part(group=k, wanted=int(wanted[k]), asked=part.count, selection=selection))
        if not any(len(part.selection.ids) for part in parts):
            raise DataError(
                f"{self._chosen[SELECTOR].title} found no usable sample among {len(every)} candidates",
                hint="check that the samples have target tokens",
            )
        choice = joined(handed_over(parts), given, judged, judged=len(every), policy=self._rules.exhaustion)
        if self._judge is not None:
            self._judge.chose(choice.ids)
        return choice

    def _declared(self, slot: Slot, signals: Signals) -> Signals:
        chosen = self._chosen[slot]
        return DeclaredSignals(signals, chosen.needs, chosen.title)

    def _rng(self, slot: Slot, interval: Interval, *key: int | str) -> np.random.Generator:
        return strategy_rng(self._seed, slot, self._chosen[slot].record.spec.name, interval.start, *key)

    def _fault(self, slot: Slot, interval: Interval, what: str, hint: str | None = None) -> StrategyFault:
        return StrategyFault(f"{self._chosen[slot].title}, step {interval.start}: {what}", hint=hint or FAULT_HINT)
