"""What ranks send each other at a decision, counted: the strategy itself decides over a made-up pool."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataflex_core.planning.budget import Budget, context_of
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.schedule import Schedule
from dataflex_core.prepared import SELECTOR, make_strategy
from dataflex_core.requests import Progress
from dataflex_core.testing.fake_signals import FakeSignals
from dataflex_core.testing.fakes import WIDTH
from dataflex_core.testing.pools import make_pool
from dataflex_core.testing.ranks import Meeting
from scaling.strategies import Variant

_SIZE = 640  # samples: more than `greats` takes exact products of


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Numbers of four bytes that every rank is given of a judged sample: ``plain`` ones, and whole ``states``."""

    plain: float
    states: float

    def bytes(self, hidden: int) -> float:
        """Of a model whose states have so many numbers; with each sample's id, eight bytes, where it has any."""
        numbers = self.plain + self.states * hidden
        return 4 * numbers + 8 * bool(numbers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counting(FakeSignals):
    """Counts the numbers of samples of the pool that are gathered, by the width of a row."""

    counts: Counter[int] = field(default_factory=Counter)

    def gather(self, ids: Any, shard: Any, values: Any) -> Any:
        if self.name == "signals":
            width = int(np.prod(np.shape(values)[1:], dtype=int))
            self.counts[width] += len(ids) * width
        # Not through super(): a dataclass with slots is another class than the one that this was written in.
        return FakeSignals.gather(self, ids, shard, values)


def gathered(variant: Variant) -> Gathered:
    """At the first decision of a selector, which judges all of a pool of some hundred samples."""
    pool = make_pool("pool", {"one": _SIZE}, subtasks=2)
    budget = Budget(
        schedule=Schedule(warmup_steps=1, update_steps=2, total_steps=5),
        domains=pool.domains,
        targets=tuple((name, len(rows)) for name, rows in pool.targets.items()),
        global_batch=_SIZE // 8,
        judged=_SIZE,
        decision_cost=0.0,
    )
    chosen = variant.chosen
    strategy = make_strategy(chosen)
    strategy.setup(context_of(budget, mixed=False, seed=0, columns=pool.columns))
    planner = Planner(
        budget, Rules(), seed=0, chosen={SELECTOR: chosen}, strategies={SELECTOR: strategy}, columns=pool.columns
    )
    signals = _Counting(samples=pool.samples, subtasks=pool.targets, step=1, seed=0, rank=0, meeting=Meeting(1))
    for interval in list(budget.schedule.intervals())[:2]:
        where = Progress(
            step=interval.start,
            total_steps=5,
            decision=interval.decision,
            decisions=2,
            epoch=0.0,
            learning_rate=1e-3,
            seed=0,
        )
        planner.decide(interval, where, signals)
    states = signals.counts.pop(WIDTH, 0) / WIDTH
    return Gathered(plain=sum(signals.counts.values()) / _SIZE, states=states / _SIZE)
