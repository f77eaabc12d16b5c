"""Which samples of a decision people are shown: a bounded number, whatever the pool. Pure; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflex_core.explaining import LIMIT, MOST
from dataflex_core.journal.figures import largest
from dataflex_core.journal.texts import Shown
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.schedule import Interval
from dataflex_core.rng import derive

Ids = NDArray[np.int64]

WEIGHED, WEIGHED_AT_ONCE = 60, 4
"""Samples that a run, and one logging step, shows with the weights of their tokens."""
EACH = 10
"""Of a decision so many are shown for each reason."""


def allowance(decision: int, decisions: int, had: int) -> int:
    """How many samples decision ``decision`` may show, where ``had`` texts are there: evenly over a long run."""
    left = LIMIT * (decision + 1) // (max(decisions, decision) + 1) - had
    return max(0, min(MOST, left, LIMIT - had))


def weighed_allowance(step: int, steps: int, had: int) -> int:
    """How many samples step ``step`` of a run of ``steps`` may show by token, where it ``had`` some: evenly over it."""
    return max(0, min(WEIGHED_AT_ONCE, WEIGHED * step // max(steps, 1) - had, WEIGHED - had))


def shown_of(plan: Plan, seed: int, count: int) -> list[Shown]:
    """Up to ``count`` samples of a plan: the highest, lowest and marginal by score, and random ones, a quarter each.

    All are random where nobody scored. No sample is named twice for one reason.
    """
    chosen, ranked = np.unique(plan.ids), _Ranked.of(plan)
    draw = derive("shown", seed, plan.interval.start)
    if ranked is None:
        return random_of(plan.interval, chosen, draw, min(count, EACH))
    each = min(EACH, count // 4)
    order, is_chosen = ranked.order, np.isin(ranked.order, chosen)
    taken, left = order[is_chosen], order[~is_chosen]
    edge = each - each // 2
    picked = {
        "highest": taken[:each],
        "lowest": taken[::-1][:each],
        "marginal": np.concatenate([taken[len(taken) - edge :], left[: each // 2]]) if len(left) else order[:0],
        "random": draw.permutation(chosen)[:each],
    }
    among = set(chosen.tolist())
    return [
        ranked.shown(sample, why, chosen=sample in among) for why, found in picked.items() for sample in found.tolist()
    ]


def highest_of(plan: Plan, seed: int, count: int) -> list[Shown]:
    """The ``count`` chosen samples of a plan with the highest scores; random ones where nobody scored."""
    chosen, ranked = np.unique(plan.ids), _Ranked.of(plan)
    if ranked is None:
        return random_of(plan.interval, chosen, derive("shown", seed, plan.interval.start), count)
    highest = ranked.order[np.isin(ranked.order, chosen)][:count]
    return [ranked.shown(sample, "highest", chosen=True) for sample in highest.tolist()]


def random_of(interval: Interval, chosen: Ids, draw: np.random.Generator, count: int) -> list[Shown]:
    """Up to ``count`` of what was chosen, or trained on, without a reason."""
    few = draw.permutation(np.unique(chosen))[:count]
    decision, step = interval.decision, interval.start
    return [Shown(decision=decision, step=step, sample=sample, why="random") for sample in few.tolist()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ranked:
    """An interval's samples in ``order`` Int64[n], the highest score first; their places from 1, and scores."""

    interval: Interval
    judged: int
    order: Ids
    place: dict[int, int]
    score: dict[int, float]

    @classmethod
    def of(cls, plan: Plan) -> _Ranked | None:
        """None where nobody scored; of several columns a sample's largest counts."""
        if plan.scored is None:
            return None
        ids, scores = plan.scored
        flat = largest(scores)
        usable = np.isfinite(flat)
        if not usable.any():
            return None
        order = ids[usable][np.argsort(-flat[usable], kind="stable")]
        return cls(
            interval=plan.interval,
            judged=len(ids),
            order=order,
            place={int(sample): rank for rank, sample in enumerate(order, start=1)},
            score=dict(zip(ids[usable].tolist(), flat[usable].tolist(), strict=True)),
        )

    def shown(self, sample: int, why: str, *, chosen: bool) -> Shown:
        """One of them, or of the plan, as it is shown."""
        return Shown(
            decision=self.interval.decision,
            step=self.interval.start,
            sample=sample,
            why=why,
            chosen=chosen,
            score=self.score.get(sample),
            rank=self.place.get(sample),
            judged=self.judged,
        )
