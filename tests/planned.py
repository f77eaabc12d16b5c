"""A planner over a made-up pool, and what it decides."""

from __future__ import annotations

import numpy as np

from dataflex_core import Mixer, Mixture, StrategySpec
from dataflex_core.catalog import Record
from dataflex_core.domains import Domain
from dataflex_core.planning.budget import Budget
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.schedule import Schedule
from dataflex_core.prepared import MIXER, SELECTOR, Chosen
from dataflex_core.requests import Progress

PLAIN = Rules()


class Shares(Mixer):
    def mix(self, request):
        shares = self.params(request) if callable(self.params) else self.params
        return shares if isinstance(shares, Mixture) else np.array(shares, dtype=float)


class Alone:
    """Signals of one rank, which know no model."""

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        return values[np.argsort(shard)]

    def losses(self, shard, *, model=None):
        return shard.astype(np.float32)

    def target_tokens(self, ids):
        return np.ones(len(ids), dtype=np.int64)


def chosen(kind, needs=(), params=None, **spec):
    spec = StrategySpec(kind=kind, name="mine", target="m:C", summary="mine", needs=needs, **spec)
    return Chosen(record=Record(spec=spec, distribution="here", version="1"), params=params, needs=frozenset(needs))


def made(
    sizes,
    *,
    batch,
    steps=40,
    warmup=0,
    update=1,
    judged=None,
    selector=None,
    mixer=None,
    needs=(),
    rules=PLAIN,
    features=None,
    **spec,
):
    starts = np.cumsum([0, *sizes])
    domains = tuple(
        Domain(name=f"d{k}", start=int(s), size=n) for k, (s, n) in enumerate(zip(starts, sizes, strict=False))
    )
    budget = Budget(
        schedule=Schedule(warmup_steps=warmup, update_steps=update, total_steps=steps),
        domains=domains,
        targets=(),
        global_batch=batch,
        judged=sum(sizes) if judged is None else judged,
        decision_cost=0.0,
    )
    strategies = {slot: strategy for slot, strategy in ((SELECTOR, selector), (MIXER, mixer)) if strategy is not None}
    known = {slot: chosen(slot.kind, needs, **spec) for slot in strategies}
    return Planner(budget, rules, seed=3, chosen=known, strategies=strategies, features=features), budget


def decided(planner, budget, intervals=None):
    for interval in list(budget.schedule.intervals())[slice(*(intervals or (None,)))]:
        progress = Progress(
            step=interval.start,
            total_steps=budget.schedule.total_steps,
            decision=interval.decision,
            decisions=budget.schedule.decisions,
            epoch=0.0,
            learning_rate=0.1,
            seed=3,
        )
        yield planner.decide(interval, progress, Alone())
