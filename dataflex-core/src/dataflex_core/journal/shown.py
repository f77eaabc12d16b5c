"""Which samples of a decision people are shown: a bounded number, whatever the pool. Pure; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataflex_core.journal.texts import Shown
from dataflex_core.planning.plan import Plan
from dataflex_core.rng import derive

Ids = NDArray[np.int64]

LIMIT = 2000
"""Samples of which a run keeps the text."""
WEIGHED, WEIGHED_AT_ONCE = 60, 4
"""Samples that a run, and one logging step, shows with the weights of their tokens."""
_EACH = 10
_DECISION = 40


def allowance(decision: int, decisions: int, had: int) -> int:
    """How many samples decision ``decision`` may show, where ``had`` texts are there: evenly over a long run."""
    left = LIMIT * (decision + 1) // (max(decisions, decision) + 1) - had
    return max(0, min(_DECISION, left, LIMIT - had))


def weighed_allowance(step: int, steps: int, had: int) -> int:
    """How many samples step ``step`` of a run of ``steps`` may show by token, where it ``had`` some: evenly over it."""
    return max(0, min(WEIGHED_AT_ONCE, WEIGHED * step // max(steps, 1) - had, WEIGHED - had))


def shown_of(plan: Plan, seed: int, count: int) -> list[Shown]:
    """Up to ``count`` samples of a plan: the highest, lowest and marginal by score, and random ones, a quarter each.

    All are random where nobody scored. No sample is named twice for one reason.
    """
    decision, chosen = plan.interval.decision, np.unique(plan.ids)
    draw = derive("shown", seed, plan.interval.start)
    if plan.scored is None or not len(plan.scored[0]):
        return random_of(decision, chosen, draw, count)
    ids, scores = plan.scored
    flat = scores if scores.ndim == 1 else scores.max(axis=1)
    usable = np.isfinite(flat)
    order = ids[usable][np.argsort(-flat[usable], kind="stable")]
    if not len(order):
        return random_of(decision, chosen, draw, count)
    each = min(_EACH, count // 4)
    place = {int(sample): rank for rank, sample in enumerate(order, start=1)}
    score = dict(zip(ids[usable].tolist(), flat[usable].tolist(), strict=True))
    taken, left = order[np.isin(order, chosen)], order[~np.isin(order, chosen)]
    edge = each - each // 2
    picked = {
        "highest": taken[:each],
        "lowest": taken[::-1][:each],
        "marginal": np.concatenate([taken[len(taken) - edge :], left[: each // 2]]) if len(left) else order[:0],
        "random": draw.permutation(chosen)[:each],
    }
    among = set(chosen.tolist())
    return [
        Shown(
            decision=decision,
            sample=sample,
            why=why,
            chosen=sample in among,
            score=score.get(sample),
            rank=place.get(sample),
            judged=len(ids),
        )
        for why, found in picked.items()
        for sample in found.tolist()
    ]


def random_of(decision: int, chosen: Ids, draw: np.random.Generator, count: int) -> list[Shown]:
    """Some of what was chosen, or trained on, without a reason."""
    few = draw.permutation(np.unique(chosen))[: min(count, _EACH)]
    return [Shown(decision=decision, sample=sample, why="random") for sample in few.tolist()]
