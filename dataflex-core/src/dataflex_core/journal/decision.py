"""The event of a decision, from the plan that it came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from dataflex_core.domains import Domain
from dataflex_core.journal.events import Decision
from dataflex_core.journal.facts import ScoresFact, ShortageFact
from dataflex_core.journal.figures import break_even, overlap, rank_correlation, rounded, spread
from dataflex_core.planning.exhaustion import Shortage
from dataflex_core.planning.plan import Plan
from dataflex_core.requests import Progress

Lengths = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a decision took: ``seconds``, of which facts about the model took ``signals``; ``cost`` in training steps.

    ``explained`` samples are in both.
    """

    seconds: float
    signals: float = 0.0
    cost: float = 0.0
    explained: int = 0


def decision_of(
    plan: Plan,
    domains: Sequence[Domain],
    progress: Progress,
    took: Took,
    *,
    before: Plan | None = None,
    lengths: Lengths | None = None,
) -> Decision:
    """What a plan of ``domains`` was decided to be, where the run stood at ``progress``.

    ``before`` is the plan of the interval before, and ``lengths`` gives the tokens of samples, by their ids.
    """

    def name(short: Shortage) -> str | None:
        return domains[short.domain].name if short.domain is not None and plan.split else None

    names, weights = [domain.name for domain in domains], plan.loss_weights
    return Decision(
        decision=plan.interval.decision,
        step=plan.interval.start,
        until=plan.interval.stop,
        chosen=dict(zip(names, plan.counts, strict=True)),
        proportions=dict(zip(names, plan.proportions.tolist(), strict=True)) if plan.split else None,
        judged=plan.judged,
        shortages=tuple(
            ShortageFact(domain=name(short), wanted=short.wanted, had=short.had, action=short.action)
            for short in plan.shortages
        ),
        plan=plan.digest,
        seconds=round(took.seconds, 3),
        signal_seconds=round(took.signals, 3),
        cost=round(took.cost, 3),
        break_even=rounded(break_even(took.cost, plan.interval.steps)) if took.cost else None,
        epoch=progress.epoch,
        learning_rate=progress.learning_rate,
        loss_weights=None if weights is None else dict(zip(names, weights.tolist(), strict=True)),
        notes=plan.notes,
        overlap=None if before is None else overlap(before.ids, plan.ids),
        scores=None if plan.scored is None else scores_in_short(*plan.scored, lengths),
        exact=None if plan.exact is None else int(plan.exact.sum()),
        correlation=None if plan.correlation is None or isnan(plan.correlation) else round(plan.correlation, 4),
        explained=took.explained,
        dropped={who: short.dropped for short in plan.shortages if (who := name(short)) and short.dropped},
    )


def scores_in_short(ids: NDArray[np.int64], scores: NDArray[np.float32], lengths: Lengths | None = None) -> ScoresFact:
    """Of scores Float32[N] or [N, K] of ``ids`` Int64[N]: each sample's mean where it has several."""
    of_samples = scores.mean(axis=1) if scores.ndim == 2 else scores
    found = spread(of_samples)
    return ScoresFact(
        count=int(np.isfinite(of_samples).sum()),
        lost=int((~np.isfinite(of_samples)).sum()),
        mean=None if found is None else found[0],
        spread=None if found is None else found[1],
        length_correlation=None if lengths is None else rank_correlation(of_samples, lengths(ids)),
    )
